// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * libkvbm through its public interface alone, on either backend:
 *
 *	KVBM_URI=/dev/kvbm lib_test	default: inproc:
 */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib_fixture.h"

/* Connections. */

static void open_what_is_not_kvbm(void)
{
	char path[] = "/tmp/kvbm-lib-test-XXXXXX";
	struct kvbm *kvbm = NULL;
	int fd = mkstemp(path);

	EXPECT_EQ(kvbm_open("/nonexistent/kvbm", &kvbm), -ENOENT);
	EXPECT_EQ(kvbm_open("/dev/null", &kvbm), -EPROTO);
	EXPECT_EQ(kvbm_open("/dev/zero", &kvbm), -EPROTO);
	EXPECT_EQ(kvbm_open("/tmp", &kvbm), -EISDIR);
	EXPECT_EQ(kvbm_open(path, &kvbm), -EPROTO);
	EXPECT_EQ(kvbm_open("", &kvbm), -ENOENT);
	EXPECT_EQ(kvbm_open("tcp:host", &kvbm), -EINVAL);
	EXPECT_EQ(kvbm_open("inproc:name", &kvbm), -EINVAL);
	EXPECT_EQ(kvbm_open("inproc", &kvbm), -ENOENT);
	EXPECT(!kvbm);
	close(fd);
	unlink(path);
	kvbm_close(NULL);
	kvbm_session_close(NULL);
}

static void info(void)
{
	struct kvbm_info i;
	struct kvbm *kvbm;

	ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
	memset(&i, 0xff, sizeof(i));
	EXPECT_EQ(kvbm_info(kvbm, &i), 0);
	EXPECT(i.out_version > 0);
	EXPECT_EQ(i.out_max_batch, KVBM_MAX_BATCH);
	EXPECT_EQ(i.out_max_blocks, KVBM_MAX_BLOCKS);
	EXPECT(i.out_features & KVBM_FEATURE_PLH);
	EXPECT(i.out_commands[0] & 1ULL << KVBM_CMD_RELEASE);
	EXPECT(!(i.out_commands[0] & 1ULL << 0x3f));
	EXPECT(i.out_policies & 1ULL << KVBM_POLICY_LRU);
	EXPECT(i.out_chunk > 0);
	EXPECT_EQ(i.out_reserved[0] | i.out_reserved[1], 0);
	kvbm_close(kvbm);
}

/* Two connections in process have nothing in common; on the device, all. */
static void namespaces(void)
{
	struct kvbm_registry_query q;
	struct fixture f;
	struct kvbm *other;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_open(test_uri(), &other), 0);
	EXPECT_EQ(kvbm_find_registry(other, f.name, &q), is_inproc() ? -ENOENT : 0);
	kvbm_close(other);
	tear_down(&f);
}

/* Registries and managers. */

static void registries(void)
{
	struct kvbm_registry_create attr;
	struct kvbm_registry_query q;
	uint64_t a, b, c;
	struct kvbm *kvbm;
	char name[KVBM_NAME_SIZE];

	ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
	unique_name(name, "a");
	kvbm_registry_attr_init(&attr, name);
	EXPECT_EQ(attr.mode, 0660);
	attr.capacity = 1000;
	attr.schema = KVBM_SCHEMA_OPAQUE;
	attr.size = 1;	/* the library knows better */
	ASSERT_EQ(kvbm_create_registry(kvbm, &attr, &a), 0);
	EXPECT(a > 0);
	EXPECT_EQ(kvbm_create_registry(kvbm, &attr, &b), -EEXIST);

	EXPECT_EQ(kvbm_find_registry(kvbm, name, &q), 0);
	EXPECT_EQ(q.id, a);
	EXPECT_EQ(kvbm_query_registry(kvbm, a, &q), 0);
	EXPECT(!strcmp(q.name, name));
	EXPECT_EQ(q.out_schema, KVBM_SCHEMA_OPAQUE);
	EXPECT_EQ(q.out_hash_size, 16);
	EXPECT_EQ(q.out_mode, 0660);
	EXPECT_EQ(q.out_uid, geteuid());
	EXPECT_EQ(q.out_gid, getegid());
	EXPECT_EQ(q.out_managers, 0);
	EXPECT_EQ(q.out_capacity, 1000);
	EXPECT_EQ(q.out_blocks, 0);
	EXPECT_EQ(q.out_entries, 0);

	EXPECT_EQ(kvbm_destroy_registry(kvbm, a), 0);
	EXPECT_EQ(kvbm_destroy_registry(kvbm, a), -ENOENT);
	EXPECT_EQ(kvbm_query_registry(kvbm, a, &q), -ENOENT);
	EXPECT_EQ(kvbm_find_registry(kvbm, name, &q), -ENOENT);
	EXPECT_EQ(kvbm_query_registry(kvbm, 0, &q), -ENOENT);
	EXPECT_EQ(kvbm_destroy_registry(kvbm, 0), -EINVAL);

	/* The name is free again, the id never is. */
	EXPECT_EQ(kvbm_create_registry(kvbm, &attr, &c), 0);
	EXPECT(c > a);
	EXPECT_EQ(kvbm_destroy_registry(kvbm, c), 0);
	kvbm_close(kvbm);
}

static void names_are_checked(void)
{
	static const char *const bad[] = {
		"", ".hidden", "-x", "a b", "a/b", "a:b", "\xc3\xa4",
		"0123456789012345678901234567890123456789012345678901234567890123",
		"01234567890123456789012345678901234567890123456789012345678901234567",
	};
	struct kvbm_registry_create attr;
	struct kvbm_registry_query q;
	struct kvbm_manager_create ma;
	struct kvbm_manager_query mq;
	struct kvbm *kvbm;
	uint64_t id;
	size_t i;

	ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		kvbm_registry_attr_init(&attr, bad[i]);
		EXPECT_EQ(kvbm_create_registry(kvbm, &attr, &id), -EINVAL);
		EXPECT_EQ(kvbm_find_registry(kvbm, bad[i], &q), -EINVAL);
		kvbm_manager_attr_init(&ma, 1, bad[i], 4);
		EXPECT_EQ(kvbm_create_manager(kvbm, &ma, &id), -EINVAL);
	}
	EXPECT_EQ(kvbm_find_manager(kvbm, "no-colon", &mq), -EINVAL);
	EXPECT_EQ(kvbm_find_manager(kvbm, "", &mq), -EINVAL);
	EXPECT_EQ(kvbm_find_manager(kvbm, ":m", &mq), -EINVAL);
	EXPECT_EQ(kvbm_find_manager(kvbm, "no-such-registry:", &mq), -EINVAL);
	EXPECT_EQ(kvbm_find_manager(kvbm, "no-such-registry:m", &mq), -ENOENT);
	/* The longest name there is. */
	kvbm_registry_attr_init(&attr, bad[7] + 1);
	EXPECT_EQ(kvbm_create_registry(kvbm, &attr, &id), 0);
	EXPECT_EQ(kvbm_find_registry(kvbm, bad[7] + 1, &q), 0);
	EXPECT_EQ(kvbm_destroy_registry(kvbm, id), 0);
	kvbm_close(kvbm);
}

