// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl with every argument wrong, one at a time. The table that the
 * module makes its checks of (kmod/abi_table.h) tells what there is; here is
 * a valid call for each ioctl, to start from. After every refusal a full dump
 * of the store must be what it was before.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#include "kvbm_abi_list.h"

#define BLOCKS		32
#define AUX_SIZE	8
#define N		4

FIXTURE(table)
{
	struct kv_world w;
	uint64_t manager;
	int s;
	int pin;
	int memfd;
	struct kvbm_segment segments[N];
	char path[64];
	struct kvbm_hash h[BLOCKS];
	struct kvbm_token mutable[N], staged[N], held[N], out[BLOCKS];
	struct kvbm_hash evicted[BLOCKS];
	char aux[BLOCKS * AUX_SIZE];
	uint64_t ids[BLOCKS];
	struct kvbm_held list[BLOCKS];
	struct kvbm_slot_info slots[BLOCKS];
	char records[KVBM_EVENT_MAX_SIZE];
	struct kvbm_session_info sessions[BLOCKS];
	char *read_only;
	char *short_of;		/* the page after it cannot be touched */
};

/* 4 Mutable, 4 Staged, 4 Primary, 4 Inactive blocks, with aux. */
FIXTURE_SETUP(table)
{
	struct kvbm_manager_create m;
	struct kvbm_token t[N];

	memset(self, 0, sizeof(*self));
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	manager_init(&m, self->w.registry, "table", BLOCKS);
	m.aux_size = AUX_SIZE;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	self->manager = m.out_id;
	self->s = kv_session(self->manager, ALL_RIGHTS);
	ASSERT_LE(0, self->s);
	kv_hashes(self->h, 1, BLOCKS);
	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->held));
	ASSERT_EQ(0, kv_fill(self->s, 2, N, t));
	ASSERT_EQ(0, kv_release(self->s, N, t));
	ASSERT_EQ(0, kv_allocate(self->s, N, self->mutable, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(self->s, N, self->staged, NULL, NULL));
	ASSERT_EQ(0, kv_stage(self->s, N, self->staged, self->h + 10));
	self->pin = kv_pin(self->s, 0, N, self->held);
	ASSERT_LE(0, self->pin);
	self->memfd = kv_memfd(BLOCKS * 4096);
	ASSERT_LE(0, self->memfd);
	self->read_only = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
	self->short_of = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, munmap(self->short_of + 4096, 4096));
}

FIXTURE_TEARDOWN(table)
{
	close(self->memfd);
	close(self->pin);
	close(self->s);
	EXPECT_EQ(0, kv_check(self->w.fd, self->manager));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, self->manager, 0));
	EXPECT_EQ(0, kv_world_end(&self->w));
}

/* All there is to see of the store: counters, slots, holdings, objects. */
struct dump {
	struct kvbm_counters c;
	struct kvbm_holdings h;
	struct kvbm_held held[BLOCKS];
	struct kvbm_slot_info slots[BLOCKS];
	struct kvbm_registry_query r;
	struct kvbm_manager_query m;
	int check;
};

static void dump(int s, uint64_t registry, struct dump *d)
{
	memset(d, 0, sizeof(*d));
	kv_counters(s, 0, &d->c);
	/* A refusal for lack of blocks, and nothing else, may be counted. */
	d->c.allocation_failures = 0;
	d->h.size = sizeof(d->h);
	d->h.count = BLOCKS;
	d->h.held = ptr(d->held);
	kv(s, KVBM_HOLDINGS, &d->h);
	d->h.held = 0;
	kv_dump(s, 0, 0, BLOCKS, d->slots);
	d->r.size = sizeof(d->r);
	d->r.id = registry;
	kv(s, KVBM_REGISTRY_QUERY, &d->r);
	d->m.size = sizeof(d->m);
	kv(s, KVBM_MANAGER_QUERY, &d->m);
	d->check = kv_check(s, 0);
}

/*
 * A call that would succeed, or fail for a reason that is not the argument's:
 * ENOENT for objects that do not exist, so that nothing is created or ended.
 */
