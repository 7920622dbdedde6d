// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The bytes of all forms.
 *
 * usage: form_test vectors.txt [wire_vectors.json]
 *
 * Both have names and hex; the second one is of the specification of the formats.
 */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdint.h>

#include "../engine/tap.h"
#include "form.h"

#define TIME_S		1789095808.5	/* 41daa8dbe0200000 */
#define HASH		0xdab89baa7b5857c0ULL

static const char *own_vectors, *vectors;

static struct vllm_form vllm = { 0, { NULL, "GPU", "CPU", "DISK", "EXTERNAL" } };
static struct dynamo_form dynamo = { .worker_id = 7, .publisher_id = 12345 };
static const unsigned char instance[16] = { [14] = 0x30, [15] = 0x39 };

static msgpack_sbuffer buffer;
static msgpack_packer pk;

static void begin(void)
{
	msgpack_sbuffer_clear(&buffer);
	msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
}

static const char *hex(void)
{
	static char text[65536];
	size_t i;

	for (i = 0; i < buffer.size; i++)
		sprintf(text + 2 * i, "%02x", (unsigned char)buffer.data[i]);
	text[2 * i] = 0;
	return text;
}

static void hex_is(const char *name, const char *wanted)
{
	if (strcmp(hex(), wanted))
		tap_fail(__FILE__, __LINE__, "%s is %s, not %s", name, hex(), wanted);
}

/* Of vectors.txt: a line with the name and a colon, then lines of hex. */
static void hex_is_own(const char *name)
{
	FILE *f = fopen(own_vectors, "r");
	char line[256], wanted[4096] = "", *to = wanted, *c;
	bool found = false;

	ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (*line != '\t')
			found = !strncmp(line, name, strlen(name)) &&
				!strcmp(line + strlen(name), ":\n");
		for (c = line; found && *line == '\t' && *c; c++)
			if (isxdigit((unsigned char)*c))
				*to++ = *c;
	}
	*to = 0;
	fclose(f);
	ASSERT(*wanted);
	hex_is(name, wanted);
}

/* Of the file, if there is one: else the test is about our own vector only. */
static void hex_is_vector(const char *name)
{
	json_t *json;
	const char *wanted;

	if (!vectors)
		return;
	json = json_load_file(vectors, 0, NULL);
	wanted = json_string_value(json_object_get(json, name));
	ASSERT(wanted);
	hex_is(name, wanted);
	json_decref(json);
}

/* Positional lineage hashes, packed once more: positions below 256 only. */
static struct kvbm_hash plh(uint64_t current, uint64_t parent, uint32_t position)
{
	return (struct kvbm_hash){
		.hi = (uint64_t)position << 54 | current >> 10,
		.lo = current << 54 | (parent & ((1ULL << 54) - 1)),
	};
}

struct aux {
	struct aux_head head;
	uint32_t tokens[4];
};

static struct aux aux[4];

/* @events[i] of a sequence that starts with 100 */
static void chain(struct block_event *events, size_t n)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		aux[i].head.local_hash = 200 + i;
		aux[i].head.parent = i ? 99 + i : 0;
		for (j = 0; j < 4; j++)
			aux[i].tokens[j] = 10 * i + j;
		events[i] = (struct block_event){
			.hash = plh(100 + i, i ? 99 + i : 0, i), .tier = KVBM_TIER_G1,
			.position = i, .block_size = 4, .aux_len = sizeof(*aux),
			.has_position = true, .aux = &aux[i],
		};
	}
}

static struct block_event root(uint64_t local_hash, uint32_t tier)
{
	unsigned int i;

	aux[0].head = (struct aux_head){ .local_hash = local_hash };
	for (i = 0; i < 4; i++)
		aux[0].tokens[i] = i + 1;
	return (struct block_event){
		.hash = plh(HASH, 0, 0), .tier = tier, .block_size = 4,
		.aux_len = sizeof(*aux), .has_position = true, .aux = &aux[0],
	};
}

