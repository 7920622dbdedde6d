// SPDX-License-Identifier: GPL-2.0
/*
 * The ABI: sizes, flags, pointers, names, objects.
 */
#include <sys/mman.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64

FIXTURE(abi)
{
	struct kv_world w;
};

FIXTURE_SETUP(abi)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
}

FIXTURE_TEARDOWN(abi)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

TEST_F(abi, info)
{
	struct kvbm_info info = { .size = sizeof(info) };
	unsigned int nr, built = 0;

	ASSERT_EQ(0, kv(self->w.fd, KVBM_INFO, &info));
	EXPECT_EQ(KVBM_MAX_BATCH, info.out_max_batch);
	EXPECT_EQ(KVBM_MAX_BLOCKS, info.out_max_blocks);
	EXPECT_NE(0, info.out_policies & 1 << KVBM_POLICY_LRU);
	EXPECT_LE(1, info.out_chunk);
	/* What INFO does not name answers ENOTTY, what it names does not. */
	for (nr = 0; nr < 256; nr++) {
		bool told = nr < 128 && info.out_commands[nr / 64] >> (nr % 64) & 1;
		int err = kv(self->w.fd, _IO(KVBM_IOC_TYPE, nr), NULL);

		EXPECT_EQ(told ? -EFAULT : -ENOTTY, err);
		built += told;
	}
	EXPECT_LE(19, built);
	EXPECT_EQ(-ENOTTY, kv(self->w.fd, _IO('k', KVBM_CMD_INFO), &info));
	EXPECT_EQ(-ENOTTY, kv(self->w.fd, _IOWR(KVBM_IOC_TYPE, 0, struct kvbm_info),
			      &info));
}

/* A valid argument of every ioctl, as far as it gets without side effects. */
static const struct {
	const char *name;
	unsigned long cmd;
	uint32_t size;
} sizes[] = {
	{ "INFO", KVBM_INFO, sizeof(struct kvbm_info) },
	{ "REGISTRY_CREATE", KVBM_REGISTRY_CREATE, sizeof(struct kvbm_registry_create) },
	{ "REGISTRY_QUERY", KVBM_REGISTRY_QUERY, sizeof(struct kvbm_registry_query) },
	{ "REGISTRY_LIST", KVBM_REGISTRY_LIST, sizeof(struct kvbm_list) },
	{ "REGISTRY_DESTROY", KVBM_REGISTRY_DESTROY, sizeof(struct kvbm_destroy) },
	{ "MANAGER_CREATE", KVBM_MANAGER_CREATE, sizeof(struct kvbm_manager_create) },
	{ "MANAGER_QUERY", KVBM_MANAGER_QUERY, sizeof(struct kvbm_manager_query) },
	{ "MANAGER_LIST", KVBM_MANAGER_LIST, sizeof(struct kvbm_list) },
	{ "MANAGER_DESTROY", KVBM_MANAGER_DESTROY, sizeof(struct kvbm_destroy) },
	{ "MANAGER_STATS", KVBM_MANAGER_STATS, sizeof(struct kvbm_manager_stats) },
	{ "MANAGER_CHECK", KVBM_MANAGER_CHECK, sizeof(struct kvbm_manager_check) },
	{ "BIND", KVBM_BIND, sizeof(struct kvbm_bind) },
	{ "ALLOCATE", KVBM_ALLOCATE, sizeof(struct kvbm_allocate) },
	{ "ACQUIRE", KVBM_ACQUIRE, sizeof(struct kvbm_acquire) },
	{ "STAGE", KVBM_STAGE, sizeof(struct kvbm_stage) },
	{ "REGISTER", KVBM_REGISTER, sizeof(struct kvbm_register) },
	{ "STAGE_REGISTER", KVBM_STAGE_REGISTER, sizeof(struct kvbm_stage_register) },
	{ "MATCH", KVBM_MATCH, sizeof(struct kvbm_match) },
	{ "RELEASE", KVBM_RELEASE, sizeof(struct kvbm_release) },
};