static void g2_reject(struct kvbm_manager_create *attr)
{
	attr->tier = KVBM_TIER_G2;
	attr->duplication = KVBM_DUP_REJECT;
}

static void managers(void)
{
	struct kvbm_registry_query rq;
	struct kvbm_manager_create attr;
	struct kvbm_manager_query q;
	struct fixture f;
	uint64_t id;
	char name[128];

	set_up_with(&f, 32, g2_reject);
	snprintf(name, sizeof(name), "%s:m", f.name);
	EXPECT_EQ(kvbm_find_manager(f.kvbm, name, &q), 0);
	EXPECT_EQ(q.id, f.manager);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, f.manager, &q), 0);
	EXPECT(!strcmp(q.name, "m"));
	EXPECT_EQ(q.registry, f.registry);
	EXPECT_EQ(q.out_tier, KVBM_TIER_G2);
	EXPECT_EQ(q.out_block_size, BLOCK_SIZE);
	EXPECT_EQ(q.out_block_count, 32);
	EXPECT_EQ(q.out_duplication, KVBM_DUP_REJECT);
	EXPECT(q.out_policy != KVBM_POLICY_DEFAULT);
	EXPECT_EQ(q.out_mode, 0660);
	EXPECT_EQ(q.out_uid, geteuid());
	EXPECT_EQ(q.out_linger_ms, KVBM_LINGER_FOREVER);
	EXPECT_EQ(q.out_sessions, 1);
	EXPECT(q.out_bytes >= 32 * 64);
	EXPECT(q.out_created_ns > 0);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 1);
	EXPECT_EQ(rq.out_blocks, 32);

	kvbm_manager_attr_init(&attr, f.registry, "m", 4);
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EEXIST);
	kvbm_manager_attr_init(&attr, f.registry, "n", 33);
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -ENOSPC);
	attr.block_count = 0;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	attr.block_count = 4;
	attr.block_size = 3;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	attr.block_size = 4;
	attr.tier = 5;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	attr.tier = KVBM_TIER_G4;
	attr.reserved = 1;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	attr.reserved = 0;
	attr.numa_node = 1;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EOPNOTSUPP);
	attr.numa_node = 0;
	attr.registry = ~0ULL;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -ENOENT);
	attr.registry = 0;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);

	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), -EBUSY);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, ~0ULL, &q), -ENOENT);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, 0, &q), -ENOENT);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, ~0ULL, true), -ENOENT);
	tear_down(&f);
}

static bool contains(const uint64_t *ids, ssize_t n, uint64_t id)
{
	ssize_t i;

	for (i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* More than the library asks for at a time. */
#define MANY	600

static void lists(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	uint64_t *ids, made[MANY], m[3];
	struct fixture f;
	ssize_t n, i;
	char name[32];

	set_up(&f, 4);
	kvbm_manager_attr_init(&ma, f.registry, "m2", 2);
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &m[0]), 0);
	kvbm_manager_attr_init(&ma, f.registry, "m3", 2);
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &m[1]), 0);
	n = kvbm_list_managers(f.kvbm, f.registry, &ids);
	ASSERT_EQ(n, 3);
	EXPECT_EQ(ids[0], f.manager);
	EXPECT_EQ(ids[1], m[0]);
	EXPECT_EQ(ids[2], m[1]);
	free(ids);
	n = kvbm_list_managers(f.kvbm, 0, &ids);
	EXPECT(n >= 3 && contains(ids, n, m[1]));
	free(ids);
	EXPECT_EQ(kvbm_list_managers(f.kvbm, ~0ULL, &ids), -ENOENT);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, m[0], false), 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, m[1], false), 0);

	n = kvbm_list_registries(f.kvbm, &ids);
	EXPECT(n >= 1 && contains(ids, n, f.registry));
	free(ids);
	/* The module has a limit on how many there may be. */
	if (is_inproc()) {
		for (i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "r%zd", i);
			kvbm_registry_attr_init(&ra, name);
			ra.capacity = 1;
			ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &made[i]), 0);
		}
		n = kvbm_list_registries(f.kvbm, &ids);
		ASSERT_EQ(n, MANY + 1);
		for (i = 0; i < MANY; i++) {
			EXPECT_EQ(ids[i + 1], made[i]);
			EXPECT_EQ(kvbm_destroy_registry(f.kvbm, made[i]), 0);
		}
		free(ids);
	}
	tear_down(&f);
}

/* Sessions. */

static void session_properties(void)
{
	struct kvbm_check_result check;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 9);
	EXPECT_EQ(kvbm_session_block_size(f.s), BLOCK_SIZE);
	EXPECT_EQ(kvbm_session_block_count(f.s), 9);
	if (is_inproc())
		EXPECT_EQ(kvbm_session_fd(f.s), -1);
	else
		EXPECT(kvbm_session_fd(f.s) >= 0);
	EXPECT_EQ(kvbm_session_counters(f.s, &c), 0);
	EXPECT_EQ(c.reset_pool_size, 9);
	EXPECT_EQ(kvbm_session_verify(f.s, &check), 0);
	EXPECT_EQ(check.errors, 0);
	EXPECT_EQ(check.blocks, 9);
	EXPECT_EQ(check.exact, 1);
	EXPECT_EQ(kvbm_manager_counters(f.kvbm, 0, &c), -ENOENT);
	EXPECT_EQ(kvbm_manager_verify(f.kvbm, 0, &check), -ENOENT);
	EXPECT_EQ(kvbm_manager_counters(f.kvbm, ~0ULL, &c), -ENOENT);
	tear_down(&f);
}