static void kvbm_create(void)
{
	struct block_event event = {
		.hash = { .hi = 0x01491a2b3c4d5e6f, .lo = 0x78fedcba98765432 },
	};
	struct batch batch = { EVENT_STORED, 1, &event };

	begin();
	kvbm_pack_batch(&pk, &batch, instance);
	hex_is_own("kvbm_create");
	hex_is_vector("kvbm_Create");
}

static void kvbm_remove(void)
{
	struct block_event events[2] = { { .hash = { 1, 2 } }, { .hash = { 3, 4 } } };
	struct batch batch = { EVENT_REMOVED, 2, events };

	begin();
	kvbm_pack_batch(&pk, &batch, instance);
	hex_is_own("kvbm_remove");
}

static void kvbm_shutdown(void)
{
	begin();
	kvbm_pack_shutdown(&pk, instance);
	hex_is_own("kvbm_shutdown");
	hex_is_vector("kvbm_Shutdown");
}

static void vllm_stored(void)
{
	struct block_event event = root(0, KVBM_TIER_G1);
	struct batch batch = { EVENT_STORED, 1, &event };

	begin();
	vllm_pack_batch(&pk, &batch, TIME_S, &vllm);
	hex_is_own("vllm_stored");
	hex_is_vector("vllm_map_BlockStored");
}

static void vllm_removed(void)
{
	struct block_event events[2] = {
		{ .hash = plh(HASH, 0, 0), .tier = KVBM_TIER_G2, .has_position = true },
		{ .hash = { .lo = 7 }, .tier = KVBM_TIER_G2 },
	};
	struct batch batch = { EVENT_REMOVED, 2, events };

	begin();
	vllm_pack_batch(&pk, &batch, TIME_S, &vllm);
	hex_is_own("vllm_removed");
	hex_is_vector("vllm_map_BlockRemoved");
}

static void vllm_cleared(void)
{
	struct block_event event = { .tier = KVBM_TIER_G1 };
	struct batch batch = { EVENT_CLEARED, 1, &event };

	begin();
	vllm_pack_batch(&pk, &batch, TIME_S, &vllm);
	hex_is_own("vllm_cleared");
	hex_is_vector("vllm_map_AllBlocksCleared");
}

static void dynamo_stored(void)
{
	struct block_event event = root(99, KVBM_TIER_G2);
	struct batch batch = { EVENT_STORED, 1, &event };
	uint64_t event_id = 42;

	begin();
	EXPECT_EQ(dynamo_pack_events(&pk, &batch, 0, &dynamo, &event_id), 1);
	EXPECT_EQ(event_id, 43);
	hex_is_own("dynamo_stored");
	hex_is_vector("dynamo_RouterEvents_Vec_payload");
}

static void dynamo_single(void)
{
	struct block_event event = root(99, KVBM_TIER_G2);
	struct batch batch = { EVENT_STORED, 1, &event };
	struct dynamo_form single = dynamo;
	uint64_t event_id = 42;

	single.single = true;
	begin();
	dynamo_pack_events(&pk, &batch, 0, &single, &event_id);
	EXPECT_EQ((unsigned char)buffer.data[0], 0x83);
	hex_is_vector("dynamo_RouterEvent_single_payload");
}

/* The payload that is inside; and what is before it in a frame of ZeroMQ. */
static void dynamo_envelope(void)
{
	struct block_event event = root(99, KVBM_TIER_G2);
	struct batch batch = { EVENT_STORED, 1, &event };
	unsigned char head[DYNAMO_FRAME_HEAD];
	uint64_t event_id = 42;
	char payload[1024];
	size_t len;

	begin();
	dynamo_pack_events(&pk, &batch, 0, &dynamo, &event_id);
	len = buffer.size;
	ASSERT(len < sizeof(payload));
	memcpy(payload, buffer.data, len);
	begin();
	dynamo_pack_envelope(&pk, &dynamo, 42, 1700000000000, payload, len);
	ASSERT_EQ(buffer.size, 239);
	hex_is_vector("dynamo_EventEnvelope");
	dynamo_frame_head(head, buffer.size);
	begin();
	msgpack_sbuffer_write(&buffer, (char *)head, sizeof(head));
	hex_is_own("dynamo_envelope");
	dynamo_pack_envelope(&pk, &dynamo, 42, 1700000000000, payload, len);
	hex_is_vector("dynamo_zmq_frame3");
	/* An envelope around nothing, to have one without a file. */
	begin();
	dynamo_pack_envelope(&pk, &dynamo, 1, 2, "", 0);
	hex_is_own("dynamo_envelope_2");
}

