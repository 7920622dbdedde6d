// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * An engine fills blocks with bytes that follow from their hashes, piece by piece,
 * and is killed while it does. Its successor finds manager and memory by name,
 * looks at all that is registered, and serves on. How much better that is than to
 * begin with an empty cache, a second manager tells.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "mix.h"
#include "request.h"
#include "run.h"
#include "say.h"

/* Two tensors, as if there were two layers. */
#define SEGMENTS	2
#define WORDS		128		/* of 8 bytes, in a block of each */
#define PIECE		16		/* words that are written at a time */
#define MAX_BLOCKS	4096
#define MAX_REQUESTS	100		/* that the successor serves */

/* A process that serves requests from one manager. */
struct engine {
	struct kvbm *kvbm;
	struct kvbm_session *session;
	struct kvbm_map *map;
	struct request request;
	struct tally tally;
};

static uint64_t word_of(const struct kvbm_hash *hash, uint32_t segment, uint32_t i)
{
	return mix64(hash->lo ^ mix64(hash->hi + segment * WORDS + i));
}

/* As a device would, a bit here and a bit there. */
static void fill(const struct kvbm_map *map, uint32_t block,
		 const struct kvbm_hash *hash)
{
	uint32_t piece, segment, i;

	for (piece = 0; piece < WORDS; piece += PIECE) {
		for (segment = 0; segment < SEGMENTS; segment++) {
			volatile uint64_t *words = kvbm_map_block(map, segment, block);

			for (i = piece; i < piece + PIECE; i++)
				words[i] = word_of(hash, segment, i);
		}
	}
}

static bool is_whole(const struct kvbm_map *map, uint32_t block,
		     const struct kvbm_hash *hash)
{
	uint32_t segment, i;

	for (segment = 0; segment < SEGMENTS; segment++) {
		const uint64_t *words = kvbm_map_block(map, segment, block);

		for (i = 0; i < WORDS; i++)
			if (words[i] != word_of(hash, segment, i))
				return false;
	}
	return true;
}

/* One request: what is not cached is computed, and only then registered. */
static int serve_one(struct engine *e, const struct work *work)
{
	struct request *r = &e->request;
	size_t i;
	int err;

	if (work->prompt > kvbm_session_block_count(e->session))
		return 0;
	err = request_acquire(r, work->hashes, work->prompt);
	if (err)
		return err;
	for (i = 0; e->map && i < r->nr_filling; i++)
		fill(e->map, r->filling[i].token.id,
		     &work->hashes[r->nr_registered + i]);
	err = request_fill(r, 0);
	return err ? err : request_release(r);
}

static int serve(struct engine *e, const struct workload *workload, size_t first,
		 size_t count, atomic_ullong *served)
{
	size_t i;
	int err = 0;

	for (i = first; !err && i < first + count; i++) {
		err = serve_one(e, &workload->work[i]);
		atomic_fetch_add(served, 1);
	}
	return err;
}

/* All that an engine is told is the name. */
static int engine_begin(struct engine *e, const struct run *run, const char *name,
			bool successor)
{
	struct kvbm_manager_query m;
	int err;

	memset(e, 0, sizeof(*e));
	err = connect_to(run->device, &e->kvbm);
	if (!err)
		err = kvbm_find_manager(e->kvbm, name, &m);
	if (err)
		return err;
	err = successor ? kvbm_take_over(e->kvbm, m.id, KVBM_EPOCH_FORCE,
					 &e->session) :
			  kvbm_bind(e->kvbm, m.id, 0, &e->session);
	if (!err)
		err = request_init(&e->request, e->session, &e->tally,
				   run->workload.longest);
	return err;
}

static void engine_end(struct engine *e)
{
	request_free(&e->request);
	kvbm_unmap(e->map);
	kvbm_session_close(e->session);
	kvbm_close(e->kvbm);
}

/* The first engine; it does not come to its end. */
static noreturn void predecessor(const struct run *run, const char *name,
				 struct slot *slot, pid_t parent)
{
	struct engine e;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	err = engine_begin(&e, run, name, false);
	if (!err)
		err = kvbm_map_backing(e.session, &e.map);
	while (!err)
		err = serve(&e, &run->workload, 0, run->workload.nr, &slot->served);
	say_err(err, "the engine that is to be killed");
	_exit(1);
}

/* All blocks have a place in each of the tensors. */
static int give_memory(const struct scratch *s, uint32_t blocks)
{
	struct kvbm_segment segments[SEGMENTS];
	const uint64_t bytes = WORDS * sizeof(uint64_t);
	struct kvbm_session *session;
	uint32_t i;
	int fd, err;

	fd = kvbm_memfd_create("kvbm-run", SEGMENTS * blocks * bytes, 0);
	if (fd < 0)
		return fd;
	for (i = 0; i < SEGMENTS; i++)
		segments[i] = (struct kvbm_segment){
			.fd = fd,
			.kind = KVBM_BACKING_MEMFD,
			.offset = i * blocks * bytes,
			.stride = bytes,
			.bytes = bytes,
		};
	err = kvbm_bind(s->kvbm, s->manager, 0, &session);
	if (!err) {
		err = kvbm_set_backing(session, SEGMENTS, segments);
		kvbm_session_close(session);
	}
	/* The manager has it. */
	close(fd);
	return err;
}