static void valid(struct _test_data_table *self, const struct call *call, union arg *arg)
{
	unsigned int i;

	memset(arg, 0, sizeof(*arg));
	arg->size = call->size;
	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
		registry_init((void *)arg, "table-x");
		/* Taken: nothing is made of a valid call. */
		memcpy(((struct kvbm_registry_create *)arg)->name, "test-", 5);
		snprintf(((struct kvbm_registry_create *)arg)->name, KVBM_NAME_SIZE,
			 "test-%d", getpid());
		break;
	case KVBM_MANAGER_CREATE:
		manager_init((void *)arg, self->w.registry, "table", 1);
		break;
	case KVBM_REGISTRY_QUERY:
		((struct kvbm_registry_query *)arg)->id = self->w.registry;
		break;
	case KVBM_REGISTRY_LIST:
	case KVBM_MANAGER_LIST:
		((struct kvbm_list *)arg)->ids = ptr(self->ids);
		((struct kvbm_list *)arg)->count = BLOCKS;
		break;
	case KVBM_REGISTRY_DESTROY:
	case KVBM_MANAGER_DESTROY:
		((struct kvbm_destroy *)arg)->id = 1ull << 60;
		break;
	case KVBM_BIND:
		((struct kvbm_bind *)arg)->id = 1ull << 60;
		((struct kvbm_bind *)arg)->flags = ALL_RIGHTS;
		break;
	case KVBM_SESSION_OPEN:
		((struct kvbm_session_open *)arg)->flags = ALL_RIGHTS;
		break;
	case KVBM_PRESENCE:
		*(struct kvbm_presence *)arg = (struct kvbm_presence){
			.size = call->size, .hashes = ptr(self->h), .count = N,
			.managers = ptr(&self->manager), .nr_managers = 1,
			.out_masks = ptr(self->ids) };
		break;
	case KVBM_EVENTS_OPEN:
		((struct kvbm_events_open *)arg)->registry = 1ull << 60;
		break;
	case KVBM_EVENTS_DUMP:
		*(struct kvbm_events_dump *)arg = (struct kvbm_events_dump){
			.size = call->size, .records = ptr(self->records),
			.bytes = sizeof(self->records) };
		break;
	case KVBM_ATTACH:
		*(struct kvbm_attach *)arg = (struct kvbm_attach){
			.size = call->size, .hash = self->h[0], .type = 1, .len = N,
			.data = ptr(self->aux) };
		break;
	case KVBM_ATTACHMENTS:
		*(struct kvbm_attachments *)arg = (struct kvbm_attachments){
			.size = call->size, .hash = self->h[0], .buf = ptr(self->out),
			.buf_size = sizeof(self->out[0]) };
		break;
	case KVBM_FREQUENCY:
		*(struct kvbm_frequency *)arg = (struct kvbm_frequency){
			.size = call->size, .hashes = ptr(self->h), .count = N,
			.out_counts = ptr(self->aux) };
		break;
	case KVBM_ALLOCATE:
		*(struct kvbm_allocate *)arg = (struct kvbm_allocate){
			.size = call->size, .count = N, .tokens = ptr(self->out),
			.evicted = ptr(self->evicted), .evicted_aux = ptr(self->aux) };
		break;
	case KVBM_ACQUIRE:
		*(struct kvbm_acquire *)arg = (struct kvbm_acquire){
			.size = call->size, .count = N, .nr_hashes = N,
			.hashes = ptr(self->h), .tokens = ptr(self->out),
			.evicted = ptr(self->evicted), .evicted_aux = ptr(self->aux) };
		break;
	case KVBM_STAGE:
		*(struct kvbm_stage *)arg = (struct kvbm_stage){
			.size = call->size, .count = N, .block_size = BLOCK_SIZE,
			.tokens = ptr(self->mutable), .hashes = ptr(self->h + 20),
			.aux = ptr(self->aux) };
		break;
	case KVBM_REGISTER:
		*(struct kvbm_register *)arg = (struct kvbm_register){
			.size = call->size, .count = N, .tokens = ptr(self->staged),
			.out_tokens = ptr(self->out), .out_kinds = ptr(self->aux) };
		break;
	case KVBM_STAGE_REGISTER:
		*(struct kvbm_stage_register *)arg = (struct kvbm_stage_register){
			.size = call->size, .count = N, .block_size = BLOCK_SIZE,
			.tokens = ptr(self->mutable), .hashes = ptr(self->h + 20),
			.aux = ptr(self->aux), .out_tokens = ptr(self->out),
			.out_kinds = ptr(self->aux + 64), .next_count = N,
			.next_tokens = ptr(self->out + N),
			.evicted = ptr(self->evicted),
			.evicted_aux = ptr(self->aux + 128) };
		break;
	case KVBM_MATCH:
		*(struct kvbm_match *)arg = (struct kvbm_match){
			.size = call->size, .count = N, .hashes = ptr(self->h),
			.tokens = ptr(self->out) };
		break;
	case KVBM_RELEASE:
		*(struct kvbm_release *)arg = (struct kvbm_release){
			.size = call->size, .count = N, .tokens = ptr(self->held) };
		break;
	case KVBM_UNSTAGE:
		*(struct kvbm_tokens *)arg = (struct kvbm_tokens){
			.size = call->size, .count = N, .tokens = ptr(self->staged) };
		break;
	case KVBM_CLONE:
	case KVBM_SET_RESET:
		*(struct kvbm_tokens *)arg = (struct kvbm_tokens){
			.size = call->size, .count = N, .tokens = ptr(self->held) };
		break;
	case KVBM_UPGRADE:
		*(struct kvbm_upgrade *)arg = (struct kvbm_upgrade){
			.size = call->size, .count = N, .hashes = ptr(self->h),
			.tokens = ptr(self->held), .out_tokens = ptr(self->out) };
		break;
	case KVBM_HOLDINGS:
		*(struct kvbm_holdings *)arg = (struct kvbm_holdings){
			.size = call->size, .count = BLOCKS, .held = ptr(self->list) };
		break;
	case KVBM_MANAGER_DUMP:
		*(struct kvbm_manager_dump *)arg = (struct kvbm_manager_dump){
			.size = call->size, .count = BLOCKS,
			.slots = ptr(self->slots) };
		break;
	case KVBM_MANAGER_SESSIONS:
		*(struct kvbm_manager_sessions *)arg = (struct kvbm_manager_sessions){
			.size = call->size, .count = BLOCKS,
			.sessions = ptr(self->sessions) };
		break;
	case KVBM_PIN:
		*(struct kvbm_pin_create *)arg = (struct kvbm_pin_create){
			.size = call->size, .count = N, .tokens = ptr(self->held) };
		break;
	case KVBM_PIN_QUERY:
		*(struct kvbm_pin_query *)arg = (struct kvbm_pin_query){
			.size = call->size, .count = BLOCKS, .blocks = ptr(self->list) };
		break;
	case KVBM_BACKING_SET:
		for (i = 0; i < N; i++)
			self->segments[i] = kv_segment(self->memfd, KVBM_BACKING_MEMFD,
						       1024 * i, 4096, 1024);
		*(struct kvbm_backing_set *)arg = (struct kvbm_backing_set){
			.size = call->size, .count = N,
			.segments = ptr(self->segments) };
		break;
	case KVBM_BACKING_GET:
		*(struct kvbm_backing_get *)arg = (struct kvbm_backing_get){
			.size = call->size, .count = N,
			.segments = ptr(self->segments),
			.path = ptr(self->path), .path_size = sizeof(self->path) };
		break;
	default:
		break;
	}
}

