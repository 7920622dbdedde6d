// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The text format of Prometheus.
 */
#include <ctype.h>
#include <string.h>

#include "exporter.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

const char *label_name_error(const char *name)
{
	/* Ours, and those that Prometheus adds. */
	static const char *const taken[] = {
		"pool", "registry", "manager", "state", "policy", "duplication",
		"block_size", "session", "pid", "uid", "comm", "version",
		"instance", "job", "le", "quantile",
	};
	size_t i;

	if (!is_name_char(name[0]))
		return "a label begins with a letter or _";
	for (i = 1; name[i]; i++)
		if (!is_name_char(name[i]) && !(name[i] >= '0' && name[i] <= '9'))
			return "a label is made of letters, digits and _";
	if (!strncmp(name, "__", 2))
		return "labels that begin with __ are reserved";
	for (i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (!strcmp(name, taken[i]))
			return "this label is taken";
	return NULL;
}

/*
 * Bytes of the UTF-8 character at @s, or 0 when it is none: too long a form, half
 * a surrogate pair, beyond the last character.
 */
static size_t utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0];
	size_t n, i;

	if (c < 0x80)
		return 1;
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc0 || c >= 0xf8)
		return 0;
	c &= 0x7f >> n;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

bool is_utf8(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	for (; *s; s += n) {
		n = utf8_length(s);
		if (!n)
			return false;
	}
	return true;
}

/* Whatever it is, it neither ends the label nor breaks the file. */
static void put_escaped(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	while (*s) {
		n = utf8_length(s);
		if (!n) {
			fputs("\xef\xbf\xbd", out);	/* the replacement character */
			s++;
			continue;
		}
		if (*s == '\n')
			fputs("\\n", out);
		else if (*s == '\\' || *s == '"')
			fprintf(out, "\\%c", *s);
		else
			fwrite(s, 1, n, out);
		s += n;
	}
}

void text_family(struct text *text, const char *name, const char *type,
		 const char *help)
{
	fprintf(text->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void text_begin(struct text *text, const char *name)
{
	fputs(name, text->out);
	text->open = false;
}

void text_label(struct text *text, const char *name, const char *value)
{
	fprintf(text->out, "%c%s=\"", text->open ? ',' : '{', name);
	put_escaped(text->out, value);
	fputc('"', text->out);
	text->open = true;
}

static void end_labels(struct text *text)
{
	size_t i;

	for (i = 0; i < text->external->nr; i++)
		text_label(text, text->external->list[i].name,
			   text->external->list[i].value);
	if (text->open)
		fputc('}', text->out);
	fputc(' ', text->out);
}

void text_integer(struct text *text, uint64_t value)
{
	end_labels(text);
	fprintf(text->out, "%llu\n", (unsigned long long)value);
}

void text_seconds(struct text *text, uint64_t ns)
{
	end_labels(text);
	fprintf(text->out, "%llu.%09llu\n", (unsigned long long)(ns / 1000000000),
		(unsigned long long)(ns % 1000000000));
}

void text_real(struct text *text, double value)
{
	end_labels(text);
	fprintf(text->out, "%.17g\n", value);
}
