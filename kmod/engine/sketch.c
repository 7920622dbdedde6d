// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Each hash belongs to one line of eight words, and has four counters there,
 * one in each pair of words. A touch adds one to all four; the estimate is the
 * smallest. There are no locks: words change by compare-and-exchange.
 *
 * After ten touches for each hash of the capacity an epoch ends, and all
 * counters halve. No one goes through them all: a line is halved when a touch
 * finds it of an earlier epoch, and each SWEEP_TOUCHES touches look after one
 * more line, so that none is left more than one epoch behind. The last counter
 * of a line is its epoch.
 */
#include "sketch.h"

#include "hash.h"

#define WORDS		8
#define ROWS		4
/* Counters of a row: of two words. */
#define ROW_COUNTERS	32
#define COUNTER_MAX	15U
/* Hashes for which a line is made: two bytes each. */
#define LINE_CAPACITY	32
#define SAMPLE_FACTOR	10
/* There are 320 touches to an epoch for each line. */
#define SWEEP_TOUCHES	64
#define EPOCH_WORD	(WORDS - 1)
#define EPOCH_SHIFT	60
/* The low bits of all counters, and all bits but their high ones. */
#define LOW_BITS	0x1111111111111111ULL
#define NOT_HIGH_BITS	0x7777777777777777ULL
#define LOW_NIBBLES	0x0f0f0f0f0f0f0f0fULL
#define EPOCH_BITS	((u64)COUNTER_MAX << EPOCH_SHIFT)

struct kvbm_sketch_line {
	atomic64_t words[WORDS];
};

/**
 * struct kvbm_sketch - see above
 * @line_key: secret, for the line of a hash
 * @counter_key: secret, for the counters within it
 * @mask: lines - 1
 * @sample: touches to an epoch
 * @lines: the counters
 * @touches: since the epoch began, plus half of those of the epoch before
 * @epoch: number of the epoch
 *
 * All but the lines and the last two immutable.
 */
struct kvbm_sketch {
	struct kvbm_key line_key;
	struct kvbm_key counter_key;
	u32 mask;
	u64 sample;
	struct kvbm_sketch_line *lines;
	atomic64_t touches ____cacheline_aligned_in_smp;
	atomic64_t epoch;
};

/* One counter of a line. */
struct counter {
	u32 word;
	u32 shift;
};

static u64 nr_lines(u64 capacity)
{
	return roundup_pow_of_two(DIV_ROUND_UP(capacity, LINE_CAPACITY));
}

/**
 * kvbm_sketch_bytes - memory of a sketch
 * @capacity: as for kvbm_sketch_alloc()
 *
 * Return: bytes.
 */
u64 kvbm_sketch_bytes(u64 capacity)
{
	return sizeof(struct kvbm_sketch) +
	       nr_lines(capacity) * sizeof(struct kvbm_sketch_line);
}

/**
 * kvbm_sketch_alloc - make a sketch in which no hash was used
 * @capacity: hashes that it is made for, 1 to KVBM_MAX_BLOCKS
 * @out: the sketch
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_sketch_alloc(u64 capacity, struct kvbm_sketch **out)
{
	struct kvbm_sketch *s = kvbm_alloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->lines = kvbm_alloc(nr_lines(capacity), sizeof(*s->lines));
	if (!s->lines) {
		kvbm_free(s);
		return -ENOMEM;
	}
	kvbm_key_init(&s->line_key);
	kvbm_key_init(&s->counter_key);
	s->mask = nr_lines(capacity) - 1;
	s->sample = capacity * SAMPLE_FACTOR;
	*out = s;
	return 0;
}

/**
 * kvbm_sketch_free - undo kvbm_sketch_alloc()
 * @sketch: the sketch, or NULL
 *
 * Context: may sleep.
 */
void kvbm_sketch_free(struct kvbm_sketch *sketch)
{
	if (sketch)
		kvbm_free(sketch->lines);
	kvbm_free(sketch);
}

static struct kvbm_sketch_line *line_of(struct kvbm_sketch *s,
					const struct kvbm_hash *hash)
{
	return &s->lines[kvbm_key_hash(&s->line_key, hash) & s->mask];
}

/* The counter of a hash in one row; @bits are five for each row. */
static struct counter counter_of(u32 bits, u32 row)
{
	u32 n = bits >> (5 * row) & (ROW_COUNTERS - 1);