static void bind_is_checked(void)
{
	struct kvbm_session *s = NULL;
	struct fixture f;

	set_up(&f, 4);
	EXPECT_EQ(kvbm_bind(f.kvbm, ~0ULL, 0, &s), -ENOENT);
	EXPECT_EQ(kvbm_bind(f.kvbm, 0, 0, &s), -EINVAL);
	EXPECT_EQ(kvbm_bind(f.kvbm, f.manager, 1 << 5, &s), -EINVAL);
	EXPECT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_SHARED | KVBM_BIND_OWNED,
			    &s), -EINVAL);
	EXPECT(!s);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_SHARED, &s), 0);
	kvbm_session_close(s);
	tear_down(&f);
}

static void rights(void)
{
	struct kvbm_session *reader, *writer;
	struct kvbm_check_result check;
	struct kvbm_complete complete;
	struct kvbm_immutable m, held;
	struct kvbm_acquired got;
	struct kvbm_counters c;
	struct kvbm_mutable b;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	fill(&f, 0, 1, &held);
	hashes_of(0, 1, &h);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &reader), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_WRITE, &writer), 0);

	EXPECT_EQ(kvbm_allocate(reader, 1, &b, NULL, NULL), -EACCES);
	EXPECT_EQ(kvbm_acquire(reader, &h, 1, 1, &m, &b, NULL, &got), -EACCES);
	EXPECT_EQ(kvbm_stage(reader, 1, &b, &h, BLOCK_SIZE, &complete), -EACCES);
	EXPECT_EQ(kvbm_register(reader, 1, &complete, &m, NULL), -EACCES);
	EXPECT_EQ(kvbm_stage_register(reader, 1, &b, &h, BLOCK_SIZE, &m, NULL, NULL),
		  -EACCES);
	EXPECT_EQ(kvbm_match(reader, 1, &h, &m), 1);
	EXPECT_EQ(kvbm_release(reader, 1, &m), 0);
	EXPECT_EQ(kvbm_session_counters(reader, &c), 0);

	EXPECT_EQ(kvbm_match(writer, 1, &h, &m), -EACCES);
	EXPECT_EQ(kvbm_acquire(writer, &h, 1, 1, &m, &b, NULL, &got), -EACCES);
	EXPECT_EQ(kvbm_session_counters(writer, &c), -EACCES);
	EXPECT_EQ(kvbm_session_verify(writer, &check), -EACCES);
	EXPECT_EQ(kvbm_allocate(writer, 1, &b, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release(writer, 1, &b), 0);
	kvbm_session_close(reader);
	kvbm_session_close(writer);
	tear_down(&f);
}

static void session_outlives_connection(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	struct kvbm_session *s;
	struct kvbm_mutable b[2];
	char name[KVBM_NAME_SIZE];
	uint64_t r, m;
	struct kvbm *kvbm;

	ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
	unique_name(name, "outlive");
	kvbm_registry_attr_init(&ra, name);
	ra.capacity = 4;
	ASSERT_EQ(kvbm_create_registry(kvbm, &ra, &r), 0);
	kvbm_manager_attr_init(&ma, r, "m", 4);
	ASSERT_EQ(kvbm_create_manager(kvbm, &ma, &m), 0);
	ASSERT_EQ(kvbm_bind(kvbm, m, 0, &s), 0);
	kvbm_close(kvbm);
	EXPECT_EQ(kvbm_allocate(s, 2, b, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release(s, 1, b), 0);
	kvbm_session_close(s);
	if (!is_inproc()) {
		ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
		EXPECT_EQ(kvbm_destroy_manager(kvbm, m, false), 0);
		EXPECT_EQ(kvbm_destroy_registry(kvbm, r), 0);
		kvbm_close(kvbm);
	}
}

static void close_gives_back(void)
{
	struct kvbm_immutable im[2];
	struct kvbm_complete c1;
	struct kvbm_mutable m[2];
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 8);
	fill(&f, 0, 2, im);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	hashes_of(9, 1, &h);
	ASSERT_EQ(kvbm_stage(f.s, 1, m, &h, BLOCK_SIZE, &c1), 0);
	kvbm_session_close(f.s);
	ASSERT_EQ(kvbm_manager_counters(f.kvbm, f.manager, &c), 0);
	EXPECT_EQ(c.reset_pool_size, 6);
	EXPECT_EQ(c.inactive_pool_size, 2);
	EXPECT_EQ(c.reclaimed_sessions, 1);
	EXPECT_EQ(c.reclaimed_mutable, 1);
	EXPECT_EQ(c.reclaimed_staged, 1);
	EXPECT_EQ(c.reclaimed_immutable, 2);
	EXPECT(c.reclaim_end_ns > 0);
	EXPECT_EQ(c.reclaim_last_ns, c.reclaim_max_ns);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &f.s), 0);
	tear_down(&f);
}

static void destroy_manager(void)
{
	struct kvbm_session *other;
	struct kvbm_manager_create attr;
	struct kvbm_check_result check;
	struct kvbm_manager_query q;
	struct kvbm_immutable im;
	struct kvbm_complete cb;
	struct kvbm_mutable b[2];
	struct kvbm_acquired got;
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;
	uint64_t id;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 2, b, NULL, NULL), 0);
	hashes_of(0, 1, &h);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, false), -EBUSY);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, f.manager, &q), 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, f.manager, &q), -ENOENT);
	EXPECT_EQ(kvbm_manager_counters(f.kvbm, f.manager, &c), -ENOENT);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), -ENOENT);

	/* Sessions can give back, and see that it is over. */
	EXPECT_EQ(kvbm_allocate(f.s, 1, b + 1, NULL, NULL), -ESHUTDOWN);
	EXPECT(is_empty(b + 1, 1));
	EXPECT_EQ(kvbm_match(other, 1, &h, &im), -ESHUTDOWN);
	EXPECT_EQ(kvbm_acquire(other, &h, 1, 1, &im, b + 1, NULL, &got), -ESHUTDOWN);
	EXPECT_EQ(kvbm_stage(f.s, 1, b, &h, BLOCK_SIZE, &cb), -ESHUTDOWN);
	EXPECT(!is_empty(b, 1));
	EXPECT_EQ(kvbm_session_counters(f.s, &c), 0);
	EXPECT_EQ(kvbm_session_verify(f.s, &check), 0);
	EXPECT_EQ(check.errors, 0);
	EXPECT_EQ(kvbm_release(f.s, 1, b), 0);
	kvbm_session_close(other);

	/* The name is free at once; the blocks when the last session has gone. */
	kvbm_manager_attr_init(&attr, f.registry, "m", 16);
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -ENOSPC);
	attr.block_count = 8;
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), 0);
	EXPECT(id > f.manager);
	kvbm_session_close(f.s);
	f.manager = id;
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &f.s), 0);
	tear_down(&f);
}

