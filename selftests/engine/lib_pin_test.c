// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * libkvbm: pins on either backend; quotas, epochs and backing memory on the
 * device, and their refusal in process.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib_fixture.h"

#define N	4

static struct fixture f;
static struct kvbm_hash h[N];

static void begin(void)
{
	uint32_t i;

	set_up(&f, 16);
	for (i = 0; i < N; i++)
		ASSERT_EQ(kvbm_plh(100 + i, 99 + i, i, &h[i]), 0);
}

/* Registered, and held. */
static void hold(struct kvbm_immutable *out)
{
	struct kvbm_mutable blocks[N];

	ASSERT_EQ(kvbm_allocate(f.s, N, blocks, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register(f.s, N, blocks, h, BLOCK_SIZE, out, NULL, NULL), 0);
}

static uint64_t in_state(uint32_t state)
{
	struct kvbm_counters c;

	ASSERT_EQ(kvbm_manager_counters(f.kvbm, f.manager, &c), 0);
	return c.states[state];
}

static void pins(void)
{
	struct kvbm_immutable held[N];
	struct kvbm_pin_info info;
	struct kvbm_held blocks[N];
	struct kvbm_pin *pin, *copy;
	int fd;

	begin();
	hold(held);
	ASSERT_EQ(kvbm_pin(f.s, N, held, &pin), 0);
	ASSERT_EQ(kvbm_release(f.s, N, held), 0);
	EXPECT_EQ(in_state(KVBM_STATE_PRIMARY), N);
	ASSERT_EQ(kvbm_pin_info(pin, &info), 0);
	EXPECT_EQ(info.manager, f.manager);
	EXPECT_EQ(info.blocks, N);
	EXPECT(!info.write && info.alive);
	ASSERT_EQ(kvbm_pin_blocks(pin, 1, N, blocks), N - 1);
	EXPECT(!memcmp(&blocks[0].hash, &h[1], sizeof(h[1])));
	fd = kvbm_pin_fd(pin);
	EXPECT_EQ(fd == -1, is_inproc());
	if (fd >= 0) {
		ASSERT_EQ(kvbm_pin_from_fd(dup(fd), &copy), 0);
		kvbm_pin_close(pin);
		pin = copy;
		EXPECT_EQ(in_state(KVBM_STATE_PRIMARY), N);
		EXPECT_EQ(kvbm_pin_from_fd(kvbm_session_fd(f.s), &copy), -EPROTO);
		EXPECT_EQ(kvbm_pin_from_fd(0, &copy), -EPROTO);
		EXPECT_EQ(kvbm_pin_from_fd(-1, &copy), -EBADF);
	}
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, false), -EBUSY);
	kvbm_pin_close(pin);
	EXPECT_EQ(in_state(KVBM_STATE_INACTIVE), N);
	kvbm_pin_close(NULL);
	tear_down(&f);
}

static void write_pins(void)
{
	struct kvbm_mutable blocks[N];
	struct kvbm_immutable held[N];
	struct kvbm_pin *pin;

	begin();
	ASSERT_EQ(kvbm_allocate(f.s, N, blocks, NULL, NULL), 0);
	ASSERT_EQ(kvbm_pin_write(f.s, 1, &blocks[2], &pin), 0);
	EXPECT_EQ(kvbm_stage_register(f.s, N, blocks, h, BLOCK_SIZE, held, NULL, NULL),
		  -EBUSY);
	EXPECT_EQ(kvbm_failed_index(), 2);
	ASSERT_EQ(kvbm_release(f.s, N, blocks), 0);
	EXPECT_EQ(in_state(KVBM_STATE_MUTABLE), 1);
	kvbm_pin_close(pin);
	EXPECT_EQ(in_state(KVBM_STATE_MUTABLE), 0);
	tear_down(&f);
}

static void pin_refusals(void)
{
	struct kvbm_immutable held[N] = { 0 }, twice[2];
	struct kvbm_pin *pin;

	begin();
	EXPECT_EQ(kvbm_pin(f.s, 0, held, &pin), -EINVAL);
	EXPECT_EQ(kvbm_pin(f.s, KVBM_MAX_BATCH + 1, held, &pin), -EINVAL);
	EXPECT_EQ(kvbm_pin(f.s, 1, NULL, &pin), -EFAULT);
	hold(held);
	ASSERT_EQ(kvbm_clone(f.s, 1, held, twice), 0);
	twice[1] = twice[0];
	EXPECT_EQ(kvbm_pin(f.s, 2, twice, &pin), -EINVAL);
	EXPECT_EQ(kvbm_failed_index(), 1);
	ASSERT_EQ(kvbm_release(f.s, 1, twice), 0);
	ASSERT_EQ(kvbm_release(f.s, N, held), 0);
	tear_down(&f);
}

