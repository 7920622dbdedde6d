// SPDX-License-Identifier: GPL-2.0
/*
 * kvbm-eventd over the event file: managers of three tiers change at random, while
 * kvbm-eventd is killed, started again, stopped until the ring has run over, and has
 * little room in its sockets. At random points, what its consumers believe is what a
 * dump of the managers says.
 *
 * It runs with --dry-run: this program is the consumer, and its JSON is decoded by
 * libjansson. KVBM_LONG=250: a million blocks.
 *
 * With KVBM_URI=inproc: it needs no module: the events are those of the library, and
 * go to the stdin of kvbm-eventd, after a dump.
 */
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <kvbm/events.h>
#include <kvbm/kvbm.h>

#include "engine/tap.h"

#define DEVICE		"/dev/kvbm"
#define REGISTRY	"kvbm_eventd"
#define NR_MANAGERS	4
#define BLOCKS		96
#define SEQUENCES	24
#define LENGTH		16
#define OVERRUN_EVERY	20	/* points: chance alone may not fill a ring */
#define RING_BLOCKS	200	/* have more records than the smallest ring */
#define POINTS		100
#define PATIENCE_S	60
#define RING		"/sys/module/kvbm/parameters/event_ring"

/* As kvbm-eventd(8) takes it, with one token. */
struct aux {
	uint64_t local_hash;
	uint64_t parent;
	uint32_t token;
	uint32_t pad;
};

/* --- Sets of blocks, by index of the sequence and position. */

struct believed {
	bool any[SEQUENCES][LENGTH];
	bool tier[KVBM_TIER_G4 + 1][SEQUENCES][LENGTH];
};

static bool in_process;
static struct kvbm *kvbm;
static uint64_t registry;
static uint64_t manager_ids[NR_MANAGERS];
static struct kvbm_session *sessions[NR_MANAGERS];
static const uint32_t tiers[NR_MANAGERS] = {
	KVBM_TIER_G1, KVBM_TIER_G1, KVBM_TIER_G2, KVBM_TIER_G3,
};

static struct kvbm_hash hashes[SEQUENCES][LENGTH];
static struct aux auxes[SEQUENCES][LENGTH];
static struct believed consumer;
static unsigned long blocks_done;

static unsigned int dice(unsigned int sides)
{
	return random() % sides;
}

/* Below 2^63, as JSON wants it; and it tells what it is. */
static uint64_t sequence_hash(unsigned int s, unsigned int position)
{
	return ((uint64_t)(s + 1) * 0x1234567 + position) << 16 | s << 8 | position;
}

static void make_hashes(void)
{
	unsigned int s, i;

	for (s = 0; s < SEQUENCES; s++) {
		for (i = 0; i < LENGTH; i++) {
			uint64_t parent = i ? sequence_hash(s, i - 1) : 0;

			ASSERT_EQ(kvbm_plh(sequence_hash(s, i), parent, i, &hashes[s][i]), 0);
			auxes[s][i] = (struct aux){ s + 1, parent, i, 0 };
		}
	}
}

static void make_manager(unsigned int m)
{
	struct kvbm_manager_create attr;
	char name[] = "m0";

	name[1] += m;
	kvbm_manager_attr_init(&attr, registry, name, BLOCKS);
	attr.tier = tiers[m];
	attr.block_size = 1;
	attr.aux_size = sizeof(struct aux);
	ASSERT_EQ(kvbm_create_manager(kvbm, &attr, &manager_ids[m]), 0);
	ASSERT_EQ(kvbm_bind(kvbm, manager_ids[m], 0, &sessions[m]), 0);
}

static void destroy_manager(unsigned int m)
{
	kvbm_session_close(sessions[m]);
	ASSERT_EQ(kvbm_destroy_manager(kvbm, manager_ids[m], false), 0);
}

