/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbmctl: registries and managers from the command line.
 */
#ifndef KVBMCTL_H
#define KVBMCTL_H

#include <argp.h>
#include <stdbool.h>

#include <jansson.h>

#include <kvbm/kvbm.h>

/* What every command knows. */
struct ctl {
	const char *device;
	bool json;
	struct kvbm *kvbm;
};

/* 0, or -errno after a message. */
typedef int (*ctl_command)(struct ctl *ctl, int argc, char **argv);

int ctl_create_registry(struct ctl *ctl, int argc, char **argv);
int ctl_create_manager(struct ctl *ctl, int argc, char **argv);
int ctl_list(struct ctl *ctl, int argc, char **argv);
int ctl_show(struct ctl *ctl, int argc, char **argv);
int ctl_destroy(struct ctl *ctl, int argc, char **argv);
int ctl_stat(struct ctl *ctl, int argc, char **argv);
int ctl_check(struct ctl *ctl, int argc, char **argv);
int ctl_info(struct ctl *ctl, int argc, char **argv);
int ctl_monitor(struct ctl *ctl, int argc, char **argv);
int ctl_holders(struct ctl *ctl, int argc, char **argv);
int ctl_dump(struct ctl *ctl, int argc, char **argv);
int ctl_gc(struct ctl *ctl, int argc, char **argv);
int ctl_top(struct ctl *ctl, int argc, char **argv);
int ctl_quota(struct ctl *ctl, int argc, char **argv);
int ctl_epoch(struct ctl *ctl, int argc, char **argv);

/* --device and --json, before and after the command; its input is the ctl. */
extern const struct argp ctl_common_argp;

/*
 * Of a command: parse, then connect. The input of @argp begins with a struct
 * command; its first child is ctl_common_argp.
 */
struct command {
	struct ctl *ctl;
	const char *target;	/* the one argument that is no option, or NULL */
};

extern const struct argp_child ctl_children[];

/* For commands with one argument and no options of their own. */
error_t ctl_parse_target(int key, char *arg, struct argp_state *state);
/* The same; without the argument it is about everything. */
error_t ctl_parse_optional(int key, char *arg, struct argp_state *state);
/* For commands with no argument at all. */
error_t ctl_parse_none(int key, char *arg, struct argp_state *state);

int ctl_begin(const struct argp *argp, int argc, char **argv, void *input);

/* Objects by name. 0, or -errno after a message. */
bool is_manager_name(const char *name);
int ctl_find_registry(struct ctl *ctl, const char *name,
		      struct kvbm_registry_query *out);
int ctl_find_manager(struct ctl *ctl, const char *name,
		     struct kvbm_manager_query *out);

/**
 * ctl_each_manager - do something for each manager of a target
 * @ctl: connected
 * @target: of a registry, of a manager, or NULL for all there is
 * @each: called with the registry, or with a manager of it as well; ends the walk
 *	with an error, after a message
 * @arg: for @each
 *
 * What goes while we look is left out.
 *
 * Return: 0, or -errno after a message.
 */
int ctl_each_manager(struct ctl *ctl, const char *target,
		     int (*each)(struct ctl *ctl, const struct kvbm_registry_query *r,
				 const struct kvbm_manager_query *m, void *arg),
		     void *arg);

/* "registry:manager", or "registry:#ID" for an anonymous one; static memory. */
const char *full_name(const struct kvbm_registry_query *r,
		      const struct kvbm_manager_query *m);

/* "12 s", "3 min", "5 h", "2 d"; "-" for 0. Static memory. */
const char *age_word(uint64_t ns);

/* Numbers in words; "?" for an unknown one. */
const char *schema_word(uint32_t schema);
const char *duplication_word(uint32_t duplication);
const char *tier_word(uint32_t tier);
const char *policy_word(uint32_t policy);
/* Names of accounts; static memory, until the next call. */
const char *user_word(uint32_t uid);
const char *group_word(uint32_t gid);

/* Name of a process, which can be anything, printable; static memory. */
const char *comm_word(const struct kvbm_session_info *session);

/*
 * backing.c: the files that blocks live in, and who gave them; an empty array, or
 * nothing, when there are none or the caller may not know.
 */
json_t *backing_json(struct ctl *ctl, uint64_t manager);
void print_backing(struct ctl *ctl, uint64_t manager);

/* cgroup.c: a group of cgroup v2, by its path or its id. 0 or -errno. */
int cgroup_parse(const char *text, uint64_t *id);
/* Its path, or its id if that cannot be found out. Static memory. */
const char *cgroup_word(uint64_t id);

/* uid, gid and mode as members of @json. */
void rights_json(json_t *json, uint32_t uid, uint32_t gid, uint32_t mode);

#endif
