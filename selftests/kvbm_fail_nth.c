// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation, and every copy from or to user memory, of every ioctl is
 * made to fail, one at a time: /proc/self/fail-nth, of kernels with fault
 * injection. Once more nothing can be had of kvmalloc(), which one fault would send
 * another way. A call that says that it failed has changed nothing. But for this:
 * where the results could not be copied out, the guards it would have returned
 * are back, and evictions stand.
 *
 * What that means is seen on twins: the same world, made anew, before the call,
 * after it, and after it with all that it returned given back. Everything that can
 * be asked of the module must be as one of those.
 */
#include "kvbm_util.h"
#include "kselftest_harness.h"

#include "kvbm_abi_list.h"
#include "kvbm_faults.h"
#include "kvbm_world.h"

#define MAX_BYTES	"/sys/module/kvbm/parameters/max_bytes"

/* What stands when the results could not be copied out. */
enum stands {
	NOTHING,	/* all is as before */
	ALL_BUT_GUARDS,	/* what the call returned is given back */
	ALL,
};

/**
 * struct op - a system call that is to fail
 * @name: for people
 * @call: the ioctl, or NULL
 * @other: else: returns 0 or -errno
 */
struct op {
	const char *name;
	const struct call *call;
	int (*other)(void);
};

static struct dump before, after, done, undone;
/* What has a second way to memory, after one fault. */
static struct span kvmalloc;
/* Least max_bytes with which a registry can be made when there is nothing else. */
static uint64_t least_bytes;

/* Whether a registry can be made with so many bytes for all. */
static bool suffices(uint64_t bytes)
{
	char text[32];
	uint64_t id;
	bool ok;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (kv_write_file(MAX_BYTES, text))
		return false;
	w.fd = kv_open();
	ok = !make_registry("nth-bytes", &id) &&
	     !kv_destroy(w.fd, KVBM_REGISTRY_DESTROY, id, 0);
	close(w.fd);
	return ok;
}

static bool with_limit(bool (*check)(void))
{
	char old[32] = "";
	int fd = open(MAX_BYTES, O_RDONLY);
	bool ok = fd >= 0 && read(fd, old, sizeof(old) - 1) > 0;

	close(fd);
	ok = ok && check();
	return !kv_write_file(MAX_BYTES, old) && ok;
}

static bool find_least(void)
{
	uint64_t low = 0, high = 1 << 24;

	if (!suffices(high))
		return false;
	while (low + 1 < high) {
		uint64_t middle = (low + high) / 2;

		if (suffices(middle))
			high = middle;
		else
			low = middle;
	}
	least_bytes = high;
	return true;
}

static bool nothing_charged(void)
{
	return suffices(least_bytes) && !suffices(least_bytes - 1);
}

/* Before the harness: the whole program is skipped, or all its tests know. */
static void __attribute__((constructor)) prepare_injection(void)
{
	prepare_faults();
	if (!find_function("__kvmalloc_node_noprof", "", &kvmalloc) &&
	    !find_function("kvmalloc_node", "", &kvmalloc)) {
		printf("Bail out! no kvmalloc() in /proc/kallsyms\n");
		exit(1);
	}
	if (!with_limit(find_least)) {
		printf("Bail out! no registry can be made, or " MAX_BYTES "\n");
		exit(1);
	}
}