static void make_world(void)
{
	struct kvbm_registry_create attr;
	unsigned int m;

	ASSERT_EQ(kvbm_open(in_process ? "inproc:" : DEVICE, &kvbm), 0);
	kvbm_registry_attr_init(&attr, REGISTRY);
	ASSERT_EQ(kvbm_create_registry(kvbm, &attr, &registry), 0);
	for (m = 0; m < NR_MANAGERS; m++)
		make_manager(m);
	make_hashes();
}

static void end_world(void)
{
	unsigned int m;

	for (m = 0; m < NR_MANAGERS; m++)
		destroy_manager(m);
	EXPECT_EQ(kvbm_destroy_registry(kvbm, registry), 0);
	kvbm_close(kvbm);
}

/* A request: some prefix, what is missing of it is filled in, all is released. */
static void request(unsigned int m)
{
	struct kvbm_immutable matched[LENGTH], done[LENGTH];
	struct kvbm_session *session = sessions[m];
	unsigned int s = dice(SEQUENCES), n = 1 + dice(LENGTH);
	struct kvbm_mutable fresh[LENGTH];
	struct kvbm_acquired got;
	struct kvbm_content content;

	ASSERT_EQ(kvbm_acquire(session, hashes[s], n, n, matched, fresh, NULL, &got), 0);
	content.hashes = hashes[s] + got.matched;
	content.aux = &auxes[s][got.matched];
	content.block_size = 1;
	ASSERT_EQ(kvbm_stage_register_content(session, got.allocated, fresh, &content, done,
					      NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(session, got.allocated, done), 0);
	ASSERT_EQ(kvbm_release(session, got.matched, matched), 0);
	blocks_done += got.allocated;
}

static void change(void)
{
	unsigned int m = dice(NR_MANAGERS), what = dice(400);

	if (what == 0) {
		destroy_manager(m);
		make_manager(m);
	} else if (what < 3) {
		ASSERT_EQ(kvbm_drain(sessions[m], NULL), 0);
	} else {
		request(m);
	}
}

/* --- The consumer */

static bool is_block(uint64_t hash, unsigned int *s, unsigned int *i)
{
	*s = hash >> 8 & 255;
	*i = hash & 255;
	return *s < SEQUENCES && *i < LENGTH && hash == sequence_hash(*s, *i);
}

static uint32_t tier_number(const char *word)
{
	static const char *const words[] = { "", "device", "host_pinned", "disk", "external" };
	uint32_t tier;

	for (tier = KVBM_TIER_G1; tier <= KVBM_TIER_G4; tier++)
		if (!strcmp(word, words[tier]))
			return tier;
	return 0;
}

static void hear_block(uint32_t tier, json_t *hash, bool present)
{
	unsigned int s, i;

	if (EXPECT(is_block(json_integer_value(hash), &s, &i)))
		consumer.tier[tier][s][i] = present;
}

static void hear_router_event(json_t *event)
{
	uint32_t tier = tier_number(json_string_value(json_object_get(event, "storage_tier")));
	json_t *data = json_object_get(json_object_get(event, "event"), "data"), *item;
	size_t index;

	ASSERT(tier);
	if (json_is_string(data)) {
		memset(consumer.tier, 0, sizeof(consumer.tier));
		return;
	}
	json_array_foreach(json_object_get(json_object_get(data, "stored"), "blocks"), index,
			   item)
		hear_block(tier, json_object_get(item, "block_hash"), true);
	json_array_foreach(json_object_get(json_object_get(data, "removed"), "block_hashes"),
			   index, item)
		hear_block(tier, item, false);
}

static void parse_hash(const char *hex, struct kvbm_hash *out)
{
	char half[17] = "";

	ASSERT_EQ(strlen(hex), 32);
	memcpy(half, hex, 16);
	out->hi = strtoull(half, NULL, 16);
	out->lo = strtoull(hex + 16, NULL, 16);
}

static void hear_hashes(json_t *list, bool present)
{
	struct kvbm_hash hash;
	unsigned int s, i;
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item) {
		parse_hash(json_string_value(item), &hash);
		/* Position 0 to 255: 54 bits of parent, then 64 of this one. */
		if (EXPECT(is_block(hash.hi << 10 | hash.lo >> 54, &s, &i)))
			consumer.any[s][i] = present;
	}
}