/* Some requests on, and then at any moment. */
static int kill_predecessor(const struct run *run, pid_t pid, struct slot *slot,
			    uint64_t *random)
{
	struct timespec nap = { .tv_nsec = 200000 };
	uint64_t least = run->workload.nr / 8 + 1;
	int status;

	least += random_between(random, 0, least < 400 ? least : 400);
	while (atomic_load(&slot->served) < least) {
		if (waitpid(pid, &status, WNOHANG))
			return -ECHILD;
		nanosleep(&nap, NULL);
	}
	nap.tv_nsec = random_between(random, 0, 3000000);
	nanosleep(&nap, NULL);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 0 : -ECHILD;
}

/* Every block that is registered, whoever did it. */
static int verify_all(const struct engine *e, struct takeover_report *t)
{
	struct kvbm_slot_info slots[256];
	uint32_t start = 0;
	ssize_t n, i;

	for (;;) {
		n = kvbm_session_dump(e->session, start, 256, slots);
		if (n <= 0)
			return n;
		for (i = 0; i < n; i++) {
			if (slots[i].state != KVBM_STATE_INACTIVE)
				continue;
			t->verified++;
			t->torn += !is_whole(e->map, slots[i].token.id, &slots[i].hash);
		}
		start += n;
	}
}

static double rate_of(const struct engine *e)
{
	return e->tally.match_hashes ?
	       (double)e->tally.hits / e->tally.match_hashes : 0;
}

static int succeed(const struct run *run, const struct scratch *s, size_t count,
		   struct takeover_report *t)
{
	atomic_ullong served = 0;
	struct engine e;
	int err;

	err = engine_begin(&e, run, s->name, true);
	if (!err)
		err = kvbm_map_backing(e.session, &e.map);
	if (!err)
		err = verify_all(&e, t);
	if (!err)
		err = serve(&e, &run->workload, t->served, count, &served);
	t->warm_rate = rate_of(&e);
	engine_end(&e);
	return err;
}

/* The same requests, for an engine that lost everything. */
static int serve_cold(struct run *run, const struct scratch_attr *attr, size_t count,
		      struct takeover_report *t)
{
	atomic_ullong served = 0;
	struct scratch cold;
	struct engine e;
	int err;

	err = scratch_create(&cold, run->scratch.kvbm, attr);
	if (err)
		return err;
	err = engine_begin(&e, run, cold.name, false);
	if (!err)
		err = serve(&e, &run->workload, t->served, count, &served);
	t->cold_rate = rate_of(&e);
	engine_end(&e);
	scratch_destroy(&cold);
	return err;
}

static int run_engines(struct run *run, const struct scratch *s,
		       const struct scratch_attr *attr)
{
	struct takeover_report *t = &run->takeover;
	uint64_t random = mix64(run->seed ^ getpid()) ^ now_ns();
	pid_t parent = getpid(), pid;
	struct slot *slot;
	size_t count;
	int err;

	err = give_memory(s, attr->blocks);
	if (err)
		return err;
	slot = mmap(NULL, sizeof(*slot), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slot == MAP_FAILED)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (!pid)
		predecessor(run, s->name, slot, parent);
	err = pid < 0 ? -errno : kill_predecessor(run, pid, slot, &random);
	t->served = atomic_load(&slot->served) % run->workload.nr;
	munmap(slot, sizeof(*slot));
	if (err)
		return err;
	count = run->workload.nr - t->served;
	if (count > MAX_REQUESTS)
		count = MAX_REQUESTS;
	err = succeed(run, s, count, t);
	return err ? err : serve_cold(run, attr, count, t);
}

int take_over(struct run *run)
{
	const struct scratch_attr attr = {
		.registry = "takeover",
		.manager = "g1",
		.blocks = run->nr_blocks < MAX_BLOCKS ? run->nr_blocks : MAX_BLOCKS,
		.block_size = run->workload.block_size,
		.policy = KVBM_POLICY_DEFAULT,
	};
	struct scratch scratch;
	int err, destroyed;

	err = scratch_create(&scratch, run->scratch.kvbm, &attr);
	if (err)
		return err;
	err = run_engines(run, &scratch, &attr);
	if (err)
		say_err(err, "takeover");
	destroyed = scratch_destroy(&scratch);
	run->takeover.done = !err;
	return err ? err : destroyed;
}