/* Most are calls of a session, one is of a pin. */
static int file_of(const struct _test_data_table *self, const struct call *call)
{
	return call->needs & KVBM_ABI_PIN ? self->pin : self->s;
}

/* What the valid call answers. */
static int answer(const struct call *call)
{
	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
	case KVBM_MANAGER_CREATE:
		return -EEXIST;
	case KVBM_REGISTRY_DESTROY:
	case KVBM_MANAGER_DESTROY:
	case KVBM_EVENTS_OPEN:
		return -ENOENT;
	case KVBM_BIND:
		return -EISCONN;
	default:
		return 0;
	}
}

static void put(union arg *arg, const struct kvbm_abi_field *f, uint64_t value)
{
	memcpy(arg->bytes + f->offset, &value, f->size);
}

static uint32_t get_count(const union arg *arg, const struct kvbm_abi_field *f)
{
	uint32_t count;

	memcpy(&count, arg->bytes + f->count, sizeof(count));
	return count;
}

/* Nothing to do is no error, and no address is looked at. */
TEST_F(table, count_zero)
{
	struct dump before, after;
	union arg arg;
	unsigned int c, i;

	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];
		unsigned int arrays = 0;
		uint32_t zero = 0;
		int want = 0;

		valid(self, call, &arg);
		for (i = 0; i < call->nr_fields; i++) {
			const struct kvbm_abi_field *f = &call->fields[i];

			if (f->kind != KVBM_FIELD_IN && f->kind != KVBM_FIELD_OUT)
				continue;
			memcpy(arg.bytes + f->count, &zero, sizeof(zero));
			put(&arg, f, 8);
			arrays++;
		}
		/* To list into no room at all is a mistake, and so is half of nothing. */
		if (call->cmd == KVBM_REGISTRY_LIST || call->cmd == KVBM_MANAGER_LIST ||
		    call->cmd == KVBM_EVENTS_DUMP || call->cmd == KVBM_PIN ||
		    call->cmd == KVBM_BACKING_SET)
			want = -EINVAL;
		if (arrays)
			EXPECT_EQ(want, kv(file_of(self, call), call->cmd, &arg))
				TH_LOG("%s", call->name);
	}
	dump(self->s, self->w.registry, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/* The argument, right where memory ends. */
static void *at_the_end(struct _test_data_table *self, const union arg *arg, size_t size)
{
	return memcpy(self->short_of + 4096 - size, arg, size);
}

#define REFUSED(err, what) do {						\
	int got_ = kv(file_of(self, call), call->cmd, what);			\
									\
	dump(self->s, self->w.registry, &after);			\
	EXPECT_EQ(-(err), got_)						\
		TH_LOG("%s, rule %u (%s)", call->name, i, name);	\
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)))		\
		TH_LOG("%s, rule %u (%s)", call->name, i, name);	\
} while (0)