static void hear_line(const char *line)
{
	json_t *json = json_loads(line, 0, NULL), *payload, *events, *item;
	const char *output;
	size_t index;

	if (!json)
		tap_fail(__FILE__, __LINE__, "not JSON: %.100s", line);
	ASSERT(json);
	output = json_string_value(json_object_get(json, "output"));
	payload = json_object_get(json, "payload");
	if (!strcmp(output, "dynamo")) {
		json_array_foreach(payload, index, item)
			hear_router_event(item);
	} else {
		events = json_array_get(payload, 0);
		hear_hashes(json_object_get(events, "Create"), true);
		hear_hashes(json_object_get(events, "Remove"), false);
		/* A fixed instance that has ended, or was killed. */
		if (json_is_string(events))
			memset(consumer.any, 0, sizeof(consumer.any));
	}
	json_decref(json);
}

/* --- Records for its stdin, in process */

static struct kvbm_events *events;
static int eventd_in = -1;
static char *records;
static size_t nr_records, room_for_records;
/* Where a dump ends, a file says by the first event after it. */
static bool dump_has_ended;

static int add_record(void *arg, const struct kvbm_event_record *record)
{
	(void)arg;
	while (room_for_records - nr_records < record->size) {
		room_for_records = room_for_records ? room_for_records * 2 : 65536;
		records = realloc(records, room_for_records);
	}
	memcpy(records + nr_records, record, record->size);
	nr_records += record->size;
	return 0;
}

/* What it does not take now has to wait: it may wait for us, too. */
static void pump(void)
{
	const struct kvbm_event_record *record;
	ssize_t n;

	if (!in_process || eventd_in < 0)
		return;
	while (kvbm_events_next(events, &record, 0) == 1) {
		add_record(NULL, record);
		dump_has_ended = true;
	}
	n = write(eventd_in, records, nr_records);
	if (n > 0) {
		nr_records -= n;
		memmove(records, records + n, nr_records);
	}
}

static void begin_records(int fd)
{
	struct kvbm_dump_range range;

	eventd_in = fd;
	nr_records = 0;
	dump_has_ended = false;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ASSERT_EQ(kvbm_events_open(kvbm, registry, &events), 0);
	ASSERT_EQ(kvbm_events_dump(events, add_record, NULL, &range), 0);
}

static void end_records(void)
{
	kvbm_events_close(events);
	events = NULL;
	close(eventd_in);
	eventd_in = -1;
}

/* --- kvbm-eventd */

static pid_t eventd;
static int eventd_out = -1;
static int eventd_end = -1;	/* of that: the one that it writes to */
static char heard[1 << 20];
static size_t nr_heard;