/* A registry can go while a manager without a name is still in use. */
static void destroy_registry_before_session(void)
{
	struct kvbm_mutable b;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &b, NULL, NULL), 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), 0);
	EXPECT_EQ(kvbm_release(f.s, 1, &b), 0);
	kvbm_close(f.kvbm);
	kvbm_session_close(f.s);
}

/* The life cycle. */

static void life_cycle(void)
{
	struct kvbm_immutable im[3], again[4];
	struct kvbm_complete complete[3];
	struct kvbm_mutable m[3];
	struct kvbm_hash h[4];
	uint8_t kinds[3] = { 77, 77, 77 };
	struct kvbm_registry_query q;
	struct kvbm_counters c;
	struct fixture f;
	int i;

	set_up(&f, 8);
	hashes_of(0, 4, h);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(m[i].token.id, i);
	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), 0);
	EXPECT(is_empty(m, 3));
	EXPECT(!is_empty(complete, 1));
	ASSERT_EQ(kvbm_register(f.s, 3, complete, im, kinds), 0);
	EXPECT(is_empty(complete, 3));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(im[i].token.id, i);
		EXPECT_EQ(kinds[i], KVBM_REGISTERED_NEW);
	}
	memset(again, 0xee, sizeof(again));
	EXPECT_EQ(kvbm_match(f.s, 4, h, again), 3);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(again[i].token.gen, im[i].token.gen);
	EXPECT(is_empty(again + 3, 1));
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_entries, 3);

	c = counters(&f);
	EXPECT_EQ(c.allocations, 3);
	EXPECT_EQ(c.stagings, 3);
	EXPECT_EQ(c.registrations, 3);
	EXPECT_EQ(c.match_hashes_requested, 4);
	EXPECT_EQ(c.match_blocks_returned, 3);
	EXPECT_EQ(c.inflight_immutable, 6);

	ASSERT_EQ(kvbm_release(f.s, 3, im), 0);
	EXPECT(is_empty(im, 3));
	ASSERT_EQ(kvbm_release(f.s, 4, again), 0);
	EXPECT(is_empty(again, 4));
	c = counters(&f);
	EXPECT_EQ(c.inflight_immutable, 0);
	EXPECT_EQ(c.inactive_pool_size, 3);
	tear_down(&f);
}

static void evicted_hashes(void)
{
	struct kvbm_hash h[4], evicted[6];
	struct kvbm_immutable im[4];
	struct kvbm_mutable m[6];
	struct fixture f;
	size_t n = 77;
	int i;

	set_up(&f, 6);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 5, m, evicted, &n), 0);
	EXPECT_EQ(n, 3);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(evicted[i].lo, h[i].lo);
		EXPECT_EQ(evicted[i].hi, h[i].hi);
	}
	EXPECT_EQ(kvbm_match(f.s, 1, h, im), 0);
	EXPECT_EQ(kvbm_match(f.s, 1, h + 3, im), 1);
	n = 77;
	EXPECT_EQ(kvbm_allocate(f.s, 1, m + 5, evicted, &n), -ENOSPC);
	EXPECT_EQ(n, 0);
	tear_down(&f);
}

static void acquire(struct fixture *f, size_t present, size_t n)
{
	struct kvbm_immutable *im = calloc(n, sizeof(*im));
	struct kvbm_mutable *m = calloc(n, sizeof(*m));
	struct kvbm_hash *h = calloc(n, sizeof(*h));
	struct kvbm_acquired got;
	size_t i;

	hashes_of(0, n, h);
	fill(f, 0, present, im);
	ASSERT_EQ(kvbm_release(f->s, present, im), 0);
	memset(im, 0xee, n * sizeof(*im));
	memset(m, 0xee, n * sizeof(*m));
	EXPECT_EQ(kvbm_acquire(f->s, h, n - 1, n, im, m, NULL, &got), 0);
	EXPECT_EQ(got.matched, present);
	EXPECT_EQ(got.allocated, n - present);
	EXPECT_EQ(got.evicted, 0);
	for (i = 0; i < present; i++)
		EXPECT_EQ(im[i].token.id, i);
	for (i = 0; i < n - present; i++)
		EXPECT_EQ(m[i].token.id, present + i);
	EXPECT(is_empty(im + present, n - 1 - present));
	EXPECT(is_empty(m + n - present, present));
	/* They are what their types say. */
	EXPECT_EQ(kvbm_stage_register(f->s, n - present, m, h + present, BLOCK_SIZE,
				      im + present, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release(f->s, n, im), 0);
	free(im);
	free(m);
	free(h);
}

static void acquire_small(void)
{
	struct fixture f;

	set_up(&f, 16);
	acquire(&f, 5, 12);
	tear_down(&f);
}

static void acquire_large(void)
{
	struct fixture f;

	set_up(&f, 1000);
	acquire(&f, 300, 900);
	tear_down(&f);
}

static void acquire_neither(void)
{
	struct kvbm_immutable im[4];
	struct kvbm_acquired got = { 7, 7, 7 };
	struct kvbm_mutable m[9];
	struct kvbm_hash h[4];
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	memset(im, 0xee, sizeof(im));
	memset(m, 0xee, sizeof(m));
	EXPECT_EQ(kvbm_acquire(f.s, h, 4, 9, im, m, NULL, &got), -ENOSPC);
	EXPECT_EQ(got.matched + got.allocated + got.evicted, 0);
	EXPECT(is_empty(im, 4));
	EXPECT(is_empty(m, 9));
	c = counters(&f);
	EXPECT_EQ(c.inflight_immutable + c.inflight_mutable, 0);
	EXPECT_EQ(kvbm_acquire(f.s, h, 4, 3, im, m, NULL, &got), -EINVAL);
	tear_down(&f);
}

static void stage_register_with_next(void)
{
	struct kvbm_mutable m[2], more[4], again[4];
	struct kvbm_immutable im[2];
	struct kvbm_next next = { .count = 4, .out = more };
	struct kvbm_hash h[2];
	uint8_t kinds[2];
	struct fixture f;

	set_up(&f, 7);
	hashes_of(0, 2, h);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage_register(f.s, 2, m, h, BLOCK_SIZE, im, kinds, &next), 0);
	EXPECT(is_empty(m, 2));
	EXPECT_EQ(next.allocated, 4);
	EXPECT_EQ(next.nr_evicted, 0);
	EXPECT_EQ(more[3].token.id, 5);
	/* One is left: not enough, and no error. */
	hashes_of(2, 2, h);
	memset(again, 0xee, sizeof(again));
	next.out = again;
	EXPECT_EQ(kvbm_stage_register(f.s, 2, more, h, BLOCK_SIZE, im, kinds, &next), 0);
	EXPECT_EQ(next.allocated, 0);
	EXPECT(is_empty(next.out, 4));
	/* Nothing to register, only the next ones. */
	next.count = 1;
	EXPECT_EQ(kvbm_stage_register(f.s, 0, NULL, NULL, BLOCK_SIZE, NULL, NULL,
				      &next), 0);
	EXPECT_EQ(next.allocated, 1);
	tear_down(&f);
}

