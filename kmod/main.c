// SPDX-License-Identifier: GPL-2.0
/*
 * kvbm: KV-cache block management for LLM inference.
 */
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "private.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#include "version.h"

unsigned int kvbm_max_registries = 256;
module_param_named(max_registries, kvbm_max_registries, uint, 0644);
MODULE_PARM_DESC(max_registries, "Most registries at a time (default 256)");

unsigned int kvbm_max_managers = 1024;
module_param_named(max_managers, kvbm_max_managers, uint, 0644);
MODULE_PARM_DESC(max_managers, "Most managers at a time (default 1024)");

static unsigned long max_bytes;
module_param(max_bytes, ulong, 0644);
MODULE_PARM_DESC(max_bytes,
		 "Most kernel memory for registries and managers, in bytes (default 0: half of the memory)");

/* Bytes that registries and managers may have together. */
u64 kvbm_bytes_limit(void)
{
	unsigned long limit = READ_ONCE(max_bytes);

	return limit ?: (u64)totalram_pages() << (PAGE_SHIFT - 1);
}

static struct miscdevice kvbm_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kvbm",
	.mode = 0660,
	.fops = &kvbm_fops,
};

static int __init kvbm_init(void)
{
	int err;

	if (IS_ENABLED(CONFIG_PROVE_LOCKING)) {
		err = kvbm_prime_locks();
		if (err)
			return err;
	}
	err = kvbm_manager_init();
	if (err)
		return err;
	err = kvbm_sysfs_init();
	if (err)
		goto err_manager;
	err = misc_register(&kvbm_misc);
	if (err)
		goto err_sysfs;
	return 0;

err_sysfs:
	kvbm_sysfs_exit();
err_manager:
	kvbm_manager_exit();
	return err;
}

static void __exit kvbm_exit(void)
{
	misc_deregister(&kvbm_misc);
	kvbm_manager_exit();
	kvbm_sysfs_exit();
	kvbm_registry_exit();
}

module_init(kvbm_init);
module_exit(kvbm_exit);

MODULE_DESCRIPTION("KV-cache block management for LLM inference");
MODULE_AUTHOR("kvbm maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION(KVBM_VERSION_STRING);
