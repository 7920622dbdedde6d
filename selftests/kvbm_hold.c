// SPDX-License-Identifier: GPL-2.0
/*
 * For the tests of programs: a process that holds blocks until its stdin ends.
 *
 *	kvbm_hold REGISTRY:MANAGER MUTABLE REGISTERED CACHED [COMM [BYTES]]
 *
 * CACHED blocks are registered and given back, MUTABLE and REGISTERED ones kept.
 * COMM becomes the name of the process. With BYTES, the manager is given so much
 * memory for each block. Says "ready" when all that is done.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <kvbm/kvbm.h>

static void check(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, kvbm_strerror(ret));
}

/* Register @n blocks of a chain of its own. */
static void fill(struct kvbm_session *s, size_t n, uint64_t chain,
		 struct kvbm_immutable *out)
{
	struct kvbm_mutable *fresh = calloc(n + 1, sizeof(*fresh));
	struct kvbm_hash *hashes = calloc(n + 1, sizeof(*hashes));
	size_t i;

	for (i = 0; i < n; i++)
		check(kvbm_plh(chain + i + 1, chain + i, i, &hashes[i]), "hash");
	check(kvbm_match(s, n, hashes, out), "match");
	for (i = 0; i < n && out[i].token.gen; i++)
		;
	check(kvbm_allocate(s, n - i, fresh, NULL, NULL), "allocate");
	check(kvbm_stage_register(s, n - i, fresh, hashes + i,
				  kvbm_session_block_size(s), out + i, NULL, NULL),
	      "register");
	free(fresh);
	free(hashes);
}

static void give_memory(struct kvbm_session *s, uint64_t bytes)
{
	uint64_t size = bytes * kvbm_session_block_count(s);
	struct kvbm_segment segment = {
		.kind = KVBM_BACKING_MEMFD,
		.stride = bytes,
		.bytes = bytes,
	};

	segment.fd = kvbm_memfd_create("kvbm-hold", size, 0);
	check(segment.fd, "memfd");
	check(kvbm_set_backing(s, 1, &segment), "backing");
	close(segment.fd);
}

int main(int argc, char **argv)
{
	size_t nr_mutable, nr_registered, nr_cached;
	struct kvbm_manager_query m;
	struct kvbm_immutable *im;
	struct kvbm_session *s;
	struct kvbm_mutable *mu;
	struct kvbm *kvbm;
	char c;

	if (argc < 5)
		errx(2, "usage: kvbm_hold R:M MUTABLE REGISTERED CACHED [COMM [BYTES]]");
	nr_mutable = strtoul(argv[2], NULL, 10);
	nr_registered = strtoul(argv[3], NULL, 10);
	nr_cached = strtoul(argv[4], NULL, 10);
	if (argc > 5)
		prctl(PR_SET_NAME, argv[5]);
	check(kvbm_open("/dev/kvbm", &kvbm), "/dev/kvbm");
	check(kvbm_find_manager(kvbm, argv[1], &m), argv[1]);
	check(kvbm_bind(kvbm, m.id, 0, &s), "bind");
	if (argc > 6)
		give_memory(s, strtoull(argv[6], NULL, 10));
	im = calloc(nr_registered + nr_cached + 1, sizeof(*im));
	mu = calloc(nr_mutable + 1, sizeof(*mu));
	if (!im || !mu)
		errx(1, "no memory");
	fill(s, nr_cached, 1ULL << 32, im);
	check(kvbm_release(s, nr_cached, im), "release");
	fill(s, nr_registered, (uint64_t)getpid() << 33, im);
	check(kvbm_allocate(s, nr_mutable, mu, NULL, NULL), "allocate");
	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