TEST_F(abi, sizes)
{
	char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *size = (uint32_t *)page;
	size_t i;
	int exact;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + 8192, 4096));
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		TH_LOG("%s", sizes[i].name);
		memset(page, 0, 8192);
		*size = sizes[i].size;
		exact = kv(self->w.session, sizes[i].cmd, page);
		/* Shorter than the first version. */
		memset(page, 0, 8192);
		*size = sizes[i].size - 1;
		EXPECT_EQ(-EINVAL, kv(self->w.session, sizes[i].cmd, page));
		*size = 0;
		EXPECT_EQ(-EINVAL, kv(self->w.session, sizes[i].cmd, page));
		/* A tail that is not known. */
		memset(page, 0, 8192);
		*size = sizes[i].size + 1;
		page[sizes[i].size] = 1;
		EXPECT_EQ(-E2BIG, kv(self->w.session, sizes[i].cmd, page));
		/* One that is zero is as good as none. */
		memset(page, 0, 8192);
		*size = sizes[i].size + 8;
		EXPECT_EQ(exact, kv(self->w.session, sizes[i].cmd, page));
		memset(page, 0, 8192);
		*size = 8192;
		EXPECT_EQ(-E2BIG, kv(self->w.session, sizes[i].cmd, page));
		/* An unknown flag, alone and first of all. */
		memset(page, 0, 8192);
		*size = sizes[i].size;
		((uint32_t *)page)[1] = 1u << 30;
		EXPECT_EQ(-EINVAL, kv(self->w.session, sizes[i].cmd, page));
		EXPECT_EQ(-EFAULT, kv(self->w.session, sizes[i].cmd, NULL));
		/* The size can be read, the rest cannot. */
		*(uint32_t *)(page + 8192 - 4) = sizes[i].size;
		EXPECT_EQ(-EFAULT, kv(self->w.session, sizes[i].cmd, page + 8192 - 4));
	}
	/* Read-only: found out before anything happens. */
	memset(page, 0, 8192);
	*size = sizeof(struct kvbm_allocate);
	mprotect(page, 4096, PROT_READ);
	EXPECT_EQ(-EFAULT, kv(self->w.session, KVBM_ALLOCATE, page));
}

TEST_F(abi, pointers)
{
	struct kvbm_hash h[4];
	struct kvbm_token t[4];
	struct kvbm_counters before, after;
	struct kvbm_allocate a = { .size = sizeof(a), .count = 4 };
	struct kvbm_match m = { .size = sizeof(m), .count = 4 };
	struct kvbm_stage s = { .size = sizeof(s), .count = 4, .block_size = BLOCK_SIZE };
	struct kvbm_register r = { .size = sizeof(r), .count = 4 };
	struct kvbm_release l = { .size = sizeof(l), .count = 4 };
	char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t bad[] = { 0, 8, ptr(ro), 1ull << 63, -64ull };
	int fd = self->w.session;
	size_t i;

	kv_hashes(h, 1, 4);
	ASSERT_EQ(0, kv_fill(fd, 1, 4, t));
	ASSERT_EQ(0, kv_counters(fd, 0, &before));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		bool readable = bad[i] == ptr(ro);

		a.tokens = bad[i];
		a.evicted = 0;
		EXPECT_EQ(-EFAULT, kv(fd, KVBM_ALLOCATE, &a));
		if (bad[i]) {
			a.tokens = ptr(t);
			a.evicted = bad[i];
			EXPECT_EQ(-EFAULT, kv(fd, KVBM_ALLOCATE, &a));
		}
		m.hashes = bad[i];
		m.tokens = ptr(t);
		if (!readable)
			EXPECT_EQ(-EFAULT, kv(fd, KVBM_MATCH, &m));
		m.hashes = ptr(h);
		m.tokens = bad[i];
		EXPECT_EQ(-EFAULT, kv(fd, KVBM_MATCH, &m));
		s.tokens = bad[i];
		s.hashes = ptr(h);
		if (!readable)
			EXPECT_EQ(-EFAULT, kv(fd, KVBM_STAGE, &s));
		s.tokens = ptr(t);
		s.hashes = bad[i];
		if (!readable)
			EXPECT_EQ(-EFAULT, kv(fd, KVBM_STAGE, &s));
		r.tokens = ptr(t);
		r.out_tokens = bad[i];
		EXPECT_EQ(-EFAULT, kv(fd, KVBM_REGISTER, &r));
		l.tokens = bad[i];
		if (!readable)
			EXPECT_EQ(-EFAULT, kv(fd, KVBM_RELEASE, &l));
	}
	ASSERT_EQ(0, kv_counters(fd, 0, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	munmap(ro, 4096);
}

TEST_F(abi, counts)
{
	int fd = self->w.session;
	struct kvbm_token t[1];
	struct kvbm_allocate a = { .size = sizeof(a), .tokens = ptr(t) };
	struct kvbm_acquire q = { .size = sizeof(q), .tokens = ptr(t), .nr_hashes = 1 };
	struct kvbm_list l = { .size = sizeof(l), .ids = ptr(t) };

	EXPECT_EQ(0, kv(fd, KVBM_ALLOCATE, &a));
	a.count = KVBM_MAX_BATCH + 1;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_ALLOCATE, &a));
	a.count = UINT32_MAX;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_ALLOCATE, &a));
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_ACQUIRE, &q));
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_LIST, &l));
	l.count = KVBM_MAX_BATCH + 1;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_LIST, &l));
}