static void reject(void)
{
	struct kvbm_immutable a, b[2];
	struct kvbm_mutable m[2];
	struct kvbm_hash h[2];
	uint8_t kinds[2];
	struct fixture f;

	set_up_with(&f, 4, g2_reject);
	fill(&f, 0, 1, &a);
	hashes_of(0, 2, h);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage_register(f.s, 2, m, h, BLOCK_SIZE, b, kinds, NULL), 0);
	EXPECT_EQ(kinds[0], KVBM_REGISTERED_EXISTING);
	EXPECT_EQ(kinds[1], KVBM_REGISTERED_NEW);
	EXPECT_EQ(b[0].token.id, a.token.id);
	EXPECT_EQ(b[0].token.gen, a.token.gen);
	/* Two guards on one block: both must go. */
	EXPECT_EQ(kvbm_release(f.s, 1, &a), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	EXPECT_EQ(kvbm_release(f.s, 2, b), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 2);
	tear_down(&f);
}

static void no_cache(struct kvbm_manager_create *attr)
{
	attr->flags = KVBM_MANAGER_RESET_ON_RELEASE;
}

static void reset_on_release(void)
{
	struct kvbm_immutable im;
	struct fixture f;

	set_up_with(&f, 4, no_cache);
	fill(&f, 0, 1, &im);
	EXPECT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 4);
	tear_down(&f);
}

/* What a call refuses stays with the caller. */

static void errors_hand_back(void)
{
	struct kvbm_mutable m[3], copy[3], stolen;
	struct kvbm_complete complete[3], done[3];
	struct kvbm_immutable im[3];
	struct kvbm_session *other;
	struct kvbm_hash h[3];
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
	hashes_of(0, 3, h);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	memcpy(copy, m, sizeof(m));

	memset(complete, 0xee, sizeof(complete));
	EXPECT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE / 2, complete), -EDOM);
	EXPECT(!memcmp(m, copy, sizeof(m)));
	EXPECT(is_empty(complete, 3));

	h[2].hi |= 3ULL << 62;
	EXPECT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), -EILSEQ);
	EXPECT_EQ(kvbm_failed_index(), 2);
	EXPECT(!memcmp(m, copy, sizeof(m)));
	EXPECT_EQ(kvbm_stage_register(f.s, 3, m, h, BLOCK_SIZE, im, NULL, NULL), -EILSEQ);
	EXPECT_EQ(kvbm_failed_index(), 2);
	EXPECT(!memcmp(m, copy, sizeof(m)));
	EXPECT(is_empty(im, 3));
	hashes_of(0, 3, h);

	m[1].token.gen--;
	EXPECT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 1);
	m[1] = copy[1];

	/* What another session holds. */
	ASSERT_EQ(kvbm_allocate(other, 1, &stolen, NULL, NULL), 0);
	m[0] = stolen;
	EXPECT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), -ENXIO);
	EXPECT_EQ(kvbm_failed_index(), 0);
	EXPECT_EQ(m[0].token.id, stolen.token.id);
	m[0] = copy[0];

	/* A block that is in another state than its guard says. */
	memcpy(complete, m, sizeof(complete));
	memset(im, 0xee, sizeof(im));
	EXPECT_EQ(kvbm_register(f.s, 3, complete, im, NULL), -EBADFD);
	EXPECT_EQ(kvbm_failed_index(), 0);
	EXPECT(!memcmp(complete, copy, sizeof(copy)));
	EXPECT(is_empty(im, 3));

	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, done), 0);
	done[2].token.id = 1000;
	EXPECT_EQ(kvbm_register(f.s, 3, done, im, NULL), -ENXIO);
	EXPECT_EQ(kvbm_failed_index(), 2);
	done[2].token.id = copy[2].token.id;
	EXPECT_EQ(kvbm_register(f.s, 3, done, im, NULL), 0);
	c = counters(&f);
	EXPECT_EQ(c.stagings, 3);
	EXPECT_EQ(c.registrations, 3);
	kvbm_session_close(other);
	tear_down(&f);
}

static void *fail_elsewhere(void *arg)
{
	struct fixture *f = arg;
	struct kvbm_mutable m[8] = { 0 };

	EXPECT_EQ(kvbm_failed_index(), 0);
	m[5].token.id = 1;
	m[6].token.id = 2;
	m[6].token.gen = 1;
	/* Two guards are not empty: the first of them is refused. */
	EXPECT_EQ(kvbm_release(f->s, 8, m), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 0);
	return NULL;
}

static void failed_index_is_of_the_thread(void)
{
	struct kvbm_mutable m[4];
	pthread_t thread;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 4, m, NULL, NULL), 0);
	m[3].token.gen++;
	EXPECT_EQ(kvbm_release(f.s, 4, m), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 3);
	ASSERT_EQ(pthread_create(&thread, NULL, fail_elsewhere, &f), 0);
	pthread_join(thread, NULL);
	EXPECT_EQ(kvbm_failed_index(), 3);
	tear_down(&f);
}