static void start_eventd(void)
{
	const char *source = in_process ? "--from=-" : "--registry=" REGISTRY;
	int in[2], out[2];

	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
	eventd = fork();
	ASSERT(eventd >= 0);
	if (!eventd) {
		/* A test that fails leaves it behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("kvbm-eventd", "kvbm-eventd", source, "--dry-run", "--kvbm=tcp://*:1",
		       "--dynamo=tcp://*:2", "--instance-id=1", "--publisher-id=1",
		       "--window=1", NULL);
		_exit(127);
	}
	close(in[0]);
	/* One that is gone must not keep us waiting. */
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	eventd_out = out[0];
	eventd_end = out[1];
	/* What was half said when it was killed is not heard. */
	nr_heard = 0;
	if (in_process)
		begin_records(in[1]);
	else
		close(in[1]);
}

/* All whole lines that are there, or come within @wait_ms. Whether there were any. */
static bool hear(int wait_ms)
{
	struct pollfd poll_fd = { .fd = eventd_out, .events = POLLIN };
	char *line, *end;
	ssize_t n;

	pump();
	if (poll(&poll_fd, 1, wait_ms) <= 0)
		return false;
	n = read(eventd_out, heard + nr_heard, sizeof(heard) - 1 - nr_heard);
	if (n <= 0)
		return false;
	nr_heard += n;
	heard[nr_heard] = 0;
	for (line = heard; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		hear_line(line);
	}
	nr_heard -= line - heard;
	memmove(heard, line, nr_heard);
	ASSERT(nr_heard < sizeof(heard) - 1);
	return true;
}

static void close_eventd(void)
{
	close(eventd_out);
	close(eventd_end);
	eventd_out = -1;
	eventd_end = -1;
}

static int end_eventd(int sig)
{
	int status;

	if (in_process)
		end_records();
	kill(eventd, sig);
	kill(eventd, SIGCONT);
	/* It may have more to say than there is room for. */
	while (!waitpid(eventd, &status, WNOHANG))
		hear(10);
	while (hear(0))
		;
	close_eventd();
	return status;
}

static const char *const rings[] = { "16384", "65536", "1048576" };

static void small_ring(const char *bytes)
{
	int fd = open(RING, O_WRONLY);

	ASSERT(fd >= 0);
	ASSERT_EQ(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	close(fd);
}

static unsigned int stopped_for;	/* changes */

static void let_go_on(void)
{
	kill(eventd, SIGCONT);
	stopped_for = 0;
}

/* Room for @bytes in one of its sockets: for what it says, or for what it is told. */
static void shrink_socket(int bytes)
{
	int fd = in_process && dice(2) ? eventd_in : eventd_end;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void disturb(void)
{
	switch (dice(4)) {
	case 0:
		end_eventd(SIGKILL);
		if (!in_process)
			small_ring(rings[dice(sizeof(rings) / sizeof(*rings))]);
		stopped_for = 0;
		start_eventd();
		break;
	case 1:
		kill(eventd, SIGSTOP);
		stopped_for = 1 + dice(100);
		break;
	default:
		shrink_socket(2048 << dice(7));
	}
}

/* --- What is so */

static bool is_registered(const struct kvbm_slot_info *slot)
{
	return slot->state == KVBM_STATE_PRIMARY || slot->state == KVBM_STATE_INACTIVE;
}

static void dump(struct believed *out)
{
	struct kvbm_slot_info slots[BLOCKS];
	unsigned int m, s, i;
	ssize_t n;

	memset(out, 0, sizeof(*out));
	for (m = 0; m < NR_MANAGERS; m++) {
		n = kvbm_manager_dump(kvbm, manager_ids[m], 0, BLOCKS, slots);
		ASSERT_EQ(n, BLOCKS);
		while (n--) {
			const struct kvbm_hash *h = &slots[n].hash;

			if (!is_registered(&slots[n]))
				continue;
			ASSERT(is_block(h->hi << 10 | h->lo >> 54, &s, &i));
			out->any[s][i] = true;
			out->tier[tiers[m]][s][i] = true;
		}
	}
}

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static unsigned int differences(const struct believed *wanted)
{
	const char *a = (const char *)wanted, *b = (const char *)&consumer;
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < sizeof(*wanted); i++)
		n += a[i] != b[i];
	return n;
}

/* Nothing changes now: the consumer gets there, and stays there. */
static void consumer_is_exact(unsigned int point)
{
	time_t end = seconds() + PATIENCE_S;
	struct believed wanted;

	dump(&wanted);
	while (differences(&wanted) && seconds() < end)
		hear(100);
	if (!differences(&wanted))
		return;
	tap_fail(__FILE__, __LINE__, "point %u: %u differences after %lu blocks", point,
		 differences(&wanted), blocks_done);
	/* One is enough. */
	longjmp(tap_end, 1);
}

static struct kvbm_event_stats event_stats(void)
{
	struct kvbm_registry_query query;

	EXPECT_EQ(kvbm_query_registry(kvbm, registry, &query), 0);
	return query.out_events;
}

static unsigned long goal(void)
{
	return (in_process ? 40000ul : 4000ul) * kvbm_long();
}

/* It stands still until a small ring must have run over. */
static void overrun(unsigned int point)
{
	unsigned long until;

	end_eventd(SIGKILL);
	small_ring(rings[0]);
	start_eventd();
	/* It is at work before it is stopped. */
	consumer_is_exact(point);
	kill(eventd, SIGSTOP);
	for (until = blocks_done + RING_BLOCKS; blocks_done < until; )
		change();
	let_go_on();
}

/* --- Tests */

static void disturbed_at_random(void)
{
	unsigned long at_point = 0;
	unsigned int point;

	make_world();
	start_eventd();
	for (point = 1; point <= POINTS; point++) {
		at_point += dice(2 * goal() / POINTS);
		while (blocks_done < at_point || (point == POINTS && blocks_done < goal())) {
			change();
			if (!stopped_for)
				hear(0);
			else if (!--stopped_for)
				let_go_on();
			pump();
			if (!dice(in_process ? 100 : 30))
				disturb();
		}
		let_go_on();
		while (in_process && !dump_has_ended) {
			change();
			pump();
		}
		if (!in_process && point % OVERRUN_EVERY == 0)
			overrun(point);
		consumer_is_exact(point);
	}
	/* Counted when the reader comes to it. */
	if (!in_process)
		EXPECT(event_stats().dropped);
	EXPECT(WIFEXITED(end_eventd(SIGTERM)));
	end_world();
	if (!in_process)
		small_ring("1048576");
}

/* A ring for some 200 records, and a reader that does not come to read. */
static void ring_runs_over(void)
{
	struct kvbm_event_stats before;
	unsigned long at_point;
	unsigned int point;

	small_ring("16384");
	make_world();
	start_eventd();
	blocks_done = 0;
	before = event_stats();
	for (point = 1; point <= POINTS / 10; point++) {
		kill(eventd, SIGSTOP);
		for (at_point = blocks_done + RING_BLOCKS; blocks_done < at_point; )
			change();
		kill(eventd, SIGCONT);
		for (at_point = blocks_done + 50; blocks_done < at_point; ) {
			change();
			hear(0);
		}
		consumer_is_exact(point);
	}
	EXPECT(event_stats().dropped > before.dropped);
	EXPECT(WIFEXITED(end_eventd(SIGTERM)));
	end_world();
	small_ring("1048576");
}

/* Managers and registry are destroyed: all is gone, and it ends by itself. */
static void registry_is_destroyed(void)
{
	struct believed nothing = { 0 };
	int status;

	make_world();
	start_eventd();
	blocks_done = 0;
	while (blocks_done < 500)
		change();
	consumer_is_exact(0);
	end_world();
	while (!waitpid(eventd, &status, WNOHANG))
		hear(10);
	while (hear(0))
		;
	close_eventd();
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	EXPECT_EQ(differences(&nothing), 0);
}

static const struct tap_test tests[] = {
	TEST(disturbed_at_random),
	/* The device only. */
	TEST(ring_runs_over),
	TEST(registry_is_destroyed),
};

int main(void)
{
	const char *uri = getenv("KVBM_URI");

	in_process = uri && !strcmp(uri, "inproc:");
	if (!in_process && access(DEVICE, R_OK | W_OK)) {
		printf("1..0 # SKIP no %s\n", DEVICE);
		return 4;
	}
	if (system("kvbm-eventd --help >/dev/null 2>&1")) {
		printf("1..0 # SKIP no kvbm-eventd in PATH\n");
		return 4;
	}
	signal(SIGPIPE, SIG_IGN);
	srandom(getenv("KVBM_SEED") ? atoi(getenv("KVBM_SEED")) : 1);
	return tap_run(tests, in_process ? 1 : sizeof(tests) / sizeof(*tests));
}