static void refused_in_process(void)
{
	struct kvbm_segment segment = { .stride = 1, .bytes = 1 };
	struct kvbm_session *s;
	struct kvbm_map *map;
	uint32_t epoch;
	uint64_t id = 0;

	begin();
	EXPECT_EQ(kvbm_set_quota(f.kvbm, f.manager, KVBM_QUOTA_SESSION, 0, 1),
		  -EOPNOTSUPP);
	EXPECT_EQ(kvbm_get_quota(f.kvbm, f.manager, KVBM_QUOTA_SESSION, 0, NULL, NULL),
		  -EOPNOTSUPP);
	EXPECT_EQ(kvbm_manager_epoch(f.kvbm, f.manager, &epoch), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_raise_epoch(f.s, 0, NULL), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_manager_raise_epoch(f.kvbm, f.manager, 0, NULL), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_next_quota(f.kvbm, f.manager, KVBM_QUOTA_UID, &id, NULL, NULL),
		  -EOPNOTSUPP);
	EXPECT_EQ(kvbm_take_over(f.kvbm, f.manager, 0, &s), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_set_backing(f.s, 1, &segment), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_map_backing(f.s, &map), -EOPNOTSUPP);
	tear_down(&f);
}

/* Whether the mapping that has @address has MADV_DONTDUMP. */
static bool left_out_of_dumps(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool here = false, found = false;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		found = here && !strncmp(line, "VmFlags:", 8) && strstr(line, " dd");
	}
	if (f)
		fclose(f);
	return found;
}

static void on_the_device(void)
{
	struct kvbm_segment segments[2];
	struct kvbm_session *successor;
	struct kvbm_mutable block;
	struct kvbm_map *map, *again;
	uint64_t blocks, held, id;
	uint32_t epoch;
	struct stat st;
	int fd, i;

	begin();
	EXPECT_EQ(kvbm_map_backing(f.s, &map), -ENOMEDIUM);
	fd = kvbm_memfd_create("lib-pin-test", 16 * 300, 0);
	ASSERT(fd >= 0);
	EXPECT_EQ(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK, F_SEAL_SHRINK);
	ASSERT_EQ(fstat(fd, &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0600);
	for (i = 0; i < 2; i++)
		segments[i] = (struct kvbm_segment){
			.fd = fd, .kind = KVBM_BACKING_MEMFD,
			.offset = 100 * i, .stride = 300, .bytes = 100 + 100 * i };
	segments[1].bytes++;
	EXPECT_EQ(kvbm_set_backing(f.s, 2, segments), -EFBIG);
	EXPECT_EQ(kvbm_failed_index(), 1);
	segments[1].bytes--;
	ASSERT_EQ(kvbm_set_backing(f.s, 2, segments), 0);
	close(fd);
	ASSERT_EQ(kvbm_map_backing(f.s, &map), 0);
	EXPECT_EQ(kvbm_map_segments(map), 2);
	EXPECT_EQ(kvbm_map_bytes(map, 1), 200);
	EXPECT_EQ(kvbm_map_bytes(map, 2), 0);
	EXPECT(!kvbm_map_block(map, 2, 0) && !kvbm_map_block(map, 0, 16));
	EXPECT_EQ((char *)kvbm_map_block(map, 1, 3) - (char *)kvbm_map_block(map, 0, 0),
		  1000);
	strcpy(kvbm_map_block(map, 1, 15), "still here");
	kvbm_unmap(map);

	ASSERT_EQ(kvbm_set_quota(f.kvbm, f.manager, KVBM_QUOTA_SESSION, 0, 3), 0);
	ASSERT_EQ(kvbm_get_quota(f.kvbm, f.manager, KVBM_QUOTA_SESSION, 0, &blocks,
				 &held), 0);
	EXPECT_EQ(blocks, 3);
	id = getuid();
	ASSERT_EQ(kvbm_set_quota(f.kvbm, f.manager, KVBM_QUOTA_UID, id, 5), 0);
	id = 0;
	ASSERT_EQ(kvbm_next_quota(f.kvbm, f.manager, KVBM_QUOTA_UID, &id, &blocks, NULL),
		  0);
	EXPECT_EQ(id, getuid());
	EXPECT_EQ(blocks, 5);
	id++;
	EXPECT_EQ(kvbm_next_quota(f.kvbm, f.manager, KVBM_QUOTA_UID, &id, NULL, NULL),
		  -ENOENT);
	EXPECT_EQ(id, getuid() + 1);
	ASSERT_EQ(kvbm_take_over(f.kvbm, f.manager, KVBM_EPOCH_FORCE, &successor), 0);
	ASSERT_EQ(kvbm_manager_epoch(f.kvbm, f.manager, &epoch), 0);
	EXPECT_EQ(epoch, 2);
	ASSERT_EQ(kvbm_manager_raise_epoch(f.kvbm, f.manager, 0, &epoch), 0);
	EXPECT_EQ(epoch, 3);
	EXPECT_EQ(kvbm_allocate(successor, 1, &block, NULL, NULL), -EOWNERDEAD);
	EXPECT_EQ(kvbm_allocate(f.s, 1, &block, NULL, NULL), -EOWNERDEAD);
	kvbm_session_close(successor);
	ASSERT_EQ(kvbm_take_over(f.kvbm, f.manager, 0, &successor), 0);
	ASSERT_EQ(kvbm_map_backing(successor, &again), 0);
	EXPECT(left_out_of_dumps(kvbm_map_block(again, 0, 0)));
	EXPECT(!strcmp(kvbm_map_block(again, 1, 15), "still here"));
	kvbm_unmap(again);
	kvbm_session_close(successor);
	tear_down(&f);
}

static void backing(void)
{
	if (is_inproc())
		refused_in_process();
	else
		on_the_device();
}

static const struct tap_test tests[] = {
	TEST(pins),
	TEST(write_pins),
	TEST(pin_refusals),
	TEST(backing),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
