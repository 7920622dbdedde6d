// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints: every transition, in order.
 */
#include "kvbm_util.h"
#include "kselftest_harness.h"

#define TRACING	"/sys/kernel/tracing/"
#define EVENTS	TRACING "events/kvbm/"

static int put(const char *file, const char *what)
{
	int fd = open(file, O_WRONLY | O_TRUNC);
	int ok;

	if (fd < 0)
		return -1;
	ok = write(fd, what, strlen(what)) == (ssize_t)strlen(what);
	close(fd);
	return ok ? 0 : -1;
}

/* Lines of the trace about one manager that have @what. */
static int count(uint64_t manager, const char *what)
{
	FILE *f = fopen(TRACING "trace", "r");
	char line[512], tag[32];
	int n = 0;

	if (!f)
		return -1;
	snprintf(tag, sizeof(tag), "manager=%llu ", (unsigned long long)manager);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, tag) && strstr(line, what);
	fclose(f);
	return n;
}

FIXTURE(trace)
{
	struct kv_world w;
};

FIXTURE_SETUP(trace)
{
	if (access(EVENTS "kvbm_transition/enable", W_OK))
		SKIP(return, "no tracefs, or not root");
	ASSERT_EQ(0, kv_world_make(&self->w, 4, KVBM_DUP_ALLOW));
	ASSERT_EQ(0, put(TRACING "trace", ""));
	ASSERT_EQ(0, put(EVENTS "enable", "1"));
}

FIXTURE_TEARDOWN(trace)
{
	EXPECT_EQ(0, put(EVENTS "enable", "0"));
	EXPECT_EQ(0, kv_world_end(&self->w));
}

TEST_F(trace, every_transition)
{
	struct kvbm_drain drain = { .size = sizeof(drain) };
	struct kvbm_hash h = kv_hash(1, 0);
	uint64_t id = self->w.manager;
	int s = self->w.session, other = kv_session(id, ALL_RIGHTS);
	struct kvbm_token t[4], d;
	uint32_t n;

	ASSERT_EQ(0, kv_allocate(s, 1, t, NULL, NULL));
	ASSERT_EQ(0, kv_stage(s, 1, t, &h));
	ASSERT_EQ(0, kv_tokens(s, KVBM_UNSTAGE, 0, 1, t));
	ASSERT_EQ(0, kv_stage(s, 1, t, &h));
	ASSERT_EQ(0, kv_register(s, 1, t, NULL));
	EXPECT_EQ(1, count(id, "reset->mutable"));
	EXPECT_EQ(2, count(id, "mutable->staged"));
	EXPECT_EQ(1, count(id, "staged->mutable"));
	EXPECT_EQ(1, count(id, "staged->primary"));
	ASSERT_EQ(0, kv_allocate(s, 1, &d, NULL, NULL));
	ASSERT_EQ(0, kv_stage(s, 1, &d, &h));
	ASSERT_EQ(0, kv_register(s, 1, &d, NULL));
	EXPECT_EQ(1, count(id, "staged->duplicate"));
	ASSERT_EQ(0, kv_release(s, 1, &d));
	EXPECT_EQ(1, count(id, "duplicate->reset"));
	ASSERT_EQ(0, kv_release(s, 1, t));
	EXPECT_EQ(1, count(id, "primary->inactive"));
	ASSERT_EQ(0, kv_match(s, 1, &h, t, &n));
	EXPECT_EQ(1, count(id, "inactive->primary"));
	ASSERT_EQ(0, kv_release(s, 1, t));
	ASSERT_EQ(0, kv(s, KVBM_DRAIN, &drain));
	EXPECT_EQ(1, count(id, "inactive->reset"));
	ASSERT_EQ(0, kv_fill(other, 1, 1, t));
	ASSERT_EQ(0, kv_tokens(other, KVBM_SET_RESET, KVBM_RESET_ON_RELEASE, 1, t));
	EXPECT_EQ(0, count(id, "kvbm_reclaim"));
	close(other);
	EXPECT_EQ(1, count(id, "primary->reset"));
	EXPECT_EQ(1, count(id, "kvbm_reclaim"));
	EXPECT_EQ(1, count(id, "mutable=0 staged=0 immutable=1"));
	ASSERT_EQ(0, kv_fill(s, 2, 4, t));
	ASSERT_EQ(0, kv_release(s, 4, t));
	ASSERT_EQ(0, kv_allocate(s, 2, t, NULL, NULL));
	EXPECT_EQ(2, count(id, "inactive->mutable"));
	ASSERT_EQ(0, kv_release(s, 1, t));
	EXPECT_EQ(1, count(id, "mutable->reset"));
	ASSERT_EQ(0, kv_stage(s, 1, t + 1, &h));
	ASSERT_EQ(0, kv_release(s, 1, t + 1));
	EXPECT_EQ(1, count(id, "staged->reset"));
	/* And says which hash it was. */
	EXPECT_LE(1, count(id, "hash=00"));
}

TEST_HARNESS_MAIN
