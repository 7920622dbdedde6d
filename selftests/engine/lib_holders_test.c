// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Who holds what of a manager, on either backend.
 */
#include <sys/prctl.h>
#include <time.h>

#include "lib_fixture.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void sessions(void)
{
	struct kvbm_session_info info[4];
	struct kvbm_session *other;
	struct kvbm_immutable im[3], copy[3];
	struct kvbm_mutable m[2];
	char comm[16] = "";
	struct fixture f;
	uint64_t before = now_ns();

	set_up(&f, 8);
	prctl(PR_GET_NAME, comm);
	memset(info, 0xee, sizeof(info));
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 4, info), 1);
	EXPECT(info[0].id > 0);
	EXPECT_EQ(info[0].pid, getpid());
	EXPECT_EQ(info[0].uid, geteuid());
	EXPECT_EQ(info[0].flags, KVBM_BIND_READ | KVBM_BIND_WRITE | KVBM_BIND_OWNED);
	EXPECT_EQ(info[0].blocks, 0);
	EXPECT_EQ(info[0].guards, 0);
	EXPECT_EQ(info[0].oldest_ns, 0);
	EXPECT(info[0].bound_ns >= before && info[0].bound_ns <= now_ns());
	EXPECT(!strcmp(info[0].comm, comm));

	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &other), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 4, info), 2);
	EXPECT(info[1].id > info[0].id);
	EXPECT_EQ(info[1].flags, KVBM_BIND_READ | KVBM_BIND_OWNED);
	EXPECT_EQ(info[0].blocks, 2);
	EXPECT_EQ(info[1].blocks, 0);
	EXPECT(info[0].oldest_ns + 40000000 > before);
	EXPECT(info[0].oldest_ns <= now_ns());

	/* Guards are not blocks. */
	ASSERT_EQ(kvbm_release(f.s, 2, m), 0);
	{
		struct kvbm_mutable fresh[3];
		struct kvbm_hash h[3];

		hashes_of(0, 3, h);
		ASSERT_EQ(kvbm_allocate(f.s, 3, fresh, NULL, NULL), 0);
		ASSERT_EQ(kvbm_stage_register(f.s, 3, fresh, h, BLOCK_SIZE, im, NULL,
					      NULL), 0);
	}
	ASSERT_EQ(kvbm_clone(f.s, 3, im, copy), 0);
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 4, info), 2);
	EXPECT_EQ(info[0].blocks, 3);
	EXPECT_EQ(info[0].guards, 6);

	/* Page by page. */
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 1, info), 1);
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, info[0].id, 1, info + 1), 1);
	EXPECT(info[1].id > info[0].id);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, info[1].id, 1, info), 0);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 0, NULL), 0);

	kvbm_session_close(other);
	ASSERT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 4, info), 1);
	EXPECT_EQ(info[0].blocks, 3);
	tear_down(&f);
}

static void bad_input(void)
{
	struct kvbm_session_info info[2];
	struct fixture f;

	set_up(&f, 8);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, 0, 0, 2, info), -ENOENT);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager + 100, 0, 2, info), -ENOENT);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, 2, NULL), -EFAULT);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, 0, KVBM_MAX_BATCH + 1, info),
		  -EINVAL);
	EXPECT_EQ(kvbm_manager_sessions(f.kvbm, f.manager, UINT64_MAX, 2, info), 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(sessions),
	TEST(bad_input),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