TEST_F(table, values)
{
	struct dump before, after;
	union arg arg;
	unsigned int c, i, bit, rules = 0;

	dump(self->s, self->w.registry, &before);
	ASSERT_EQ(0, before.check);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];

		for (i = 0; i < call->nr_fields; i++) {
			const struct kvbm_abi_field *f = &call->fields[i];
			const char *name = f->name;

			rules++;
			valid(self, call, &arg);
			switch (f->kind) {
			case KVBM_FIELD_FLAGS:
				for (bit = 0; bit < 32; bit++) {
					if (f->limit >> bit & 1)
						continue;
					valid(self, call, &arg);
					put(&arg, f, 1ull << bit);
					REFUSED(EINVAL, &arg);
				}
				break;
			case KVBM_FIELD_ZERO:
				for (bit = 0; bit < 8 * f->size; bit++) {
					put(&arg, f, 1ull << bit);
					REFUSED(EINVAL, &arg);
				}
				break;
			case KVBM_FIELD_NONZERO:
				put(&arg, f, 0);
				REFUSED(EINVAL, &arg);
				break;
			case KVBM_FIELD_MAX:
				put(&arg, f, f->limit + 1);
				REFUSED(EINVAL, &arg);
				put(&arg, f, UINT64_MAX);
				REFUSED(EINVAL, &arg);
				break;
			case KVBM_FIELD_UNBUILT:
				put(&arg, f, 1);
				REFUSED(EOPNOTSUPP, &arg);
				break;
			default:
				break;
			}
		}
	}
	TH_LOG("%u rules of %zu calls", rules, NR_CALLS);
	EXPECT_LE(100, rules);
}

TEST_F(table, pointers)
{
	struct dump before, after;
	union arg arg;
	unsigned int c, i, j;

	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];

		for (i = 0; i < call->nr_fields; i++) {
			const struct kvbm_abi_field *f = &call->fields[i];
			const char *name = f->name;
			uint64_t bad[] = { 8, 1ull << 63, -8ull, ptr(self->short_of + 4096),
					   ptr(self->short_of + 4095),
					   ptr(self->read_only), 0 };

			if (f->kind != KVBM_FIELD_IN && f->kind != KVBM_FIELD_OUT)
				continue;
			for (j = 0; j < sizeof(bad) / sizeof(*bad); j++) {
				if (!bad[j] && f->optional)
					continue;
				/* That can be read. */
				if (bad[j] == ptr(self->read_only) &&
				    f->kind == KVBM_FIELD_IN)
					continue;
				valid(self, call, &arg);
				ASSERT_LT(0, get_count(&arg, f));
				put(&arg, f, bad[j]);
				REFUSED(EFAULT, &arg);
			}
		}
	}
}

