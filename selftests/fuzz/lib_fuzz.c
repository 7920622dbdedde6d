// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * libFuzzer: bytes to what of libkvbm and its tools takes apart or counts what it
 * is given: records of events, sequences of tokens, hashes, words of a command
 * line. Wherever there are two ways to an answer, both are gone.
 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <kvbm/events.h>
#include <kvbm/tokens.h>

#include "parse.h"

/* --- Records */

struct source {
	struct input *in;
	int fd;
	uint32_t dumps;
};

static ssize_t read_records(void *arg, void *buf, size_t size)
{
	struct source *s = arg;
	size_t n = 8 * (size_t)take_byte(s->in);

	if (!s->in->left)
		return 0;
	if (n == 8 * 255)
		return -ENOBUFS;
	if (!n)
		return -EAGAIN;
	if (n > s->in->left)
		n = s->in->left;
	take(s->in, buf, n);
	return n;
}

static int dump_records(void *arg, struct kvbm_events_dump *d)
{
	struct source *s = arg;
	uint8_t n = take_byte(s->in);

	d->out_bytes = 8 * n;
	if (d->out_bytes > d->bytes)
		d->out_bytes = d->bytes;
	take(s->in, (void *)(uintptr_t)d->records, d->out_bytes);
	d->out_first = take_byte(s->in);
	d->out_last = take_byte(s->in);
	/* Some time it comes to an end. */
	d->manager = s->in->left && ++s->dumps < 100 ? take_byte(s->in) : 0;
	return n == 254 ? -ENOMEM : 0;
}

static int source_fd(void *arg)
{
	return ((struct source *)arg)->fd;
}

static void source_close(void *arg)
{
}

static const struct kvbm_event_source source_ops = {
	.read = read_records,
	.dump = dump_records,
	.fd = source_fd,
	.close = source_close,
};

/* Reads all of it: what is outside of the buffer, the sanitizer sees. */
static int look(void *arg, const struct kvbm_event_record *r)
{
	const struct kvbm_event_policy policy = KVBM_EVENT_POLICY_POWER_OF_TWO;
	const unsigned char *aux = kvbm_event_aux(r);
	volatile unsigned char byte;
	uint32_t i;

	for (i = 0; i < r->aux_size; i++)
		byte = aux[i];
	(void)byte;
	kvbm_event_type_name(r->type);
	if (kvbm_event_wanted(&policy, r) && r->hash_size)
		MUST(kvbm_event_position(r) >= policy.min);
	return 0;
}

static int count(void *arg, uint64_t manager, const struct kvbm_hash *hash)
{
	++*(size_t *)arg;
	return 0;
}

