/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: help for tests of programs that use it. All of it is in this header;
 * nothing is in the library.
 *
 *	struct kvbm_test_manager m;
 *	uint32_t prompt[10];
 *
 *	err = kvbm_test_manager_open(&m, "inproc:", KVBM_TEST_BLOCK_COUNT,
 *				     KVBM_TEST_BLOCK_SIZE);
 *	kvbm_test_tokens(100, 10, prompt);
 *	err = kvbm_test_cache(m.session, prompt, 8, 0);		two cached blocks
 *	... what is to be tested, with m.session
 *	err = kvbm_test_manager_close(&m);	-EBUSY: something was not released
 *
 * With "/dev/kvbm" instead of "inproc:" the same runs through the kernel. Counters
 * are exact in both: kvbm_session_counters().
 */
#ifndef KVBM_TESTING_H
#define KVBM_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kvbm/assignments.h>
#include <kvbm/tokens.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVBM_TEST_BLOCK_SIZE	4
#define KVBM_TEST_BLOCK_COUNT	10
#define KVBM_TEST_SALT_HASH	42

/* A registry, a manager in it, and a session. */
struct kvbm_test_manager {
	struct kvbm *kvbm;
	uint64_t registry;
	uint64_t manager;
	struct kvbm_session *session;
};

/* What a manager can have: a power of two of 1 to KVBM_MAX_BLOCK_SIZE. */
static inline bool kvbm_test_is_block_size(uint32_t n)
{
	return n && n <= KVBM_MAX_BLOCK_SIZE && !(n & (n - 1));
}

/**
 * kvbm_test_manager_open - make a registry, a manager and a session for a test
 * @m: out
 * @uri: as for kvbm_open()
 * @blocks: of the manager
 * @block_size: of the manager
 *
 * Return: 0, or -errno, and nothing is left behind.
 */
static inline int kvbm_test_manager_open(struct kvbm_test_manager *m, const char *uri,
					 uint32_t blocks, uint32_t block_size)
{
	struct kvbm_registry_create registry;
	struct kvbm_manager_create manager;
	char name[KVBM_NAME_SIZE];
	int err;

	memset(m, 0, sizeof(*m));
	err = kvbm_open(uri, &m->kvbm);
	if (err)
		return err;
	/* On a device there may be others, of this process or another one. */
	snprintf(name, sizeof(name), "test-%d-%llx", (int)getpid(),
		 (unsigned long long)(uintptr_t)m);
	kvbm_registry_attr_init(&registry, name);
	registry.capacity = blocks;
	err = kvbm_create_registry(m->kvbm, &registry, &m->registry);
	if (err)
		goto err_close;
	kvbm_manager_attr_init(&manager, m->registry, "m", blocks);
	manager.block_size = block_size;
	err = kvbm_create_manager(m->kvbm, &manager, &m->manager);
	if (err)
		goto err_registry;
	err = kvbm_bind(m->kvbm, m->manager, 0, &m->session);
	if (err)
		goto err_manager;
	return 0;

err_manager:
	kvbm_destroy_manager(m->kvbm, m->manager, true);
err_registry:
	kvbm_destroy_registry(m->kvbm, m->registry);
err_close:
	kvbm_close(m->kvbm);
	memset(m, 0, sizeof(*m));
	return err;
}

/**
 * kvbm_test_manager_close - undo kvbm_test_manager_open()
 * @m: from there; or zeroes
 *
 * Return: 0; -EBUSY when the session still held blocks; -EIO when the store was
 * not sound; or -errno. It is closed in any case.
 */
static inline int kvbm_test_manager_close(struct kvbm_test_manager *m)
{
	struct kvbm_check_result check;
	size_t held = 0;
	ssize_t n;
	int err;

	if (!m->kvbm)
		return 0;
	n = kvbm_session_holdings(m->session, 0, 0, NULL, &held);
	kvbm_session_close(m->session);
	err = kvbm_manager_verify(m->kvbm, m->manager, &check);
	if (!err && check.errors)
		err = -EIO;
	if (n < 0)
		err = (int)n;
	else if (held)
		err = -EBUSY;
	kvbm_destroy_manager(m->kvbm, m->manager, true);
	kvbm_destroy_registry(m->kvbm, m->registry);
	kvbm_close(m->kvbm);
	memset(m, 0, sizeof(*m));
	return err;
}