TEST_F(table, sizes)
{
	struct dump before, after;
	union arg arg;
	unsigned int c, i = 0;

	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];
		const char *name = "size";

		valid(self, call, &arg);
		arg.size = call->min_size - 1;
		REFUSED(EINVAL, &arg);
		arg.size = 4;
		REFUSED(EINVAL, &arg);
		arg.size = 0;
		REFUSED(EINVAL, &arg);
		arg.size = UINT32_MAX;
		REFUSED(E2BIG, &arg);
		for (i = 0; i < 16; i++) {
			name = "junk tail";
			valid(self, call, &arg);
			arg.size = call->size + 16;
			arg.bytes[call->size + i] = 1;
			REFUSED(E2BIG, &arg);
		}
		name = "structure";
		valid(self, call, &arg);
		REFUSED(EFAULT, NULL);
		REFUSED(EFAULT, (void *)8);
		/* Told to be larger than there is memory. */
		arg.size = call->size + 8;
		REFUSED(EFAULT, at_the_end(self, &arg, call->size));
		/* Cannot be written back. */
		mprotect(self->short_of, 4096, PROT_READ | PROT_WRITE);
		valid(self, call, &arg);
		memcpy(self->short_of, &arg, call->size);
		mprotect(self->short_of, 4096, PROT_READ);
		REFUSED(EFAULT, self->short_of);
		mprotect(self->short_of, 4096, PROT_READ | PROT_WRITE);
	}
}

/*
 * A valid call succeeds, with a longer structure too: the tests above are not
 * all refusals of something else. Each starts from a store of its own.
 */
static void succeeds(struct __test_metadata *_metadata, struct _test_data_table *self,
		     const char *which, uint32_t extra)
{
	union arg arg;
	unsigned int c;

	for (c = 0; c < NR_CALLS; c++) {
		if (strcmp(calls[c].name, which))
			continue;
		valid(self, &calls[c], &arg);
		arg.size += extra;
		EXPECT_EQ(answer(&calls[c]), kv(file_of(self, &calls[c]),
						calls[c].cmd, &arg))
			TH_LOG("%s", which);
		if (calls[c].cmd == KVBM_PIN)
			close(((struct kvbm_pin_create *)&arg)->out_fd);
		EXPECT_EQ(0, kv_check(self->s, 0));
		return;
	}
	EXPECT_TRUE(false);
}