static void records(struct input *in)
{
	struct source s = { .in = in, .fd = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	const struct kvbm_event_record *r;
	struct kvbm_dump_range range;
	struct kvbm_events *events;
	struct kvbm_view *view;
	uint8_t how = take_byte(in);
	size_t n = 0;
	int i, err;

	MUST(!kvbm_events_from_source(&source_ops, &s, how & 15, &events));
	if (how & 16)
		kvbm_events_dump(events, look, NULL, &range);
	for (i = 0; how & 32 && i < 64; i++) {
		err = kvbm_events_next(events, &r, 0);
		if (err == 1)
			look(NULL, r);
		if (err == -ENODATA)
			break;
	}
	MUST(!kvbm_view_open(events, look, NULL, &view));
	for (i = 0; i < 64 && in->left; i++)
		if (kvbm_view_update(view, 0) == -ENODATA)
			break;
	kvbm_view_each(view, count, &n);
	MUST(n == kvbm_view_count(view));
	kvbm_view_close(view);
	close(s.fd);
}

/* --- Tokens */

#define MAX_TOKENS	512
#define MAX_RUNS	8

/* What a sequence says must be what its tokens say, hashed from the start. */
static void same_as_anew(const struct kvbm_token_seq *seq, uint64_t salt)
{
	struct kvbm_hash hashes[MAX_TOKENS];
	uint64_t block_hashes[MAX_TOKENS];
	const struct kvbm_mm_run *runs;
	const struct kvbm_hash *have;
	const uint64_t *have_blocks;
	struct kvbm_partial_block partial;
	size_t n, nr_runs, blocks, nr_block_hashes;
	const uint32_t *tokens = kvbm_token_seq_tokens(seq, &n);
	uint32_t block_size = kvbm_token_seq_block_size(seq);

	MUST(n == kvbm_token_seq_len(seq));
	runs = kvbm_token_seq_mm_runs(seq, &nr_runs);
	have = kvbm_token_seq_hashes(seq, &blocks);
	have_blocks = kvbm_token_seq_block_hashes(seq, &nr_block_hashes);
	MUST(blocks == n / block_size && nr_block_hashes == blocks);
	MUST(kvbm_token_seq_block_count(seq) == blocks);
	MUST(kvbm_hash_blocks(tokens, n, runs, nr_runs, block_size, salt, hashes,
			      block_hashes) == (ssize_t)blocks);
	if (blocks) {
		MUST(!memcmp(have, hashes, blocks * sizeof(*have)));
		MUST(!memcmp(have_blocks, block_hashes, blocks * sizeof(*have_blocks)));
	}
	kvbm_token_seq_partial(seq, &partial);
	MUST(partial.len == n % block_size && partial.len + partial.remaining == block_size);
}

static size_t take_tokens(struct input *in, uint32_t *tokens, size_t max)
{
	size_t n = take_byte(in) % (max + 1), i;

	for (i = 0; i < n; i++)
		tokens[i] = take_byte(in) * 0x01010101u;
	return n;
}

static size_t take_runs(struct input *in, struct kvbm_mm_run *runs)
{
	size_t n = take_byte(in) % (MAX_RUNS + 1), i;

	for (i = 0; i < n; i++) {
		runs[i].mm_hash = take_byte(in);
		runs[i].offset = take_byte(in);
		runs[i].length = take_byte(in);
		if (runs[i].length == 255)
			runs[i].length = take_u64(in);
	}
	return n;
}

static void tokens(struct input *in)
{
	uint32_t block_size = take_byte(in) % 33, more[64], one;
	uint64_t salt = take_byte(in);
	struct kvbm_mm_run runs[MAX_RUNS], sorted[MAX_RUNS];
	struct kvbm_token_seq *seq;
	struct kvbm_token_block block;
	size_t n, nr, len;
	ssize_t ret;

	n = take_tokens(in, more, 64);
	nr = take_runs(in, runs);
	if (kvbm_token_seq_alloc_mm(more, n, runs, nr, block_size, salt, &seq)) {
		MUST(!block_size || kvbm_mm_sort(runs, nr, n, sorted));
		return;
	}
	while (in->left && kvbm_token_seq_len(seq) + 256 < MAX_TOKENS) {
		len = kvbm_token_seq_len(seq);
		switch (take_byte(in) % 9) {
		case 0:
			n = take_tokens(in, more, 64);
			ret = kvbm_token_seq_extend(seq, more, n);
			MUST(ret >= 0 && kvbm_token_seq_len(seq) == len + n);
			break;
		case 1:
			n = take_tokens(in, more, 64);
			nr = take_runs(in, runs);
			ret = kvbm_token_seq_extend_mm(seq, more, n, runs, nr);
			MUST(kvbm_token_seq_len(seq) == len + (ret < 0 ? 0 : n));
			break;
		case 2:
			ret = kvbm_token_seq_push_mm_run(seq, take_byte(in), take_byte(in) % 40);
			break;
		case 3:
			kvbm_token_seq_truncate(seq, take_byte(in));
			break;
		case 4:
			kvbm_token_seq_unwind(seq, take_byte(in) % 20);
			break;
		case 5:
			kvbm_token_seq_pop(seq, &one);
			break;
		case 6:
			MUST(kvbm_token_seq_append(seq, take_byte(in)) >= 0);
			break;
		case 7:
			if (take_byte(in) > 250)
				kvbm_token_seq_reset(seq);
			break;
		default:
			n = take_byte(in);
			if (!kvbm_token_seq_block(seq, n, &block))
				MUST(block.position == n && n < kvbm_token_seq_block_count(seq));
			kvbm_token_seq_tokens_at(seq, n, take_byte(in));
			break;
		}
		same_as_anew(seq, salt);
	}
	kvbm_token_seq_free(seq);
}

/* --- Hashes */

static void hash(struct input *in)
{
	struct kvbm_hash h, back, child;
	uint8_t wire[KVBM_WIRE_SIZE];
	char text[KVBM_PLH_TEXT_SIZE];
	struct kvbm_plh_parts parts;
	struct kvbm_psh_parts psh;
	uint64_t fragment;
	int err, len;

	take(in, wire, sizeof(wire));
	MUST(kvbm_hash_from_wire(wire, take_byte(in), &h) == -EINVAL ||
	     !kvbm_hash_from_wire(wire, sizeof(wire), &h));
	MUST(!kvbm_hash_from_wire(wire, sizeof(wire), &h));
	kvbm_hash_to_wire(&h, (uint8_t *)&back);
	MUST(!memcmp(&back, wire, sizeof(wire)));
	kvbm_psh_unpack(&(struct kvbm_psh){ h }, &psh);
	err = kvbm_plh_unpack(&h, &parts);
	len = kvbm_plh_format(&h, text);
	MUST((err < 0) == (len < 0));
	if (err)
		return;
	MUST((size_t)len == strlen(text) && len < KVBM_PLH_TEXT_SIZE);
	/* The fragment is all that is left of the parent. */
	MUST(!kvbm_plh(parts.current, parts.parent_fragment, parts.position, &back));
	MUST(!kvbm_hash_compare(&h, &back));
	err = kvbm_plh_extend(&h, take_u64(in), &child);
	if (err)
		MUST(err == -EOVERFLOW && parts.position == KVBM_MAX_POSITIONS - 1);
	else
		MUST(kvbm_plh_is_child(&child, &h));
	kvbm_plh_child_fragment(&h, take_u64(in), &fragment);
}

/* --- Words */

static int add_word(const char *word, void *data)
{
	size_t *n = data;

	return strlen(word) > 20 ? -E2BIG : ++*n > 30;
}

static void words(struct input *in)
{
	char text[128];
	uint64_t value, min = take_byte(in), max = take_u64(in);
	uint32_t mode;
	size_t n = 0;

	take(in, text, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (!parse_count(text, min, max, &value))
		MUST(value >= min && value <= max);
	if (!parse_mode(text, &mode))
		MUST(!(mode & ~KVBM_MODE_MASK));
	parse_list(text, add_word, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	switch (take_byte(&in) % 4) {
	case 0:
		records(&in);
		break;
	case 1:
		tokens(&in);
		break;
	case 2:
		hash(&in);
		break;
	default:
		words(&in);
		break;
	}
	return 0;
}
