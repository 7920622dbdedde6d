/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a session holds, as the calls of the engine see it.
 */
#ifndef KVBM_ENGINE_HOLDER_H
#define KVBM_ENGINE_HOLDER_H

#include "store.h"

/* More guards than that, on all blocks together, no session may hold. */
#define KVBM_MAX_GUARDS	BIT(30)

/* holder.c */
int kvbm_holder_lock(struct kvbm_holder *h);
int kvbm_holder_lock_change(struct kvbm_holder *h);
int kvbm_holder_reserve(struct kvbm_holder *h, u32 count);
void kvbm_holder_add(struct kvbm_holder *h, u32 id);
bool kvbm_holder_scanned(struct kvbm_holder *h, u32 id);
bool kvbm_holder_has(struct kvbm_holder *h, u32 id);
bool kvbm_holder_mark(struct kvbm_holder *h, u32 id);
void kvbm_holder_unmark(struct kvbm_holder *h);
void kvbm_holder_replace(struct kvbm_holder *h, u32 from, u32 to);
int kvbm_holder_borrow(struct kvbm_holder *h, const struct kvbm_token *tokens,
		       u32 count, u32 states, u32 *failed);
int kvbm_holder_apply(struct kvbm_holder *h, const struct kvbm_token *tokens,
		      u32 count, u32 states,
		      void (*apply)(struct kvbm_holder *h, u32 id), u32 *failed);
int kvbm_holder_verify(struct kvbm_holder *h, const struct kvbm_token *tokens,
		       u32 count, u32 states, u32 *failed);
void kvbm_holder_settle(struct kvbm_holder *h);

/* epoch.c */
bool kvbm_holder_is_withheld(const struct kvbm_holder *h);

/* allocate.c */
int kvbm_holder_lock_large(struct kvbm_holder *h, u32 count);
void kvbm_holder_unlock_large(struct kvbm_holder *h, u32 count);
int kvbm_holder_allocate_locked(struct kvbm_holder *h, struct kvbm_allocation *a,
				struct kvbm_waiter *w);

/* match.c */
int kvbm_holder_match_locked(struct kvbm_holder *h,
			     const struct kvbm_hash *hashes, u32 count,
			     enum kvbm_match_mode mode,
			     struct kvbm_token *tokens, u32 *matched,
			     bool counted);
void kvbm_store_count_match(struct kvbm_store *s, u32 requested, u32 returned);

/* release.c */
int kvbm_holder_release_locked(struct kvbm_holder *h,
			       const struct kvbm_token *tokens, u32 count,
			       struct kvbm_release_hint hint, u32 *failed);

#endif /* KVBM_ENGINE_HOLDER_H */