static void release_skips_empty(void)
{
	struct kvbm_mutable m[6] = { 0 }, got[3];
	struct fixture f;

	set_up(&f, 8);
	EXPECT_EQ(kvbm_release(f.s, 6, m), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 3, got, NULL, NULL), 0);
	m[1] = got[2];
	m[3] = got[0];
	m[4] = got[1];
	EXPECT_EQ(kvbm_release(f.s, 6, m), 0);
	EXPECT(is_empty(m, 6));
	/* In the order of the array. */
	ASSERT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 3, got, NULL, NULL), 0);
	EXPECT_EQ(got[0].token.id, 2);
	EXPECT_EQ(got[1].token.id, 0);
	EXPECT_EQ(got[2].token.id, 1);

	/* All or none: what is good stays held. */
	m[0] = (struct kvbm_mutable){ 0 };
	m[2].token.gen++;
	EXPECT_EQ(kvbm_release(f.s, 5, m), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 1);
	EXPECT(is_empty(m + 4, 1));
	EXPECT_EQ(counters(&f).inflight_mutable, 8);
	m[1].token.gen--;
	EXPECT_EQ(kvbm_release(f.s, 5, m), 0);
	EXPECT_EQ(counters(&f).inflight_mutable, 4);
	tear_down(&f);
}

static void hints(void)
{
	struct kvbm_hint finished = { KVBM_HINT_FINISHED, 0 };
	struct kvbm_hint later = { KVBM_HINT_RETURN, 40 };
	struct kvbm_immutable im[4];
	struct kvbm_mutable m[4];
	struct kvbm_hash evicted[4], h[4];
	struct fixture f;
	size_t n;

	set_up(&f, 4);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	EXPECT_EQ(kvbm_release_immutable(f.s, 1, im, (struct kvbm_hint){ 4, 0 }), -EINVAL);
	EXPECT_EQ(kvbm_release_immutable(f.s, 1, im, (struct kvbm_hint){ 0, 1 }), -EINVAL);
	EXPECT_EQ(kvbm_release_immutable(f.s, 1, im, (struct kvbm_hint){
					 KVBM_HINT_RETURN, 41 }), -EINVAL);
	EXPECT(!is_empty(im, 1));
	EXPECT_EQ(kvbm_release_immutable(f.s, 2, im, later), 0);
	EXPECT_EQ(kvbm_release_immutable(f.s, 1, im + 2, KVBM_NO_HINT), 0);
	EXPECT_EQ(kvbm_release_immutable(f.s, 1, im + 3, finished), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 4, m, evicted, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_EQ(evicted[0].lo, h[3].lo);
	EXPECT_EQ(evicted[1].lo, h[0].lo);
	EXPECT_EQ(kvbm_release_mutable(f.s, 4, m, finished), 0);
	tear_down(&f);
}

static int in_a_scope(struct fixture *f, bool fail)
{
	struct kvbm_immutable im[4] = { 0 };
	struct kvbm_complete complete[4] = { 0 };
	struct kvbm_mutable m[4] = { 0 };
	struct kvbm_hash h[4];

	KVBM_SCOPE(mutable, scope_m, f->s, 4, m);
	KVBM_SCOPE(complete, scope_c, f->s, 4, complete);
	KVBM_SCOPE(immutable, scope_i, f->s, 4, im);

	hashes_of(0, 4, h);
	ASSERT_EQ(kvbm_allocate(f->s, 4, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f->s, 3, m, h, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_register(f->s, 2, complete, im, NULL), 0);
	/* One Mutable, one Staged, two registered. */
	EXPECT_EQ(counters(f).inflight_mutable, 1);
	EXPECT_EQ(counters(f).inflight_immutable, 2);
	if (fail)
		return -1;
	EXPECT_EQ(kvbm_release(f->s, 2, im), 0);
	return 0;
}

static void scopes(void)
{
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 4);
	EXPECT_EQ(in_a_scope(&f, true), -1);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 2);
	EXPECT_EQ(c.inactive_pool_size, 2);
	EXPECT_EQ(c.inflight_mutable + c.inflight_immutable, 0);
	EXPECT_EQ(in_a_scope(&f, false), 0);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size + c.inactive_pool_size, 4);
	tear_down(&f);
}

/* Guards of a failed allocation are empty, so a scope has nothing to do. */
static void scope_after_error(void)
{
	struct fixture f;

	set_up(&f, 4);
	{
		struct kvbm_mutable m[5];

		memset(m, 0xee, sizeof(m));
		KVBM_SCOPE(mutable, scope, f.s, 5, m);
		EXPECT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), -ENOSPC);
		EXPECT(is_empty(m, 5));
	}
	EXPECT_EQ(counters(&f).reset_pool_size, 4);
	tear_down(&f);
}

static void generic_release(void)
{
	struct kvbm_complete complete;
	struct kvbm_immutable im;
	struct kvbm_mutable m[3];
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(5, 1, &h);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 1, m + 2, &h, BLOCK_SIZE, &complete), 0);
	EXPECT_EQ(kvbm_release(f.s, 2, m), 0);
	EXPECT_EQ(kvbm_release(f.s, 1, &complete), 0);
	EXPECT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 3);
	tear_down(&f);
}

/* Limits. */

