// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Reading a script.
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "say.h"
#include "script.h"

static int bad(const char *what)
{
	return say_err(-EINVAL, "script: %s", what);
}

static bool next_line(struct script *s)
{
	return getline(&s->line, &s->room, s->file) > 0;
}

static int read_nodes(struct script *s)
{
	uint64_t *current = calloc(s->nr_nodes, sizeof(*current));
	uint32_t *position = calloc(s->nr_nodes, sizeof(*position));
	unsigned long long value;
	int parent, err = -EINVAL;
	uint32_t i;

	s->hashes = calloc(s->nr_nodes, sizeof(*s->hashes));
	s->parents = calloc(s->nr_nodes, sizeof(*s->parents));
	if (!current || !position || !s->hashes || !s->parents) {
		err = -ENOMEM;
		goto out;
	}
	for (i = 0; i < s->nr_nodes; i++) {
		if (!next_line(s) || sscanf(s->line, "%llx %d", &value, &parent) != 2 ||
		    parent < -1 || parent >= (int)i)
			goto out;
		current[i] = value;
		position[i] = parent < 0 ? 0 : position[parent] + 1;
		s->parents[i] = parent;
		err = kvbm_plh(value, parent < 0 ? 0 : current[parent], position[i],
			       &s->hashes[i]);
		if (err)
			goto out;
	}
	err = 0;
out:
	free(current);
	free(position);
	return err;
}

int script_open(struct script *s, const char *path)
{
	char word[32];
	unsigned long long ops;
	int err;

	memset(s, 0, sizeof(*s));
	s->file = !strcmp(path, "-") ? stdin : fopen(path, "r");
	if (!s->file)
		return say_err(-errno, "%s", path);
	if (!next_line(s) || strcmp(s->line, SCRIPT_MAGIC "\n"))
		return bad("not a script");
	if (!next_line(s) || sscanf(s->line, "policy %31s", s->policy) != 1 ||
	    !next_line(s) || sscanf(s->line, "duplicates %31s", word) != 1 ||
	    !next_line(s) || sscanf(s->line, "nodes %u", &s->nr_nodes) != 1 ||
	    !s->nr_nodes)
		return bad("bad beginning");
	s->reject = !strcmp(word, "reject");
	err = read_nodes(s);
	if (err)
		return say_err(err, "script: nodes");
	if (!next_line(s) || sscanf(s->line, "ops %llu", &ops) != 1)
		return bad("no operations");
	s->ops = ops;
	return 0;
}

static int add_number(struct script *s, uint32_t number)
{
	uint32_t room = s->numbers_room ? 2 * s->numbers_room : 64, *more;

	if (s->nr_numbers == s->numbers_room) {
		more = realloc(s->numbers, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->numbers = more;
		s->numbers_room = room;
	}
	s->numbers[s->nr_numbers++] = number;
	return 0;
}

int script_next(struct script *s)
{
	char *at, *end;
	int err;

	if (!next_line(s))
		return 0;
	s->line[strcspn(s->line, "\n")] = 0;
	s->nr_numbers = 0;
	for (at = s->line + 1; *at; at = end) {
		err = add_number(s, strtoul(at, &end, 10));
		if (err)
			return say_err(err, "script");
		if (end == at)
			return bad(s->line);
	}
	return s->line[0];
}

void script_close(struct script *s)
{
	if (s->file && s->file != stdin)
		fclose(s->file);
	free(s->line);
	free(s->hashes);
	free(s->parents);
	free(s->numbers);
}