#define SUCCEEDS(nr)							\
TEST_F(table, valid_##nr)						\
{									\
	succeeds(_metadata, self, #nr, 0);				\
}									\
									\
TEST_F(table, longer_##nr)						\
{									\
	succeeds(_metadata, self, #nr, 24);				\
}

#define EACH(nr, type, last, need, rules, checker) SUCCEEDS(nr)

KVBM_ABI_CALLS(EACH)

/* Rights missing, and no session at all. */
TEST_F(table, rights)
{
	int unbound = kv_open(), ro_file = open(KVBM_DEV, O_RDONLY);
	int r = kv_session(self->manager, KVBM_BIND_READ);
	int w = kv_session(self->manager, KVBM_BIND_WRITE);
	struct dump before, after;
	union arg arg;
	unsigned int c;

	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];

		valid(self, call, &arg);
		if (call->needs & KVBM_ABI_SESSION)
			EXPECT_EQ(-ENOTCONN, kv(unbound, call->cmd, &arg))
				TH_LOG("%s", call->name);
		if (call->needs & KVBM_ABI_WRITE)
			EXPECT_EQ(-EACCES, kv(r, call->cmd, &arg))
				TH_LOG("%s", call->name);
		if (call->needs & KVBM_ABI_READ)
			EXPECT_EQ(-EACCES, kv(w, call->cmd, &arg))
				TH_LOG("%s", call->name);
		/* The one that is the other's. */
		EXPECT_EQ(-ENOTTY, kv(call->needs & KVBM_ABI_PIN ? self->s : self->pin,
				      call->cmd, &arg))
			TH_LOG("%s", call->name);
		if (call->needs & KVBM_ABI_MODIFY)
			EXPECT_EQ(-EACCES, kv(ro_file, call->cmd, &arg))
				TH_LOG("%s", call->name);
	}
	dump(self->s, self->w.registry, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	close(unbound);
	close(ro_file);
	close(r);
	close(w);
}

/* Calls over tokens: each of them, with each bad token, at each place. */
TEST_F(table, tokens)
{
	static const unsigned long cmds[] = {
		KVBM_STAGE, KVBM_REGISTER, KVBM_STAGE_REGISTER, KVBM_RELEASE,
		KVBM_UNSTAGE, KVBM_CLONE, KVBM_SET_RESET, KVBM_PIN,
	};
	int other = kv_session(self->manager, ALL_RIGHTS);
	struct kvbm_token foreign, spare, good[N];
	struct dump before, after;
	unsigned int c, i, j, n;
	const char *name;
	union arg arg;

	ASSERT_EQ(0, kv_allocate(other, 1, &foreign, NULL, NULL));
	/* One that was held once, and its tenant still is the last one. */
	ASSERT_EQ(0, kv_allocate(self->s, 1, &spare, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->s, 1, &spare));
	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];
		struct kvbm_token *t = NULL;
		struct {
			struct kvbm_token token;
			int err;
		} bad[6];

		for (i = 0; i < sizeof(cmds) / sizeof(*cmds); i++)
			if (cmds[i] == call->cmd)
				t = call->cmd == KVBM_STAGE ||
				    call->cmd == KVBM_STAGE_REGISTER ? self->mutable :
				    call->cmd == KVBM_REGISTER ||
				    call->cmd == KVBM_UNSTAGE ? self->staged : self->held;
		if (!t)
			continue;
		memcpy(good, t, sizeof(good));
		for (i = 0; i < N; i++) {
			n = 0;
			bad[n].token = (struct kvbm_token){ BLOCKS, good[i].gen };
			bad[n++].err = ENXIO;
			bad[n].token = (struct kvbm_token){ UINT32_MAX, 1 };
			bad[n++].err = ENXIO;
			bad[n].token = foreign;
			bad[n++].err = ENXIO;
			bad[n].token = spare;
			bad[n++].err = ENXIO;
			bad[n].token = (struct kvbm_token){ good[i].id, good[i].gen + 1 };
			bad[n++].err = ESTALE;
			bad[n].token = call->cmd == KVBM_STAGE ||
				       call->cmd == KVBM_STAGE_REGISTER ?
				       self->held[0] : self->mutable[0];
			bad[n++].err = EBADFD;
			for (j = 0; j < n; j++) {
				/* Anything held can be released. */
				if (call->cmd == KVBM_RELEASE && bad[j].err == EBADFD)
					continue;
				valid(self, call, &arg);
				memcpy(t, good, sizeof(good));
				t[i] = bad[j].token;
				name = "bad token";
				REFUSED(bad[j].err, &arg);
			}
			/* The same guard twice. */
			memcpy(t, good, sizeof(good));
			t[i] = good[(i + 1) % N];
			valid(self, call, &arg);
			name = "twice";
			REFUSED(ENXIO, &arg);
			memcpy(t, good, sizeof(good));
		}
	}
	close(other);
}

/* Hashes that no chain can have, at each place. */
TEST_F(table, hashes)
{
	static const unsigned long cmds[] = { KVBM_STAGE, KVBM_STAGE_REGISTER };
	struct kvbm_hash bad[] = {
		{ 1, 3ull << 62 },			/* no such mode */
		{ 1, 0 },				/* a root with a parent */
		{ 0, 1ull << 62 | 255ull << 46 },	/* mode 1 for position 255 */
		{ 0, 2ull << 62 | 65535ull << 38 },	/* mode 2 for position 65535 */
	};
	struct dump before, after;
	unsigned int c, i, j, k;
	const char *name = "hash";
	union arg arg;

	dump(self->s, self->w.registry, &before);
	for (c = 0; c < NR_CALLS; c++) {
		const struct call *call = &calls[c];

		for (k = 0; k < 2; k++) {
			if (cmds[k] != call->cmd)
				continue;
			for (i = 0; i < N; i++) {
				for (j = 0; j < sizeof(bad) / sizeof(*bad); j++) {
					struct kvbm_hash good = self->h[20 + i];

					valid(self, call, &arg);
					self->h[20 + i] = bad[j];
					REFUSED(EILSEQ, &arg);
					self->h[20 + i] = good;
				}
			}
			valid(self, call, &arg);
			name = "block size";
			i = 0;
			((struct kvbm_stage *)&arg)->block_size = BLOCK_SIZE * 2;
			REFUSED(EDOM, &arg);
			((struct kvbm_stage *)&arg)->block_size = 0;
			REFUSED(EDOM, &arg);
		}
	}
}

TEST_HARNESS_MAIN