static void dynamo_cleared(void)
{
	struct block_event event = { .tier = KVBM_TIER_G1 };
	struct batch batch = { EVENT_CLEARED, 1, &event };
	uint64_t event_id = 0;

	begin();
	dynamo_pack_events(&pk, &batch, 0, &dynamo, &event_id);
	hex_is_own("dynamo_cleared");
}

/* Blocks of one sequence are one event; another tier or a hole begins the next. */
static void chains(void)
{
	struct block_event events[4];
	struct batch batch = { EVENT_STORED, 4, events };

	chain(events, 4);
	EXPECT_EQ(batch_run_end(&batch, 0), 4);
	events[2].tier = KVBM_TIER_G2;
	EXPECT_EQ(batch_run_end(&batch, 0), 2);
	EXPECT_EQ(batch_run_end(&batch, 2), 3);
	chain(events, 4);
	aux[3].head.parent = 7777;
	events[3].hash = plh(103, 7777, 3);
	EXPECT_EQ(batch_run_end(&batch, 0), 3);
	batch.type = EVENT_REMOVED;
	EXPECT_EQ(batch_run_end(&batch, 0), 4);
}

/* Two sequences, side by side, and a branch of the second one. */
static void interleaved_chains_are_grouped(void)
{
	struct block_event events[6], a[4];
	struct batch batch = { EVENT_STORED, 6, events };
	static struct aux other[2], branch;
	size_t i;

	chain(a, 3);
	for (i = 0; i < 2; i++) {
		other[i].head = (struct aux_head){ 300 + i, i ? 500 : 0 };
		events[2 * i] = a[i];
		events[2 * i + 1] = a[i];
		events[2 * i + 1].hash = plh(500 + i, i ? 500 : 0, i);
		events[2 * i + 1].aux = &other[i];
	}
	events[4] = a[2];
	branch.head = (struct aux_head){ 400, 101 };
	events[5] = a[2];
	events[5].hash = plh(600, 101, 2);
	events[5].aux = &branch;
	batch_group(&batch);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(plh_current(&events[i].hash), 100 + i);
	EXPECT_EQ(batch_run_end(&batch, 0), 3);
	EXPECT_EQ(plh_current(&events[3].hash), 500);
	EXPECT_EQ(batch_run_end(&batch, 3), 5);
	EXPECT_EQ(plh_current(&events[5].hash), 600);

	batch.type = EVENT_REMOVED;
	events[1].tier = KVBM_TIER_G2;
	events[4].tier = KVBM_TIER_G2;
	batch_group(&batch);
	EXPECT_EQ(batch_run_end(&batch, 0), 4);
	EXPECT_EQ(batch_run_end(&batch, 4), 6);
	EXPECT_EQ(plh_current(&events[4].hash), 101);
}

static void chain_in_one_event(void)
{
	struct block_event events[2];
	struct batch batch = { EVENT_STORED, 1, events + 1 };

	chain(events, 2);
	begin();
	vllm_pack_batch(&pk, &batch, 0, &vllm);
	/* the parent is named, and it is the block before */
	hex_is_own("chain_in_one_event");
	batch.n = 2;
	batch.events = events;
	begin();
	vllm_pack_batch(&pk, &batch, 0, &vllm);
	hex_is_own("chain_in_one_event_2");
}