TEST_F(abi, unbuilt)
{
	int fd = self->w.session;
	struct kvbm_manager_create m;
	struct kvbm_registry_create r;
	struct kvbm_register reg = { .size = sizeof(reg), .priority = 1 };

	manager_init(&m, self->w.registry, "n", 1);
	m.numa_node = 1;
	EXPECT_EQ(-EOPNOTSUPP, kv(fd, KVBM_MANAGER_CREATE, &m));
	manager_init(&m, self->w.registry, "n", 1);
	m.policy = KVBM_POLICY_LINEAGE_FIFO + 1;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &m));
	registry_init(&r, "wide");
	r.hash_size = 32;
	EXPECT_EQ(-EOPNOTSUPP, kv(fd, KVBM_REGISTRY_CREATE, &r));
	r.hash_size = 8;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_REGISTRY_CREATE, &r));
	EXPECT_EQ(-EOPNOTSUPP, kv(fd, KVBM_REGISTER, &reg));
	reg.priority = 0;
	reg.ttl_ms = 1;
	EXPECT_EQ(-EOPNOTSUPP, kv(fd, KVBM_REGISTER, &reg));
}

TEST_F(abi, manager_values)
{
	struct kvbm_manager_create m;
	int fd = self->w.fd;

#define REFUSED(err, change) do {					\
	manager_init(&m, self->w.registry, "x", 1);			\
	change;								\
	EXPECT_EQ(-(err), kv(fd, KVBM_MANAGER_CREATE, &m));		\
} while (0)
	REFUSED(EINVAL, m.block_count = 0);
	REFUSED(EINVAL, m.block_count = KVBM_MAX_BLOCKS + 1);
	REFUSED(ENOSPC, m.block_count = (1 << 20));
	REFUSED(EINVAL, m.block_size = 0);
	REFUSED(EINVAL, m.block_size = 15);
	REFUSED(EINVAL, m.block_size = 2048);
	REFUSED(EINVAL, m.tier = 0);
	REFUSED(EINVAL, m.tier = 5);
	REFUSED(EINVAL, m.duplication = 2);
	REFUSED(EINVAL, m.policy_args[0] = 1);
	REFUSED(EINVAL, m.aux_size = KVBM_MAX_AUX + 1);
	REFUSED(EINVAL, m.nr_reserved = 1);
	REFUSED(EINVAL, m.mode = 01000);
	REFUSED(EINVAL, m.mode = 0111);
	REFUSED(EINVAL, m.reserved = 1);
	REFUSED(EINVAL, m.registry = 0);
	REFUSED(ENOENT, m.registry = 1ull << 40);
	REFUSED(EEXIST, strcpy(m.name, "m"));
	REFUSED(EINVAL, m.name[0] = 0);
	REFUSED(EINVAL, strcpy(m.name, ".x"));
	REFUSED(EINVAL, strcpy(m.name, "-x"));
	REFUSED(EINVAL, strcpy(m.name, "a b"));
	REFUSED(EINVAL, strcpy(m.name, "a:b"));
	REFUSED(EINVAL, strcpy(m.name, "a/b"));
	REFUSED(EINVAL, strcpy(m.name, "\xc3\xa4"));
	REFUSED(EINVAL, m.name[5] = 'a');
	REFUSED(EINVAL, memset(m.name, 'a', sizeof(m.name)));