/* Blocks that could be allocated now, or -errno. */
static inline ssize_t kvbm_test_available(struct kvbm_session *session)
{
	struct kvbm_counters c;
	int err = kvbm_session_counters(session, &c);

	return err ? err : (ssize_t)(c.reset_pool_size + c.inactive_pool_size);
}

/* @first, @first + 1, ... */
static inline void kvbm_test_tokens(uint32_t first, size_t n, uint32_t *tokens)
{
	size_t i;

	for (i = 0; i < n; i++)
		tokens[i] = first + (uint32_t)i;
}

/* The tokens of one block. Those of neighbours overlap, and hash differently. */
static inline void kvbm_test_tokens_for_id(uint32_t id,
					   uint32_t tokens[KVBM_TEST_BLOCK_SIZE])
{
	kvbm_test_tokens(id, KVBM_TEST_BLOCK_SIZE, tokens);
}

/* Up to 1000 tokens that sequences with another @index do not have. */
static inline void kvbm_test_unique_tokens(uint32_t index, size_t n, uint32_t *tokens)
{
	kvbm_test_tokens(index * 1000, n, tokens);
}

/**
 * kvbm_test_chain - blocks with the hashes of a sequence
 * @tokens: of the sequence
 * @n: how many
 * @block_size: tokens in a block
 * @salt_hash: 0 for no salt
 * @first_id: block id of the first one; the others count up
 * @out: @n / @block_size of them
 *
 * Return: complete blocks, or -errno.
 */
static inline ssize_t kvbm_test_chain(const uint32_t *tokens, size_t n,
				      uint32_t block_size, uint64_t salt_hash,
				      uint32_t first_id, struct kvbm_assignment *out)
{
	struct kvbm_hash *hashes;
	ssize_t blocks, i;

	hashes = (struct kvbm_hash *)calloc(n / (block_size ? block_size : 1) + 1,
					    sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	blocks = kvbm_hash_blocks(tokens, n, NULL, 0, block_size, salt_hash, hashes,
				  NULL);
	for (i = 0; i < blocks; i++) {
		out[i].hash = hashes[i];
		out[i].id = first_id + (uint32_t)i;
		out[i].reserved = 0;
	}
	free(hashes);
	return blocks;
}

/**
 * kvbm_test_cache - have the complete blocks of a sequence in the cache
 * @session: of the manager
 * @tokens: of the sequence
 * @n: how many
 * @salt_hash: 0 for no salt
 *
 * They are registered, and nobody holds them.
 *
 * Return: blocks, or -errno.
 */
static inline ssize_t kvbm_test_cache(struct kvbm_session *session,
				      const uint32_t *tokens, size_t n,
				      uint64_t salt_hash)
{
	uint32_t block_size = kvbm_session_block_size(session);
	struct kvbm_logical_assignments *l;
	struct kvbm_hash *hashes;
	ssize_t ret;
	int err;

	hashes = (struct kvbm_hash *)calloc(n / block_size + 1, sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	ret = kvbm_hash_blocks(tokens, n, NULL, 0, block_size, salt_hash, hashes, NULL);
	if (ret < 0)
		goto out_free;
	err = kvbm_logical_alloc(session, &l);
	if (!err) {
		err = kvbm_logical_allocate(l, ret);
		if (!err)
			ret = kvbm_logical_stage_register(l, ret, hashes, block_size,
							  NULL);
		kvbm_logical_free(l);
	}
	if (err)
		ret = err;
out_free:
	free(hashes);
	return ret;
}

#ifdef __cplusplus
}
#endif

#endif /* KVBM_TESTING_H */