/* A message of the event plane has at most 128 events; numbers go on. */
static void dynamo_message_is_bounded(void)
{
	struct block_event events[300];
	struct batch batch = { EVENT_STORED, 300, events };
	uint64_t event_id = 5;
	size_t i;

	for (i = 0; i < 300; i++)
		events[i] = root(99, KVBM_TIER_G1);
	begin();
	EXPECT_EQ(dynamo_pack_events(&pk, &batch, 0, &dynamo, &event_id), 128);
	EXPECT_EQ(event_id, 133);
	EXPECT_EQ(dynamo_pack_events(&pk, &batch, 128, &dynamo, &event_id), 256);
	EXPECT_EQ(dynamo_pack_events(&pk, &batch, 256, &dynamo, &event_id), 300);
	EXPECT_EQ(event_id, 305);
}

static void what_forms_accept(void)
{
	struct block_event events[2], *child = &events[1];

	chain(events, 2);
	EXPECT_EQ(form_accepts(FORM_KVBM, child), 0);
	EXPECT_EQ(form_accepts(FORM_VLLM, child), 0);
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), 0);
	/* no local hash: tokens suffice for vLLM */
	aux[1].head.local_hash = 0;
	EXPECT_EQ(form_accepts(FORM_VLLM, child), 0);
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), -ENODATA);
	/* no room for tokens: the local hash suffices for Dynamo */
	chain(events, 2);
	child->aux_len = sizeof(struct aux_head) + 12;
	EXPECT_EQ(form_accepts(FORM_VLLM, child), -ENODATA);
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), 0);
	/* another parent than the hash says; none although there is one */
	chain(events, 2);
	aux[1].head.parent = 1;
	EXPECT_EQ(form_accepts(FORM_VLLM, child), -EINVAL);
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), -EINVAL);
	aux[1].head.parent = 0;
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), -ENODATA);
	/* nothing at all, or zeroes: staged without aux */
	child->aux_len = 0;
	EXPECT_EQ(form_accepts(FORM_DYNAMO, child), -ENODATA);
	chain(events, 1);
	memset(&aux[0], 0, sizeof(aux[0]));
	EXPECT_EQ(form_accepts(FORM_VLLM, &events[0]), -ENODATA);
	EXPECT_EQ(form_accepts(FORM_KVBM, &events[0]), 0);
	/* a manager whose block size is not known */
	chain(events, 2);
	child->block_size = 0;
	EXPECT_EQ(form_accepts(FORM_VLLM, child), -ENODATA);
}

/* Every mode of positional hashes gives its sequence hash back. */
static void sequence_hash_of_all_modes(void)
{
	static const struct {
		uint64_t hi, lo, current;
	} hashes[] = {
		/* positions 2, 257 and 65536, of blocks of 4 tokens 0, 1, 2 ... */
		{ 0x009e5988f40b839b, 0xcc9a98a2c350d61a, 0x796623d02e0e6f32 },
		{ 0x404075a13348d821, 0x3a3a2ee720990cf6, 0xd684cd236084e8e8 },
		{ 0x80400024ff3706c0, 0xe13cd63e5dd870bd, 0x93fcdc1b0384f358 },
	};
	size_t i;

	for (i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
		struct kvbm_hash hash = { .hi = hashes[i].hi, .lo = hashes[i].lo };

		EXPECT(plh_current(&hash) == hashes[i].current);
	}
}

static const struct tap_test tests[] = {
	TEST(kvbm_create),
	TEST(kvbm_remove),
	TEST(kvbm_shutdown),
	TEST(vllm_stored),
	TEST(vllm_removed),
	TEST(vllm_cleared),
	TEST(dynamo_stored),
	TEST(dynamo_single),
	TEST(dynamo_envelope),
	TEST(dynamo_cleared),
	TEST(chains),
	TEST(interleaved_chains_are_grouped),
	TEST(chain_in_one_event),
	TEST(dynamo_message_is_bounded),
	TEST(what_forms_accept),
	TEST(sequence_hash_of_all_modes),
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: form_test vectors.txt [wire_vectors.json]\n");
		return 2;
	}
	own_vectors = argv[1];
	vectors = argv[2];
	msgpack_sbuffer_init(&buffer);
	return tap_run(tests, sizeof(tests) / sizeof(*tests));
}