/* A call that succeeds, and does something. */
static bool valid(const struct op *op, union arg *arg, enum stands *stands)
{
	const struct call *call = op->call;
	struct kvbm_manager_create *m = (void *)arg;
	unsigned int n = w.n;

	*stands = NOTHING;
	memset(arg, 0, sizeof(*arg));
	if (!call)
		return true;
	arg->size = call->size;
	switch (call->cmd) {
	case KVBM_INFO:
	case KVBM_MANAGER_STATS:
	case KVBM_MANAGER_CHECK:
	case KVBM_MANAGER_QUERY:
		break;
	case KVBM_REGISTRY_CREATE:
		registry_init((void *)arg, "nth-more");
		((struct kvbm_registry_create *)arg)->capacity = 1 << 12;
		((struct kvbm_registry_create *)arg)->sketch_capacity = 1 << 10;
		break;
	case KVBM_MANAGER_CREATE:
		manager_init(m, w.registry, "nth-more", n);
		m->policy = KVBM_POLICY_LINEAGE_TICK;
		m->aux_size = AUX_SIZE;
		break;
	case KVBM_REGISTRY_QUERY:
		((struct kvbm_registry_query *)arg)->id = w.registry;
		break;
	case KVBM_REGISTRY_LIST:
	case KVBM_MANAGER_LIST:
		((struct kvbm_list *)arg)->ids = ptr(ids);
		((struct kvbm_list *)arg)->count = 2 * n;
		break;
	case KVBM_REGISTRY_DESTROY:
		((struct kvbm_destroy *)arg)->id = w.spare_registry;
		break;
	case KVBM_MANAGER_DESTROY:
		((struct kvbm_destroy *)arg)->id = w.spare_manager;
		break;
	case KVBM_BIND:
		((struct kvbm_bind *)arg)->id = w.manager;
		((struct kvbm_bind *)arg)->flags = ALL_RIGHTS;
		break;
	case KVBM_SESSION_OPEN:
		((struct kvbm_session_open *)arg)->flags = ALL_RIGHTS;
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_PRESENCE:
		*(struct kvbm_presence *)arg = (struct kvbm_presence){
			.size = call->size, .hashes = ptr(present), .count = n,
			.managers = ptr(&w.manager), .nr_managers = 1,
			.out_masks = ptr(ids) };
		break;
	case KVBM_EVENTS_OPEN:
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_EVENTS_DUMP:
		*(struct kvbm_events_dump *)arg = (struct kvbm_events_dump){
			.size = call->size, .records = ptr(data), .bytes = sizeof(data) };
		break;
	case KVBM_ATTACH:
		*(struct kvbm_attach *)arg = (struct kvbm_attach){
			.size = call->size, .hash = present[0], .type = 1,
			.len = sizeof(aux), .data = ptr(aux),
			.mode = KVBM_ATTACH_MULTIPLE };
		break;
	case KVBM_ATTACHMENTS:
		*(struct kvbm_attachments *)arg = (struct kvbm_attachments){
			.size = call->size, .hash = present[0], .buf = ptr(data),
			.buf_size = sizeof(data) };
		break;
	case KVBM_FREQUENCY:
		*(struct kvbm_frequency *)arg = (struct kvbm_frequency){
			.size = call->size, .flags = KVBM_FREQUENCY_TOUCH,
			.hashes = ptr(present), .count = n, .out_counts = ptr(kinds) };
		break;
	case KVBM_ALLOCATE:
		*(struct kvbm_allocate *)arg = (struct kvbm_allocate){
			.size = call->size, .count = n, .tokens = ptr(out),
			.evicted = ptr(evicted), .evicted_aux = ptr(aux) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_ACQUIRE:
		*(struct kvbm_acquire *)arg = (struct kvbm_acquire){
			.size = call->size, .count = 2 * n, .nr_hashes = n,
			.hashes = ptr(cached), .tokens = ptr(out),
			.evicted = ptr(evicted), .evicted_aux = ptr(aux) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_STAGE:
		*(struct kvbm_stage *)arg = (struct kvbm_stage){
			.size = call->size, .count = n, .block_size = BLOCK_SIZE,
			.tokens = ptr(mutable), .hashes = ptr(fresh + n), .aux = ptr(aux) };
		break;
	case KVBM_REGISTER:
		*(struct kvbm_register *)arg = (struct kvbm_register){
			.size = call->size, .count = n, .tokens = ptr(staged),
			.out_tokens = ptr(out), .out_kinds = ptr(kinds) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_STAGE_REGISTER:
		*(struct kvbm_stage_register *)arg = (struct kvbm_stage_register){
			.size = call->size, .count = n, .block_size = BLOCK_SIZE,
			.tokens = ptr(mutable), .hashes = ptr(fresh + n), .aux = ptr(aux),
			.out_tokens = ptr(out), .out_kinds = ptr(kinds), .next_count = n,
			.next_tokens = ptr(next), .evicted = ptr(evicted),
			.evicted_aux = ptr(data) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_MATCH:
		*(struct kvbm_match *)arg = (struct kvbm_match){
			.size = call->size, .count = n, .hashes = ptr(cached),
			.tokens = ptr(out) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_RELEASE:
		*(struct kvbm_release *)arg = (struct kvbm_release){
			.size = call->size, .count = n, .tokens = ptr(mutable) };
		break;
	case KVBM_UNSTAGE:
		*(struct kvbm_tokens *)arg = (struct kvbm_tokens){
			.size = call->size, .count = n, .tokens = ptr(staged) };
		break;
	case KVBM_SET_RESET:
		((struct kvbm_tokens *)arg)->flags = KVBM_RESET_ON_RELEASE;
		((struct kvbm_tokens *)arg)->count = n;
		((struct kvbm_tokens *)arg)->tokens = ptr(held);
		break;
	case KVBM_CLONE:
		((struct kvbm_tokens *)arg)->count = n;
		((struct kvbm_tokens *)arg)->tokens = ptr(held);
		break;
	case KVBM_UPGRADE:
		*(struct kvbm_upgrade *)arg = (struct kvbm_upgrade){
			.size = call->size, .count = n, .hashes = ptr(present),
			.tokens = ptr(held), .out_tokens = ptr(out) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_DRAIN:
		*stands = ALL;
		break;
	case KVBM_HOLDINGS:
		*(struct kvbm_holdings *)arg = (struct kvbm_holdings){
			.size = call->size, .count = MAX_BLOCKS, .held = ptr(list) };
		break;
	case KVBM_MANAGER_DUMP:
		*(struct kvbm_manager_dump *)arg = (struct kvbm_manager_dump){
			.size = call->size, .count = MAX_BLOCKS, .slots = ptr(slots) };
		break;
	case KVBM_MANAGER_SESSIONS:
		*(struct kvbm_manager_sessions *)arg = (struct kvbm_manager_sessions){
			.size = call->size, .count = 8, .sessions = ptr(sessions) };
		break;
	case KVBM_SET_THRESHOLD:
		((struct kvbm_set_threshold *)arg)->blocks = 5 * n;
		break;
	case KVBM_PIN:
		*(struct kvbm_pin_create *)arg = (struct kvbm_pin_create){
			.size = call->size, .flags = KVBM_PIN_WRITE, .count = n,
			.tokens = ptr(mutable) };
		*stands = ALL_BUT_GUARDS;
		break;
	case KVBM_PIN_QUERY:
		*(struct kvbm_pin_query *)arg = (struct kvbm_pin_query){
			.size = call->size, .count = n, .blocks = ptr(list) };
		break;
	case KVBM_QUOTA:
		*(struct kvbm_quota *)arg = (struct kvbm_quota){
			.size = call->size, .flags = KVBM_QUOTA_SET,
			.kind = KVBM_QUOTA_UID, .id = CHARGED_UID, .blocks = 2 * n };
		*stands = ALL;
		break;
	case KVBM_EPOCH:
		((struct kvbm_epoch *)arg)->flags = KVBM_EPOCH_RAISE | KVBM_EPOCH_FORCE;
		*stands = ALL;
		break;
	case KVBM_BACKING_SET:
		*(struct kvbm_backing_set *)arg = (struct kvbm_backing_set){
			.size = call->size, .count = FEW, .segments = ptr(segments) };
		for (n = 0; n < FEW; n++)
			segments[n] = kv_segment(w.memfd, KVBM_BACKING_MEMFD, 1024 * n,
						 4096, 1024);
		break;
	case KVBM_BACKING_GET:
		*(struct kvbm_backing_get *)arg = (struct kvbm_backing_get){
			.size = call->size, .flags = KVBM_BACKING_FDS, .count = FEW,
			.segments = ptr(segments), .path = ptr(path),
			.path_size = sizeof(path) };
		*stands = ALL_BUT_GUARDS;
		break;
	default:
		return false;
	}
	return true;
}

static int file_of(const struct call *call)
{
	if (call->cmd == KVBM_BIND)
		return w.fd;
	return call->needs & KVBM_ABI_PIN ? w.pin : w.s;
}

static int run(const struct op *op, union arg *arg)
{
	return op->call ? kv(file_of(op->call), op->call->cmd, arg) : op->other();
}

/* As the module does it: one by one, tail first. */
static void forget(const struct kvbm_token *tokens, unsigned int n)
{
	while (n--)
		kv_release(w.s, 1, &tokens[n]);
}

/* Give back what a call returned. */
static void undo(const struct op *op, const union arg *arg)
{
	switch (op->call ? op->call->cmd : 0) {
	case KVBM_SESSION_OPEN:
		close(((struct kvbm_session_open *)arg)->out_fd);
		break;
	case KVBM_EVENTS_OPEN:
		close(((struct kvbm_events_open *)arg)->out_fd);
		break;
	case KVBM_PIN:
		close(((struct kvbm_pin_create *)arg)->out_fd);
		break;
	case KVBM_BACKING_GET:
		close(segments[0].fd);
		break;
	case KVBM_STAGE_REGISTER:
		forget(next, w.n);
		forget(out, w.n);
		break;
	case KVBM_ACQUIRE:
		forget(out, 2 * w.n);
		break;
	case KVBM_ALLOCATE:
	case KVBM_REGISTER:
	case KVBM_MATCH:
	case KVBM_UPGRADE:
		forget(out, w.n);
		break;
	default:
		break;
	}
}

/* What a call that succeeds makes that end_world() knows nothing of. */
static void clean_up(const struct op *op, const union arg *arg)
{
	switch (op->call ? op->call->cmd : 0) {
	case KVBM_REGISTRY_CREATE:
		kv_destroy(w.fd, KVBM_REGISTRY_DESTROY,
			   ((struct kvbm_registry_create *)arg)->out_id, 0);
		break;
	case KVBM_MANAGER_CREATE:
		kv_destroy(w.fd, KVBM_MANAGER_DESTROY,
			   ((struct kvbm_manager_create *)arg)->out_id, 0);
		break;
	case KVBM_SESSION_OPEN:
	case KVBM_EVENTS_OPEN:
	case KVBM_PIN:
	case KVBM_BACKING_GET:
		undo(op, arg);
		break;
	case KVBM_BIND:
		/* Bound, it would keep the manager busy with a session. */
		close(w.fd);
		w.fd = kv_open();
		break;
	default:
		break;
	}
}

static bool same(const struct dump *a, const struct dump *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Where two dumps differ, for people. */
static void tell(const char *what, const struct dump *a, const struct dump *b)
{
	const unsigned char *x = (const void *)a, *y = (const void *)b;
	size_t i = 0;

	while (i < sizeof(*a) && x[i] == y[i])
		i++;
	if (i < sizeof(*a))
		printf("#   not as %s: byte %zu: %u, not %u (slots %zu, held %zu, objects %zu)\n",
		       what, i, x[i], y[i], offsetof(struct dump, slots),
		       offsetof(struct dump, held), offsetof(struct dump, r));
}

static void twins(struct __test_metadata *_metadata, const struct op *op, unsigned int n)
{
	enum stands stands;
	union arg arg;

	ASSERT_EQ(0, make_world(n, op->call ? op->call->cmd : 0));
	take_dump(&before);
	ASSERT_EQ(0, before.check);
	ASSERT_TRUE(valid(op, &arg, &stands))
		TH_LOG("%s: new? Give it a valid call in valid()", op->name);
	ASSERT_EQ(0, run(op, &arg))
		TH_LOG("%s: no fault, and it fails", op->name);
	take_dump(&done);
	ASSERT_EQ(0, done.check);
	if (stands == ALL_BUT_GUARDS) {
		undo(op, &arg);
		take_dump(&undone);
	} else {
		clean_up(op, &arg);
		undone = stands == ALL ? done : before;
	}
	end_world(_metadata);
}

/* The call in a world of its own, with the @nth fault, or with no kvmalloc() for 0. */
static int run_with(struct __test_metadata *_metadata, const struct op *op, unsigned int n,
		    unsigned int nth, bool *happened)
{
	enum stands stands;
	union arg arg;
	int err;

	if (make_world(n, op->call ? op->call->cmd : 0)) {
		EXPECT_TRUE(false);
		return 0;
	}
	valid(op, &arg, &stands);
	if (nth)
		arm(nth);
	else
		EXPECT_TRUE(confine_faults(&kvmalloc) && fail_all(true));
	err = run(op, &arg);
	if (nth)
		*happened = disarm();
	else
		EXPECT_TRUE(reset_faults());
	take_dump(&after);
	if (!err) {
		EXPECT_TRUE(same(&after, &done))
			tell("after it", &after, &done);
		clean_up(op, &arg);
	} else if (err != -EFAULT || !same(&after, &undone)) {
		EXPECT_TRUE(err == -ENOMEM || (nth && err == -EFAULT));
		EXPECT_TRUE(same(&after, &before))
			tell("before", &after, &before);
	}
	if (_metadata->exit_code != KSFT_PASS)
		TH_LOG("%s (%u): fault %u, answer %d", op->name, n, nth, err);
	end_world(_metadata);
	return err;
}

/* Fails fault after fault, until there are no more. */
static void sweep(struct __test_metadata *_metadata, const struct op *op, unsigned int n)
{
	uint64_t end = now_ns() + kvbm_long() * 1000000000ull;
	unsigned int nth = 1, step = 1, points = 0, refused = 0, stood = 0;
	bool happened = true;
	int err;

	injector = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, injector);
	twins(_metadata, op, n);
	for (; happened; nth += step) {
		err = run_with(_metadata, op, n, nth, &happened);
		points += happened;
		refused += !!err;
		stood += err == -EFAULT && same(&after, &undone);
		EXPECT_TRUE(happened || !err);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);
		/* Bounded by time: from here on with gaps. */
		if (now_ns() > end)
			step = 1 + nth / 8;
	}
	err = run_with(_metadata, op, n, 0, &happened);
	EXPECT_TRUE(with_limit(nothing_charged))
		TH_LOG("%s: bytes are charged, and nothing is there", op->name);
	close(injector);
	printf("# %s, %u blocks: %u faults%s, %u refusals, %u of them after a copy-out failed%s\n",
	       op->name, n, points, step > 1 ? " (out of time: not each)" : "", refused,
	       memcmp(&undone, &before, sizeof(before)) ? stood : 0,
	       err ? "; refused without kvmalloc()" : "");
}

FIXTURE(nth)
{
};

FIXTURE_SETUP(nth)
{
}

FIXTURE_TEARDOWN(nth)
{
}

static const struct call *find_call(const char *name)
{
	size_t c = 0;

	while (strcmp(calls[c].name, name))
		c++;
	return &calls[c];
}

#define SWEEP(nr)							\
TEST_F_TIMEOUT(nth, nr, 1200)						\
{									\
	const struct op op = { #nr, find_call(#nr), NULL };		\
									\
	sweep(_metadata, &op, FEW);					\
	sweep(_metadata, &op, MANY);					\
}

#define EACH(nr, type, last, need, rules, checker) SWEEP(nr)

KVBM_ABI_CALLS(EACH)

/* What is no ioctl. */

static int open_device(void)
{
	int fd = kv_open();

	return fd < 0 ? -errno : close(fd);
}

static int close_session(void)
{
	return close(w.s);
}

static int close_pin(void)
{
	return close(w.pin);
}

static int close_events(void)
{
	return close(w.events);
}

static int poll_session(void)
{
	struct pollfd p[2] = {
		{ .fd = w.s, .events = POLLOUT },
		{ .fd = w.events, .events = POLLIN },
	};

	return poll(p, 2, 0) < 0 ? -errno : 0;
}

/* The first part is enough, the rest comes with the next read. */
static int read_events(void)
{
	return read(w.events, data, KVBM_EVENT_MAX_SIZE) < 0 ? -errno : 0;
}

static int read_sysfs(void)
{
	int fd = open("/sys/class/kvbm/nth:nth/counters/allocations", O_RDONLY);
	int err;

	if (fd < 0)
		return -errno;
	err = read(fd, data, sizeof(data)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

#define SWEEP_OTHER(what)						\
TEST_F_TIMEOUT(nth, what, 1200)						\
{									\
	const struct op op = { #what, NULL, what };			\
									\
	sweep(_metadata, &op, FEW);					\
}

SWEEP_OTHER(open_device)
SWEEP_OTHER(close_session)
SWEEP_OTHER(close_pin)
SWEEP_OTHER(close_events)
SWEEP_OTHER(poll_session)
SWEEP_OTHER(read_events)
SWEEP_OTHER(read_sysfs)

TEST_HARNESS_MAIN