	/* The last one is the epoch. */
	if (row == ROWS - 1 && n == ROW_COUNTERS - 1)
		n--;
	return (struct counter){ .word = 2 * row + n / 16, .shift = n % 16 * 4 };
}

static u32 counter_read(struct kvbm_sketch_line *line, struct counter c)
{
	return atomic64_read(&line->words[c.word]) >> c.shift & COUNTER_MAX;
}

static u64 nr_odd(u64 counters)
{
	u64 odd = counters & LOW_BITS;

	/* Two to a byte, and the bytes summed up in the highest one. */
	odd = (odd & LOW_NIBBLES) + (odd >> 4 & LOW_NIBBLES);
	return odd * 0x0101010101010101ULL >> 56;
}

static u64 halved(u64 counters)
{
	return counters >> 1 & NOT_HIGH_BITS;
}

/*
 * Bring a line up to the epoch. Whoever changes the number in the line halves
 * it; somebody who touches it meanwhile may lose half a touch.
 */
static void age(struct kvbm_sketch *s, struct kvbm_sketch_line *line)
{
	u64 now = (u64)atomic64_read(&s->epoch) << EPOCH_SHIFT;
	s64 old = atomic64_read(&line->words[EPOCH_WORD]), new;
	u64 odd;
	u32 i;

	do {
		if (((u64)old & EPOCH_BITS) == now)
			return;
		new = halved(old & ~EPOCH_BITS) | now;
	} while (!atomic64_try_cmpxchg_relaxed(&line->words[EPOCH_WORD], &old, new));
	odd = nr_odd(old & ~EPOCH_BITS);
	for (i = 0; i < EPOCH_WORD; i++) {
		old = atomic64_read(&line->words[i]);
		while (!atomic64_try_cmpxchg_relaxed(&line->words[i], &old,
						     halved(old)))
			;
		odd += nr_odd(old);
	}
	/* Each touch was four counts; what halving lost is gone for good. */
	atomic64_sub(odd / 4, &s->touches);
}

/* Count a touch; now and then there is more to do. */
static void count_touch(struct kvbm_sketch *s)
{
	s64 touches = atomic64_inc_return(&s->touches);

	if (touches >= 0 && (u64)touches >= s->sample) {
		/* Only one of those who come here at once wins. */
		if (atomic64_try_cmpxchg_relaxed(&s->touches, &touches, touches / 2))
			atomic64_inc(&s->epoch);
		return;
	}
	if (touches % SWEEP_TOUCHES == 0)
		age(s, &s->lines[touches / SWEEP_TOUCHES & s->mask]);
}

/**
 * kvbm_sketch_touch - a hash was used
 * @sketch: the sketch
 * @hash: the hash
 *
 * Context: any; takes no locks.
 */
void kvbm_sketch_touch(struct kvbm_sketch *sketch, const struct kvbm_hash *hash)
{
	struct kvbm_sketch_line *line = line_of(sketch, hash);
	u32 bits = kvbm_key_hash(&sketch->counter_key, hash);
	bool grew = false;
	struct counter c;
	u32 row;
	s64 old;

	age(sketch, line);
	for (row = 0; row < ROWS; row++) {
		c = counter_of(bits, row);
		old = atomic64_read(&line->words[c.word]);
		while (((u64)old >> c.shift & COUNTER_MAX) != COUNTER_MAX) {
			if (atomic64_try_cmpxchg_relaxed(&line->words[c.word], &old,
							 (u64)old + (1ULL << c.shift))) {
				grew = true;
				break;
			}
		}
	}
	/* A hash that cannot count any higher does not make others older. */
	if (grew)
		count_touch(sketch);
}

/**
 * kvbm_sketch_estimate - how often a hash was used
 * @sketch: the sketch
 * @hash: the hash
 *
 * Context: any; takes no locks.
 * Return: 0 to 15; not less than it was, but for ageing.
 */
u32 kvbm_sketch_estimate(struct kvbm_sketch *sketch,
			 const struct kvbm_hash *hash)
{
	struct kvbm_sketch_line *line = line_of(sketch, hash);
	u32 bits = kvbm_key_hash(&sketch->counter_key, hash);
	u32 row, least = COUNTER_MAX;

	age(sketch, line);
	for (row = 0; row < ROWS; row++)
		least = min(least, counter_read(line, counter_of(bits, row)));
	return least;
}
