/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A registry, a manager and a session, through the public interface alone, on
 * either backend:
 *
 *	KVBM_URI=/dev/kvbm PROGRAM	default: inproc:, or as it was built
 */
#ifndef KVBM_LIB_FIXTURE_H
#define KVBM_LIB_FIXTURE_H

#include <stdlib.h>
#include <unistd.h>

#include <kvbm/kvbm.h>

#include "tap.h"

#ifndef KVBM_DEFAULT_URI
#define KVBM_DEFAULT_URI "inproc:"
#endif

#define BLOCK_SIZE	16
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Of the in-process backend; not part of the library's interface. */
extern uint32_t kvbm_ns_event_ring;

static inline const char *test_uri(void)
{
	const char *uri = getenv("KVBM_URI");

	return uri ? uri : KVBM_DEFAULT_URI;
}

static inline bool is_inproc(void)
{
	return !strcmp(test_uri(), "inproc:");
}

/* A registry, a manager and a session of it. */
struct fixture {
	char name[KVBM_NAME_SIZE];
	struct kvbm *kvbm;
	uint64_t registry;
	uint64_t manager;
	struct kvbm_session *s;
};

/* On the device others may have registries, too. */
static inline void unique_name(char name[KVBM_NAME_SIZE], const char *what)
{
	snprintf(name, KVBM_NAME_SIZE, "lib-test-%d-%s", (int)getpid(), what);
}

static inline void set_up_with(struct fixture *f, uint32_t blocks,
			       void (*change)(struct kvbm_manager_create *attr))
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;

	memset(f, 0, sizeof(*f));
	ASSERT_EQ(kvbm_open(test_uri(), &f->kvbm), 0);
	unique_name(f->name, "r");
	kvbm_registry_attr_init(&ra, f->name);
	ra.capacity = 2 * blocks;
	ASSERT_EQ(kvbm_create_registry(f->kvbm, &ra, &f->registry), 0);
	kvbm_manager_attr_init(&ma, f->registry, "m", blocks);
	/* Tests of policies ask for theirs; to the others the simplest will do. */
	ma.policy = KVBM_POLICY_LRU;
	ma.block_size = BLOCK_SIZE;
	if (change)
		change(&ma);
	ASSERT_EQ(kvbm_create_manager(f->kvbm, &ma, &f->manager), 0);
	ASSERT_EQ(kvbm_bind(f->kvbm, f->manager, 0, &f->s), 0);
}

static inline void set_up(struct fixture *f, uint32_t blocks)
{
	set_up_with(f, blocks, NULL);
}

/* All must be back, and sound, when the session has ended. */
static inline void tear_down(struct fixture *f)
{
	struct kvbm_check_result check;
	struct kvbm_counters c;

	kvbm_session_close(f->s);
	EXPECT_EQ(kvbm_manager_verify(f->kvbm, f->manager, &check), 0);
	EXPECT_EQ(check.errors, 0);
	EXPECT_EQ(kvbm_manager_counters(f->kvbm, f->manager, &c), 0);
	EXPECT_EQ(c.inflight_mutable, 0);
	EXPECT_EQ(c.inflight_immutable, 0);
	EXPECT_EQ(kvbm_destroy_manager(f->kvbm, f->manager, false), 0);
	EXPECT_EQ(kvbm_destroy_registry(f->kvbm, f->registry), 0);
	kvbm_close(f->kvbm);
}

static inline void hashes_of(uint32_t first, size_t n, struct kvbm_hash *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		ASSERT_EQ(kvbm_plh(0x9e3779b97f4a7c15ULL * (first + i + 1),
				   0x9e3779b97f4a7c15ULL * (first + i),
				   first + i, &out[i]), 0);
}

static inline struct kvbm_counters counters(struct fixture *f)
{
	struct kvbm_counters c = { 0 };

	EXPECT_EQ(kvbm_session_counters(f->s, &c), 0);
	return c;
}

static inline bool is_empty(const void *guards, size_t n)
{
	const struct kvbm_token *t = guards;
	size_t i;

	for (i = 0; i < n; i++)
		if (t[i].id || t[i].gen)
			return false;
	return true;
}

/* Allocate, stage and register. */
static inline void fill(struct fixture *f, uint32_t first, size_t n,
			struct kvbm_immutable *out)
{
	struct kvbm_mutable *m = calloc(n, sizeof(*m));
	struct kvbm_hash *h = calloc(n, sizeof(*h));

	hashes_of(first, n, h);
	ASSERT_EQ(kvbm_allocate(f->s, n, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register(f->s, n, m, h, BLOCK_SIZE, out, NULL, NULL), 0);
	free(m);
	free(h);
}

#endif /* KVBM_LIB_FIXTURE_H */
