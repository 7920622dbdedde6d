// SPDX-License-Identifier: GPL-2.0
/*
 * A module with one bug of each kind, on request. The test harness must turn
 * red for every one of them: a checker that never fires proves nothing.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *mode = "none";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "which bug: none, warn, vmalloc, slab, lock, leak, atomic, oops, list, race, fail");

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);
static DEFINE_SPINLOCK(spin);

/* Within the page: only KASAN_VMALLOC sees it. */
static void overrun_vmalloc(void)
{
	size_t size = 100;
	char *p = vmalloc(size);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(size);
	WRITE_ONCE(p[size], 1);
	vfree(p);
}

static void overrun_slab(void)
{
	size_t size = 100;
	char *p = kmalloc(size, GFP_KERNEL);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(size);
	WRITE_ONCE(p[size], 1);
	kfree(p);
}

/* Never deadlocks here; lockdep has to see the possibility. */
static void invert_locks(void)
{
	mutex_lock(&lock_a);
	mutex_lock(&lock_b);
	mutex_unlock(&lock_b);
	mutex_unlock(&lock_a);

	mutex_lock(&lock_b);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	mutex_unlock(&lock_b);
}

static void leak(void)
{
	void *p = kmalloc(1234, GFP_KERNEL);

	/* Keep the compiler from dropping the pair of calls. */
	OPTIMIZER_HIDE_VAR(p);
}

static void sleep_in_atomic(void)
{
	spin_lock(&spin);
	msleep(20);
	spin_unlock(&spin);
}

static void oops(void)
{
	int *p = NULL;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

static void delete_twice(void)
{
	struct list_head head, item;

	INIT_LIST_HEAD(&head);
	list_add(&item, &head);
	list_del(&item);
	list_del(&item);
}

static unsigned long racy;
static DECLARE_COMPLETION(raced);

static int race_once(void *unused)
{
	unsigned long end = jiffies + HZ;

	while (time_before(jiffies, end)) {
		racy++;
		barrier();
	}
	complete(&raced);
	return 0;
}

/* Two threads count in one variable; KCSAN has to see it. */
static void race(void)
{
	struct task_struct *t = kthread_run(race_once, NULL, "kvbm_negative");

	if (IS_ERR(t))
		return;
	race_once(NULL);
	wait_for_completion(&raced);
	wait_for_completion(&raced);
}

static int __init negative_init(void)
{
	if (!strcmp(mode, "warn"))
		WARN(1, "negative control\n");
	else if (!strcmp(mode, "vmalloc"))
		overrun_vmalloc();
	else if (!strcmp(mode, "slab"))
		overrun_slab();
	else if (!strcmp(mode, "lock"))
		invert_locks();
	else if (!strcmp(mode, "leak"))
		leak();
	else if (!strcmp(mode, "atomic"))
		sleep_in_atomic();
	else if (!strcmp(mode, "oops"))
		oops();
	else if (!strcmp(mode, "list"))
		delete_twice();
	else if (!strcmp(mode, "race"))
		race();
	else if (!strcmp(mode, "fail"))
		return -ENODEV;
	else if (strcmp(mode, "none"))
		return -EINVAL;
	return 0;
}
module_init(negative_init);

static void __exit negative_exit(void)
{
}
module_exit(negative_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kvbm: negative controls of the test harness");
