// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Take every lock once, in order, so that lockdep knows the order before
 * anybody can get it wrong: it then reports the first inversion, even one that
 * could not deadlock that time.
 */
#include "holder.h"

static int take_all(struct kvbm_store *s, struct kvbm_holder *h)
{
	struct kvbm_hash hash = {};
	struct kvbm_report report;
	int err;

	mutex_lock(&s->large);
	mutex_lock(&h->lock);
	spin_lock(&s->lock);
	/* The stripe of the hash, and below it the pool of entries and the ring. */
	kvbm_store_report_self(s, &report);
	kvbm_registry_present(s->registry, s->share.bit, &hash, &report);
	spin_unlock(&s->lock);
	mutex_unlock(&h->lock);
	mutex_unlock(&s->large);
	err = kvbm_registry_attach(s->registry, &hash, 1, KVBM_ATTACH_UNIQUE, NULL, 0);
	/* What hangs on a hash goes with it, under all of them. */
	spin_lock(&s->lock);
	kvbm_registry_absent(s->registry, s->share.bit, &hash, &report);
	spin_unlock(&s->lock);
	return err;
}

/**
 * kvbm_prime_locks - tell lockdep the order of the locks
 *
 * On a store of its own, made and freed here: the classes are those of all.
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_prime_locks(void)
{
	struct kvbm_store_config config = { .block_count = 1, .block_size = 1 };
	struct kvbm_registry *registry;
	struct kvbm_reclaim nothing;
	struct kvbm_holder holder;
	struct kvbm_store *store;
	int err;

	err = kvbm_registry_alloc(1, KVBM_SCHEMA_PLH, &registry);
	if (err)
		return err;
	err = kvbm_store_config_settle(&config, registry);
	if (!err)
		err = kvbm_store_alloc(registry, &config, &store);
	if (err)
		goto free_registry;
	kvbm_holder_init(&holder, store);
	err = take_all(store, &holder);
	kvbm_holder_release_all(&holder, true, &nothing);
	kvbm_holder_destroy(&holder);
	kvbm_store_free(store);
free_registry:
	kvbm_registry_free(registry);
	return err;
}