#undef REFUSED
	manager_init(&m, self->w.registry, "x", 1);
	memset(m.name, 'a', sizeof(m.name) - 1);
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(-ENOENT, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(abi, query_and_list)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kvbm_registry_query rq = { .size = sizeof(rq) };
	struct kvbm_manager_create m;
	uint64_t ids[8];
	struct kvbm_list l = { .size = sizeof(l), .ids = ptr(ids), .count = 8,
			       .registry = self->w.registry };
	int fd = self->w.fd;

	EXPECT_EQ(-ENOTCONN, kv(fd, KVBM_MANAGER_QUERY, &q));
	ASSERT_EQ(0, kv(self->w.session, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(self->w.manager, q.id);
	EXPECT_EQ(self->w.registry, q.registry);
	EXPECT_STREQ("m", q.name);
	EXPECT_EQ(BLOCKS, q.out_block_count);
	EXPECT_EQ(BLOCK_SIZE, q.out_block_size);
	EXPECT_EQ(KVBM_POLICY_LRU, q.out_policy);
	EXPECT_EQ(1, q.out_sessions);
	EXPECT_EQ(0660, q.out_mode);
	q.id = 0;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_QUERY, &q));
	strcpy(q.name, "nobody");
	q.id = 0;
	EXPECT_EQ(-ENOENT, kv(fd, KVBM_MANAGER_QUERY, &q));
	manager_init(&m, self->w.registry, "m2", 10);
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_LIST, &l));
	EXPECT_EQ(2, l.out_count);
	EXPECT_EQ(self->w.manager, ids[0]);
	EXPECT_EQ(m.out_id, ids[1]);
	l.after = ids[0];
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_LIST, &l));
	EXPECT_EQ(1, l.out_count);
	l.after = UINT64_MAX;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_LIST, &l));
	EXPECT_EQ(0, l.out_count);
	l.registry = 1ull << 50;
	EXPECT_EQ(-ENOENT, kv(fd, KVBM_MANAGER_LIST, &l));
	rq.id = self->w.registry;
	ASSERT_EQ(0, kv(fd, KVBM_REGISTRY_QUERY, &rq));
	EXPECT_EQ(2, rq.out_managers);
	EXPECT_EQ(BLOCKS + 10, rq.out_blocks);
	EXPECT_EQ(0, rq.out_entries);
	EXPECT_EQ(-EBUSY, kv_destroy(fd, KVBM_REGISTRY_DESTROY, self->w.registry, 0));
	ASSERT_EQ(0, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(abi, binding)
{
	int fd = kv_open();
	struct kvbm_allocate a = { .size = sizeof(a) };
	struct kvbm_match m = { .size = sizeof(m) };

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTCONN, kv(fd, KVBM_ALLOCATE, &a));
	EXPECT_EQ(-EINVAL, kv_bind(fd, self->w.manager, 0));
	EXPECT_EQ(-EINVAL, kv_bind(fd, 0, ALL_RIGHTS));
	EXPECT_EQ(-ENOENT, kv_bind(fd, 1ull << 33, ALL_RIGHTS));
	EXPECT_EQ(0, kv_bind(fd, self->w.manager, KVBM_BIND_READ));
	EXPECT_EQ(-EISCONN, kv_bind(fd, self->w.manager, ALL_RIGHTS));
	EXPECT_EQ(-EACCES, kv(fd, KVBM_ALLOCATE, &a));
	EXPECT_EQ(0, kv(fd, KVBM_MATCH, &m));
	close(fd);
	fd = kv_session(self->w.manager, KVBM_BIND_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kv(fd, KVBM_ALLOCATE, &a));
	EXPECT_EQ(-EACCES, kv(fd, KVBM_MATCH, &m));
	close(fd);
}

/* Presence of two managers of one registry, and shares that move. */
TEST_F(abi, entries_follow_presence)
{
	struct kvbm_registry_query rq = { .size = sizeof(rq), .id = self->w.registry };
	struct kvbm_manager_create m;
	struct kvbm_token t[BLOCKS];
	int fd;

	manager_init(&m, self->w.registry, "m2", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kv_fill(fd, 1, 40, t));
	ASSERT_EQ(0, kv_fill(self->w.session, 1, 60, t));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_QUERY, &rq));
	EXPECT_EQ(60, rq.out_entries);
	close(fd);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_QUERY, &rq));
	EXPECT_EQ(60, rq.out_entries);
	EXPECT_EQ(BLOCKS, rq.out_blocks);
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
}

TEST_HARNESS_MAIN
