/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault injection, in kernels that have it: one fault, the nth from now on
 * (/proc/self/fail-nth); or all of them (/proc/self/make-it-fail). Either one in one
 * function only, with all that it calls.
 */
#ifndef KVBM_FAULTS_H
#define KVBM_FAULTS_H

#include "kvbm_util.h"

#define FAIL_NTH	"/proc/self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"

/* One setting of everything that can fail. */
static inline bool set_faults(const char *name, const char *value)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", kinds[i], name);
		if (kv_write_file(path, value))
			return false;
	}
	return true;
}

/* Everywhere again, and not without being asked. */
static inline bool reset_faults(void)
{
	return set_faults("probability", "0") && set_faults("task-filter", "N") &&
	       set_faults("require-start", "0") &&
	       set_faults("require-end", "0xffffffffffffffff");
}

/* Before the harness: the whole program is skipped, or all its tests know. */
static inline void prepare_faults(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "0" },
		{ "fail_page_alloc/ignore-gfp-highmem", "0" },
		{ "fail_page_alloc/min-order", "0" },
	};
	char name[64];
	size_t i;

	if (access(FAIL_NTH, W_OK)) {
		printf("1..0 # SKIP no " FAIL_NTH " in this kernel\n");
		exit(4);
	}
	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		snprintf(name, sizeof(name), DEBUGFS "%s", settings[i][0]);
		if (kv_write_file(name, settings[i][1]))
			break;
	}
	if (i < sizeof(settings) / sizeof(*settings) || !set_faults("verbose", "0") ||
	    !reset_faults()) {
		printf("1..0 # SKIP cannot write below " DEBUGFS ": root, debugfs?\n");
		exit(4);
	}
}

/* The nth fault from now on, in this thread. */
static int injector = -1;

static inline void arm(unsigned int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	while (pwrite(injector, text, strlen(text), 0) < 0)
		;
}

/* Whether it has happened. Reading and writing the file can fail by it, too. */
static inline bool disarm(void)
{
	char text[16] = "";
	bool happened = pread(injector, text, sizeof(text) - 1, 0) > 0 && !atoi(text);

	arm(0);
	return happened;
}

/* Where a function begins and ends, as the settings want it. */
struct span {
	char start[32];
	char end[32];
};

/* All of /proc/kallsyms, read once: that takes seconds where the kernel is slow. */
static inline const char *read_symbols(void)
{
	static char *symbols;
	size_t size = 1 << 20, len = 0;
	ssize_t got = 1;
	int fd;

	if (symbols)
		return symbols;
	fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	symbols = malloc(size);
	while (symbols && got > 0) {
		if (len + (1 << 16) > size)
			symbols = realloc(symbols, size *= 2);
		got = symbols ? read(fd, symbols + len, size - len - 1) : 0;
		len += got > 0 ? got : 0;
	}
	close(fd);
	if (symbols)
		symbols[len] = '\0';
	return symbols;
}

/*
 * @module is empty for what is the kernel's own. One that was loaded again since the
 * symbols were read is elsewhere.
 */
static inline bool find_function(const char *name, const char *module, struct span *span)
{
	unsigned long long at, start = 0, end = ~0ull;
	const char *line, *rest;
	char wanted[256];
	int pass;

	/* "address type name", and of a module "\t[module]". */
	snprintf(wanted, sizeof(wanted), *module ? "%s\t[%s]\n" : "%s\n", name, module);
	/* They are not in order. */
	for (pass = 0; pass < 2; pass++) {
		for (line = read_symbols(); line && *line; line = strchr(line, '\n') + 1) {
			at = strtoull(line, (char **)&rest, 16);
			if (pass && at > start && at < end)
				end = at;
			if (!pass && !strncmp(rest + 3, wanted, strlen(wanted)))
				start = at;
		}
	}
	snprintf(span->start, sizeof(span->start), "0x%llx", start);
	snprintf(span->end, sizeof(span->end), "0x%llx", end);
	return start && end != ~0ull;
}

/* Faults there only, until reset_faults(). */
static inline bool confine_faults(const struct span *span)
{
	return set_faults("require-start", span->start) &&
	       set_faults("require-end", span->end);
}

/* From here on all fail, of this thread only, or of all. They must be confined. */
static inline bool fail_all(bool mine)
{
	return set_faults("times", "-1") && set_faults("interval", "1") &&
	       set_faults("space", "0") && set_faults("task-filter", mine ? "Y" : "N") &&
	       !kv_write_file("/proc/self/make-it-fail", mine ? "1" : "0") &&
	       set_faults("probability", "100");
}

#endif /* KVBM_FAULTS_H */