static void nothing_at_all(void)
{
	struct kvbm_acquired got;
	struct kvbm_counters before, after;
	struct fixture f;
	size_t n = 77;

	set_up(&f, 4);
	before = counters(&f);
	EXPECT_EQ(kvbm_allocate(f.s, 0, NULL, NULL, &n), 0);
	EXPECT_EQ(n, 0);
	EXPECT_EQ(kvbm_acquire(f.s, NULL, 0, 0, NULL, NULL, NULL, &got), 0);
	EXPECT_EQ(kvbm_stage(f.s, 0, NULL, NULL, BLOCK_SIZE, NULL), 0);
	EXPECT_EQ(kvbm_register(f.s, 0, NULL, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage_register(f.s, 0, NULL, NULL, BLOCK_SIZE, NULL, NULL,
				      NULL), 0);
	EXPECT_EQ(kvbm_match(f.s, 0, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release_mutable(f.s, 0, NULL, KVBM_NO_HINT), 0);
	after = counters(&f);
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	tear_down(&f);
}

static void null_pointers(void)
{
	struct kvbm_complete complete[2];
	struct kvbm_immutable im[2];
	struct kvbm_mutable m[2];
	struct kvbm_acquired got;
	struct kvbm_next next = { .count = 1 };
	struct kvbm_counters before, after;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	before = counters(&f);
	EXPECT_EQ(kvbm_allocate(f.s, 2, NULL, NULL, NULL), -EFAULT);
	EXPECT_EQ(kvbm_acquire(f.s, NULL, 2, 2, im, m, NULL, &got), -EFAULT);
	EXPECT_EQ(kvbm_acquire(f.s, h, 2, 2, NULL, m, NULL, &got), -EFAULT);
	EXPECT_EQ(kvbm_acquire(f.s, h, 2, 2, im, NULL, NULL, &got), -EFAULT);
	EXPECT_EQ(kvbm_stage(f.s, 2, NULL, h, BLOCK_SIZE, complete), -EFAULT);
	EXPECT_EQ(kvbm_stage(f.s, 2, m, NULL, BLOCK_SIZE, complete), -EFAULT);
	EXPECT_EQ(kvbm_stage(f.s, 2, m, h, BLOCK_SIZE, NULL), -EFAULT);
	EXPECT_EQ(kvbm_register(f.s, 2, NULL, im, NULL), -EFAULT);
	EXPECT_EQ(kvbm_register(f.s, 2, complete, NULL, NULL), -EFAULT);
	EXPECT_EQ(kvbm_stage_register(f.s, 2, m, h, BLOCK_SIZE, NULL, NULL, NULL),
		  -EFAULT);
	EXPECT_EQ(kvbm_stage_register(f.s, 2, m, h, BLOCK_SIZE, im, NULL, &next),
		  -EFAULT);
	EXPECT_EQ(kvbm_match(f.s, 2, NULL, im), -EFAULT);
	EXPECT_EQ(kvbm_match(f.s, 2, h, NULL), -EFAULT);
	EXPECT_EQ(kvbm_release_mutable(f.s, 2, NULL, KVBM_NO_HINT), -EFAULT);
	after = counters(&f);
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	/* They are ours still. */
	EXPECT_EQ(kvbm_release(f.s, 2, m), 0);
	tear_down(&f);
}

static void batch_limit(void)
{
	size_t n = KVBM_MAX_BATCH, i;
	struct kvbm_immutable *im = calloc(n + 1, sizeof(*im));
	struct kvbm_mutable *m = calloc(n + 1, sizeof(*m));
	struct kvbm_hash *h = calloc(n + 1, sizeof(*h));
	struct kvbm_acquired got;
	struct fixture f;

	set_up(&f, n);
	hashes_of(0, n + 1, h);
	EXPECT_EQ(kvbm_allocate(f.s, n + 1, m, NULL, NULL), -EINVAL);
	EXPECT_EQ(kvbm_match(f.s, n + 1, h, im), -EINVAL);
	EXPECT_EQ(kvbm_acquire(f.s, h, 0, n + 1, im, m, NULL, &got), -EINVAL);
	EXPECT_EQ(kvbm_allocate(f.s, (size_t)1 << 32, m, NULL, NULL), -EINVAL);

	ASSERT_EQ(kvbm_allocate(f.s, n, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register(f.s, n, m, h, BLOCK_SIZE, im, NULL, NULL), 0);
	EXPECT(is_empty(m, n));
	ASSERT_EQ(kvbm_release(f.s, n, im), 0);
	EXPECT_EQ(kvbm_match(f.s, n, h, im), n);
	for (i = 0; i < n; i++)
		if (im[i].token.id != i)
			break;
	EXPECT_EQ(i, n);
	/* More than a batch, but not so many guards. */
	EXPECT_EQ(kvbm_release(f.s, n + 1, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, n);
	tear_down(&f);
	free(im);
	free(m);
	free(h);
}

/* Fork. */

/* In a child, where all of this is the parent's. Return: what went wrong. */
static int child_checks(struct fixture *f, struct kvbm_mutable *m)
{
	struct kvbm_registry_query q;
	struct kvbm_session *s;
	struct kvbm_counters c;
	struct kvbm_mutable one;
	struct kvbm_hash h = { 0 };
	struct kvbm_immutable im;
	struct kvbm_info i;
	uint64_t *ids;

	if (kvbm_info(f->kvbm, &i) != -EOWNERDEAD)
		return 1;
	if (kvbm_bind(f->kvbm, f->manager, 0, &s) != -EOWNERDEAD)
		return 2;
	if (kvbm_query_registry(f->kvbm, f->registry, &q) != -EOWNERDEAD)
		return 3;
	if (kvbm_list_registries(f->kvbm, &ids) != -EOWNERDEAD)
		return 4;
	if (kvbm_allocate(f->s, 1, &one, NULL, NULL) != -EOWNERDEAD)
		return 5;
	if (kvbm_match(f->s, 1, &h, &im) != -EOWNERDEAD)
		return 6;
	if (kvbm_release(f->s, 2, m) != -EOWNERDEAD || is_empty(m, 1))
		return 7;
	if (kvbm_session_counters(f->s, &c) != -EOWNERDEAD)
		return 8;
	kvbm_session_close(f->s);
	kvbm_close(f->kvbm);
	return 0;
}

static void expect_still_held(struct fixture *f, struct kvbm_mutable *m, int pid)
{
	int status;

	ASSERT(pid > 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	EXPECT_EQ(counters(f).inflight_mutable, 2);
	EXPECT_EQ(kvbm_release(f->s, 2, m), 0);
}

static void fork_child_is_dead(void)
{
	struct kvbm_mutable m[2];
	struct fixture f;
	int pid;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	pid = fork();
	if (!pid)
		_exit(child_checks(&f, m));
	expect_still_held(&f, m, pid);
	tear_down(&f);
}

/* A fork that no library hears of. */
static void clone_child_is_dead(void)
{
	struct kvbm_mutable m[2];
	struct fixture f;
	int pid;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(child_checks(&f, m));
	expect_still_held(&f, m, pid);
	tear_down(&f);
}

/* The child's own connections live, and are not its child's. */
static int grandchild_checks(struct fixture *f, struct kvbm_mutable *m)
{
	struct kvbm_info i;
	struct kvbm *own;
	int status, pid, err;

	if (kvbm_open(test_uri(), &own) || kvbm_info(own, &i))
		return 11;
	err = child_checks(f, m);
	if (err)
		return err;
	if (kvbm_info(own, &i))
		return 12;
	pid = fork();
	if (!pid)
		_exit(kvbm_info(own, &i) == -EOWNERDEAD ? 0 : 1);
	if (waitpid(pid, &status, 0) != pid || status)
		return 13;
	if (kvbm_info(own, &i))
		return 14;
	kvbm_close(own);
	return 0;
}

static void fork_child_has_its_own(void)
{
	struct kvbm_mutable m[2];
	struct fixture f;
	int pid;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	pid = fork();
	if (!pid)
		_exit(grandchild_checks(&f, m));
	expect_still_held(&f, m, pid);
	tear_down(&f);
}

/* A scope that ends in a child gives nothing back. */
static void fork_in_a_scope(void)
{
	struct kvbm_mutable m[2];
	struct fixture f;
	int pid;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	pid = fork();
	if (!pid) {
		{
			KVBM_SCOPE(mutable, scope, f.s, 2, m);
		}
		_exit(is_empty(m, 2));
	}
	expect_still_held(&f, m, pid);
	tear_down(&f);
}

/* Words. */

static void strerror_says_what_to_do(void)
{
	static const int errors[] = {
		EACCES, EBADFD, E2BIG, EBUSY, EDOM, EDQUOT, EEXIST, EFAULT, EILSEQ,
		EINTR, EINVAL, EISCONN, EMSGSIZE, ENOENT, ENOMEM, ENOSPC, ENOTCONN,
		ENOTTY, ENXIO, EOPNOTSUPP, EOVERFLOW, EOWNERDEAD, EPERM, EPROTO,
		ESHUTDOWN, ESTALE, ETIMEDOUT, ENODEV, EMFILE,
	};
	const char *text;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		text = kvbm_strerror(-errors[i]);
		/* Ours, not the C library's: what is wrong, and what to do. */
		EXPECT(strcmp(text, strerror(errors[i])));
		EXPECT(strchr(text, ':'));
		EXPECT(text == kvbm_strerror(-errors[i]));
		for (j = 0; j < i; j++)
			EXPECT(strcmp(text, kvbm_strerror(-errors[j])));
	}
	EXPECT(strstr(kvbm_strerror(-ENOSPC), "release"));
	EXPECT(strstr(kvbm_strerror(-EACCES), "group"));
	EXPECT(strstr(kvbm_strerror(-ENOENT), "modprobe"));
	EXPECT(!strcmp(kvbm_strerror(0), "success"));
	/* Others have what the C library says; no number is a crash. */
	EXPECT(!strcmp(kvbm_strerror(-EISDIR), strerror(EISDIR)));
	EXPECT(kvbm_strerror(1));
	EXPECT(kvbm_strerror(-100000));
	EXPECT(kvbm_strerror(-2147483647 - 1));
	EXPECT(kvbm_strerror(2147483647));
}

static void names(void)
{
	uint32_t i;

	for (i = 0; i <= KVBM_POLICY_LINEAGE_FIFO; i++)
		EXPECT_EQ(kvbm_policy_from_name(kvbm_policy_name(i)), i);
	EXPECT(!kvbm_policy_name(i));
	EXPECT(!kvbm_policy_name(~0U));
	EXPECT_EQ(kvbm_policy_from_name("LRU"), KVBM_POLICY_LRU);
	EXPECT_EQ(kvbm_policy_from_name("lru2"), -EINVAL);
	EXPECT_EQ(kvbm_policy_from_name(""), -EINVAL);
	for (i = KVBM_TIER_G1; i <= KVBM_TIER_G4; i++)
		EXPECT_EQ(kvbm_tier_from_name(kvbm_tier_name(i)), i);
	EXPECT(!kvbm_tier_name(0));
	EXPECT(!kvbm_tier_name(5));
	EXPECT_EQ(kvbm_tier_from_name("g2"), KVBM_TIER_G2);
	EXPECT_EQ(kvbm_tier_from_name("G5"), -EINVAL);
	for (i = 0; i < KVBM_NR_STATES; i++)
		EXPECT(kvbm_state_name(i));
	EXPECT(!kvbm_state_name(i));
	for (i = 0; i <= KVBM_CHECK_BAD_GENERATION; i++)
		EXPECT(kvbm_check_name(i));
	EXPECT(!kvbm_check_name(i));
}

static void plh(void)
{
	struct kvbm_hash h;

	EXPECT_EQ(kvbm_plh(0x1234567890abcdef, 0xfedcba9876543210, 1000, &h), 0);
	EXPECT_EQ(h.hi, 0x40fa048d159e242a);
	EXPECT_EQ(h.lo, 0xf37bfa9876543210);
	EXPECT_EQ(kvbm_plh(1, 1, 1 << 24, &h), -EOVERFLOW);
}

static const struct tap_test tests[] = {
	TEST(open_what_is_not_kvbm),
	TEST(info),
	TEST(namespaces),
	TEST(registries),
	TEST(names_are_checked),
	TEST(managers),
	TEST(lists),
	TEST(session_properties),
	TEST(bind_is_checked),
	TEST(rights),
	TEST(session_outlives_connection),
	TEST(close_gives_back),
	TEST(destroy_manager),
	TEST(destroy_registry_before_session),
	TEST(life_cycle),
	TEST(evicted_hashes),
	TEST(acquire_small),
	TEST(acquire_large),
	TEST(acquire_neither),
	TEST(stage_register_with_next),
	TEST(reject),
	TEST(reset_on_release),
	TEST(errors_hand_back),
	TEST(failed_index_is_of_the_thread),
	TEST(release_skips_empty),
	TEST(hints),
	TEST(scopes),
	TEST(scope_after_error),
	TEST(generic_release),
	TEST(nothing_at_all),
	TEST(null_pointers),
	TEST(batch_limit),
	TEST(fork_child_is_dead),
	TEST(clone_child_is_dead),
	TEST(fork_child_has_its_own),
	TEST(fork_in_a_scope),
	TEST(strerror_says_what_to_do),
	TEST(names),
	TEST(plh),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
