// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The batcher of kvbm-eventd, with a clock of our own: when batches end, and in
 * which order they are. The batches are written down as words: "+" and positions
 * for stored ones, "-" for removed ones, "0" for cleared.
 */
#include <stdint.h>

#include "../engine/tap.h"
#include "batcher.h"

#define WINDOW	10000000ULL
#define START	1000000000ULL

static struct batcher batcher;
static uint64_t now;
static char said[65536];

static void note(struct batch *batch, void *data)
{
	char *to = said + strlen(said);
	size_t i;

	(void)data;
	to += sprintf(to, "%c", "+-0"[batch->type]);
	for (i = 0; i < batch->n; i++)
		to += sprintf(to, "%s%u", i ? "," : "", batch->events[i].position);
	sprintf(to, " ");
}

static void begin(size_t max)
{
	now = START;
	*said = 0;
	batcher.emit = note;
	ASSERT_EQ(batcher_init(&batcher, WINDOW, max, now), 0);
}

static void add(enum event_type type, uint32_t position)
{
	struct block_event event = { .position = position, .tier = KVBM_TIER_G1 };

	event.hash.lo = position;
	ASSERT_EQ(batcher_add(&batcher, type, &event, now), 0);
}

static void add_all(enum event_type type, const uint32_t *positions, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(type, positions[i]);
}

#define ADD(type, ...) add_all(type, (const uint32_t[]){ __VA_ARGS__ },		\
			       sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void said_is(const char *wanted)
{
	if (strcmp(said, wanted))
		tap_fail(__FILE__, __LINE__, "'%s', not '%s'", said, wanted);
	*said = 0;
}

static void end(void)
{
	batcher_flush(&batcher, now);
	batcher_destroy(&batcher);
}

static void batches_creates(void)
{
	begin(1024);
	ADD(EVENT_STORED, 5, 1, 3, 2, 4);
	said_is("");
	end();
	said_is("+1,2,3,4,5 ");
}

static void batches_removes(void)
{
	begin(1024);
	ADD(EVENT_REMOVED, 1, 5, 3, 2, 4);
	end();
	said_is("-5,4,3,2,1 ");
}

static void flushes_on_type_switch(void)
{
	begin(1024);
	ADD(EVENT_STORED, 2, 1);
	add(EVENT_REMOVED, 1);
	said_is("+1,2 ");
	add(EVENT_STORED, 7);
	said_is("-1 ");
	add(EVENT_CLEARED, 0);
	said_is("+7 ");
	end();
	said_is("00 ");
}

static void flushes_on_max_size(void)
{
	begin(3);
	ADD(EVENT_STORED, 5, 4, 3, 2, 1);
	said_is("+3,4,5 ");
	end();
	said_is("+1,2 ");
}

/* After a full batch the type is forgotten: no empty batch on the next switch. */
static void full_batch_forgets_type(void)
{
	begin(2);
	ADD(EVENT_STORED, 1, 2);
	said_is("+1,2 ");
	add(EVENT_REMOVED, 1);
	said_is("");
	end();
	said_is("-1 ");
}

static void flushes_on_timeout(void)
{
	begin(1024);
	ADD(EVENT_STORED, 2, 1);
	now += WINDOW - 1;
	batcher_tick(&batcher, now);
	said_is("");
	now++;
	batcher_tick(&batcher, now);
	said_is("+1,2 ");
	end();
	said_is("");
}

/* The window does not begin with the first event: that waits 0 to 1 window. */
static void window_runs_freely(void)
{
	begin(1024);
	now += WINDOW / 2;
	add(EVENT_STORED, 1);
	now += WINDOW / 2;
	batcher_tick(&batcher, now);
	said_is("+1 ");
	/* Nobody looks for two windows and a half. */
	now += WINDOW * 5 / 2;
	add(EVENT_STORED, 2);
	EXPECT_EQ(batcher.window_end_ns, now + WINDOW / 2);
	end();
	said_is("+2 ");
}

