/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The frequency sketch: how often a hash was used lately, about, in two bytes
 * a hash. A TinyLFU count-min sketch of 4-bit counters that halve as it fills
 * (Einziger, Friedman, Manes, "TinyLFU", 2017), kept in cache lines.
 */
#ifndef KVBM_ENGINE_SKETCH_H
#define KVBM_ENGINE_SKETCH_H

#include <linux/kvbm_types.h>

#include "env.h"

struct kvbm_sketch;

int kvbm_sketch_alloc(u64 capacity, struct kvbm_sketch **out);
void kvbm_sketch_free(struct kvbm_sketch *sketch);
u64 kvbm_sketch_bytes(u64 capacity);
void kvbm_sketch_touch(struct kvbm_sketch *sketch, const struct kvbm_hash *hash);
u32 kvbm_sketch_estimate(struct kvbm_sketch *sketch,
			 const struct kvbm_hash *hash);

#endif /* KVBM_ENGINE_SKETCH_H */
