/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the tests of sequences have in common, made of what users' tests have.
 */
#ifndef KVBM_SEQ_FIXTURE_H
#define KVBM_SEQ_FIXTURE_H

#include <kvbm/sequence.h>
#include <kvbm/testing.h>

#include "lib_fixture.h"

#define BS	KVBM_TEST_BLOCK_SIZE

static inline void open_manager(struct kvbm_test_manager *m, uint32_t blocks)
{
	ASSERT_EQ(kvbm_test_manager_open(m, test_uri(), blocks, BS), 0);
}

/* Nothing is held any more, and the store is sound. */
static inline void close_manager(struct kvbm_test_manager *m)
{
	EXPECT_EQ(kvbm_test_manager_close(m), 0);
}

/* Tokens 1000, 1001, ...; each thread has its own. */
static inline const uint32_t *prompt(void)
{
	static __thread uint32_t tokens[4096];

	if (!tokens[0])
		kvbm_test_tokens(1000, ARRAY_SIZE(tokens), tokens);
	return tokens;
}

static inline struct kvbm_counters counters_of(struct kvbm_session *session)
{
	struct kvbm_counters c = { 0 };

	EXPECT_EQ(kvbm_session_counters(session, &c), 0);
	return c;
}

/* The error says so, and has words. */
static inline bool is_error(const struct kvbm_seq_error *e, int err,
			    enum kvbm_seq_reason reason, uint64_t a, uint64_t b,
			    uint64_t c)
{
	char text[160], tiny[8];
	int len = kvbm_seq_error_text(e, text, sizeof(text));

	return EXPECT_EQ(e->err, err) & EXPECT_EQ(e->reason, reason) &
	       EXPECT_EQ(e->values[0], a) & EXPECT_EQ(e->values[1], b) &
	       EXPECT_EQ(e->values[2], c) & EXPECT(len > 0) &
	       EXPECT((size_t)len < sizeof(text)) &
	       EXPECT_EQ(kvbm_seq_error_text(e, tiny, sizeof(tiny)), len) &
	       EXPECT_EQ(strlen(tiny), sizeof(tiny) - 1);
}

#endif /* KVBM_SEQ_FIXTURE_H */