static void window_begins_anew_with_every_batch(void)
{
	begin(2);
	now += WINDOW - 1;
	ADD(EVENT_STORED, 1, 2);
	said_is("+1,2 ");
	add(EVENT_STORED, 3);
	now += WINDOW - 1;
	batcher_tick(&batcher, now);
	said_is("");
	add(EVENT_REMOVED, 3);
	said_is("+3 ");
	now += WINDOW - 1;
	batcher_tick(&batcher, now);
	said_is("");
	end();
	said_is("-3 ");
}

/*
 * Input that is always ready, and a loop that never gets to its timer: batches end
 * with their window all the same. Five events come in each window, the last of them
 * when it is over.
 */
static void busy_input_does_not_starve_window(void)
{
	unsigned int i, batches = 0, events = 0;
	const char *c;

	begin(1024);
	for (i = 0; i < 700; i++) {
		now += WINDOW / 5;
		add(EVENT_STORED, i);
	}
	for (c = said; *c; c++) {
		batches += *c == '+';
		events += *c == '+' || *c == ',';
	}
	EXPECT_EQ(batches, 140);
	EXPECT_EQ(events, 699);
	*said = 0;
	end();
	said_is("+699 ");
}

/* The order of those flushes: each event is behind all of earlier windows. */
static void busy_input_keeps_order_of_windows(void)
{
	begin(1024);
	ADD(EVENT_STORED, 9, 8);
	now += WINDOW;
	ADD(EVENT_STORED, 1);
	said_is("+8,9 ");
	now += WINDOW;
	ADD(EVENT_STORED, 0);
	said_is("+1 ");
	end();
	said_is("+0 ");
}

static void never_empty(void)
{
	begin(4);
	now += WINDOW;
	batcher_tick(&batcher, now);
	now += 3 * WINDOW;
	batcher_tick(&batcher, now);
	batcher_flush(&batcher, now);
	said_is("");
	end();
	said_is("");
}

static char marks[16];

static void note_marks(struct batch *batch, void *data)
{
	size_t i;

	(void)data;
	*marks = 0;
	for (i = 0; i < batch->n; i++)
		strncat(marks, batch->events[i].aux, 1);
}

/* Equal positions stay in order of arrival, either way round; aux goes along. */
static void order_is_stable(void)
{
	const char *all = "abcdef";
	unsigned int i, type;

	for (type = EVENT_STORED; type <= EVENT_REMOVED; type++) {
		begin(1024);
		batcher.emit = note_marks;
		for (i = 0; i < 6; i++) {
			struct block_event event = {
				.position = i % 2, .aux = &all[i], .aux_len = 1,
			};

			ASSERT_EQ(batcher_add(&batcher, type, &event, now), 0);
		}
		end();
		EXPECT(!strcmp(marks, type == EVENT_STORED ? "acebdf" : "bdface"));
	}
}

static void no_deduplication(void)
{
	begin(1024);
	ADD(EVENT_STORED, 1, 1, 1);
	end();
	said_is("+1,1,1 ");
}

/* One hash: its batches are in the order in which it happened. */
static void order_of_one_hash(void)
{
	begin(1024);
	add(EVENT_STORED, 4);
	add(EVENT_REMOVED, 4);
	add(EVENT_STORED, 4);
	end();
	said_is("+4 -4 +4 ");
}

static unsigned int dropped;

static void note_dropped(const struct block_event *event, void *data)
{
	(void)data;
	dropped += event->position;
}

static void drop_tells_each(void)
{
	begin(1024);
	ADD(EVENT_STORED, 1, 2, 4);
	batcher_drop(&batcher, note_dropped, NULL);
	EXPECT_EQ(dropped, 7);
	end();
	said_is("");
}

static const struct tap_test tests[] = {
	TEST(batches_creates),
	TEST(batches_removes),
	TEST(flushes_on_type_switch),
	TEST(flushes_on_max_size),
	TEST(full_batch_forgets_type),
	TEST(flushes_on_timeout),
	TEST(window_runs_freely),
	TEST(window_begins_anew_with_every_batch),
	TEST(busy_input_does_not_starve_window),
	TEST(busy_input_keeps_order_of_windows),
	TEST(never_empty),
	TEST(order_is_stable),
	TEST(no_deduplication),
	TEST(order_of_one_hash),
	TEST(drop_tells_each),
};

int main(void)
{
	return tap_run(tests, sizeof(tests) / sizeof(*tests));
}
