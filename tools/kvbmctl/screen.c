// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The screen of kvbmctl top, by ncurses.
 */
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"
#include "sessions.h"
#include "stop.h"
#include "top.h"

/* Pairs of colours, one for each state, and one for what is wrong. */
#define PAIR_OF(state)	((state) + 1)
#define PAIR_BAD	(KVBM_NR_STATES + 1)

#define BAR_WIDTH	20

static SCREEN *screen;
static bool colours;
/* First manager on the screen. */
static size_t first;

/* One letter of a bar for each state. */
static const char letters[KVBM_NR_STATES] = {
	[KVBM_STATE_RESET] = '.',
	[KVBM_STATE_MUTABLE] = 'm',
	[KVBM_STATE_STAGED] = 's',
	[KVBM_STATE_PRIMARY] = 'P',
	[KVBM_STATE_DUPLICATE] = 'D',
	[KVBM_STATE_INACTIVE] = 'c',
};

bool screen_begin(void)
{
	static const short foregrounds[KVBM_NR_STATES] = {
		[KVBM_STATE_RESET] = COLOR_WHITE,
		[KVBM_STATE_MUTABLE] = COLOR_YELLOW,
		[KVBM_STATE_STAGED] = COLOR_MAGENTA,
		[KVBM_STATE_PRIMARY] = COLOR_GREEN,
		[KVBM_STATE_DUPLICATE] = COLOR_BLUE,
		[KVBM_STATE_INACTIVE] = COLOR_CYAN,
	};
	short state;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return false;
	/* Not initscr(): that one ends the program. */
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return false;
	if (!tigetstr("cup") || tigetstr("cup") == (char *)-1) {
		screen_end();
		return false;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	colours = can_colour(stdout) && has_colors();
	if (!colours)
		return true;
	start_color();
	use_default_colors();
	for (state = 0; state < KVBM_NR_STATES; state++)
		init_pair(PAIR_OF(state), foregrounds[state], -1);
	init_pair(PAIR_BAD, COLOR_RED, -1);
	return true;
}

void screen_end(void)
{
	endwin();
	delscreen(screen);
	screen = NULL;
}

static void colour(short pair, bool on)
{
	if (!colours)
		return;
	if (on)
		attron(COLOR_PAIR(pair));
	else
		attroff(COLOR_PAIR(pair));
}

/* Every state that has a block has a letter, if there is room at all. */
static void draw_bar(const struct top_manager *m)
{
	uint64_t total = 0, before = 0;
	uint32_t state, drawn = 0, end;

	for (state = 0; state < KVBM_NR_STATES; state++)
		total += m->counters.states[state];
	addch('[');
	for (state = 1; state <= KVBM_NR_STATES; state++) {
		/* Reset comes last: it is what is left. */
		uint32_t s = state % KVBM_NR_STATES;

		before += m->counters.states[s];
		end = total ? before * BAR_WIDTH / total : 0;
		if (m->counters.states[s] && end == drawn && end < BAR_WIDTH)
			end++;
		colour(PAIR_OF(s), true);
		for (; drawn < end; drawn++)
			addch(letters[s]);
		colour(PAIR_OF(s), false);
	}
	for (; drawn < BAR_WIDTH; drawn++)
		addch(' ');
	addch(']');
}

static void draw_manager(const struct top *top, const struct top_manager *m, int row)
{
	mvprintw(row, 0, "%-24.24s %-4s %9u ", m->name, tier_word(m->query.out_tier),
		 m->query.out_block_count);
	draw_bar(m);
	printw(" %5.1f %8.0f %8.0f %6.1f", 100 * m->now.match_hit_rate,
	       m->now.allocation_rate, m->now.eviction_rate, 100 * top_regret(m));
	printw(" %5zu %8s", m->nr_sessions, age_word(top_oldest_ns(top, m)));
}

struct line {
	const struct top_manager *manager;
	const struct kvbm_session_info *session;
};

static int by_blocks(const void *a, const void *b)
{
	const struct kvbm_session_info *x = ((const struct line *)a)->session;
	const struct kvbm_session_info *y = ((const struct line *)b)->session;

	if (x->blocks != y->blocks)
		return x->blocks < y->blocks ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Those who hold most, as many as there is room for. */
static void draw_holders(const struct top *top, int row)
{
	size_t nr = 0, i, k, n = 0;
	struct line *lines;

	for (i = 0; i < top->nr; i++)
		nr += top->managers[i].nr_sessions;
	lines = calloc(nr + 1, sizeof(*lines));
	if (!lines)
		return;
	for (i = 0; i < top->nr; i++)
		for (k = 0; k < top->managers[i].nr_sessions; k++)
			lines[n++] = (struct line){ &top->managers[i],
						    &top->managers[i].sessions[k] };
	qsort(lines, n, sizeof(*lines), by_blocks);
	attron(A_BOLD);
	mvprintw(row++, 0, "%9s %9s %8s %8s %-16s %-10s %s", "BLOCKS", "GUARDS", "OLDEST",
		 "PID", "COMM", "USER", "MANAGER");
	attroff(A_BOLD);
	for (i = 0; i < n && row < LINES; i++) {
		const struct kvbm_session_info *s = lines[i].session;
		bool ended = s->flags & KVBM_SESSION_ENDED;

		if (ended)
			colour(PAIR_BAD, true);
		mvprintw(row++, 0, "%9u %9llu %8s %8u %-16s %-10.10s %s%s", s->blocks,
			 (unsigned long long)s->guards,
			 age_word(oldest_age_ns(s, top->now_ns)), s->pid, comm_word(s),
			 user_word(s->uid), lines[i].manager->name,
			 ended ? " (ended)" : "");
		if (ended)
			colour(PAIR_BAD, false);
	}
	free(lines);
}

static void draw_legend(int row)
{
	uint32_t state, s;

	move(row, 0);
	for (state = 1; state <= KVBM_NR_STATES; state++) {
		s = state % KVBM_NR_STATES;
		colour(PAIR_OF(s), true);
		printw("%c", letters[s]);
		colour(PAIR_OF(s), false);
		printw(" %s  ", kvbm_state_name(s));
	}
}

void screen_draw(const struct top *top, unsigned int interval_s)
{
	/* Half of the screen for the holders. */
	size_t room = LINES > 12 ? LINES / 2 - 3 : LINES > 5 ? LINES - 5 : 1, i;
	int row = 0;

	if (first + 1 > top->nr)
		first = top->nr ? top->nr - 1 : 0;
	erase();
	mvprintw(row++, 0, "kvbmctl top: %zu managers, every %u s; q ends%s", top->nr,
		 interval_s, top->nr > room ? ", arrows scroll" : "");
	if (top->unreadable)
		printw("; %zu may not be read", top->unreadable);
	draw_legend(row++);
	attron(A_BOLD);
	mvprintw(row++, 0, "%-24s %-4s %9s %-22s %5s %8s %8s %6s %5s %8s", "MANAGER",
		 "TIER", "BLOCKS", "", "HIT%", "ALLOC/S", "EVICT/S", "REGR%", "SESS",
		 "OLDEST");
	attroff(A_BOLD);
	for (i = first; i < top->nr && i < first + room; i++)
		draw_manager(top, &top->managers[i], row++);
	if (row + 2 < LINES)
		draw_holders(top, row + 1);
	refresh();
}

bool screen_wait(int ms)
{
	timeout(ms);
	switch (getch()) {
	case 'q':
	case 'Q':
		return false;
	case KEY_DOWN:
	case 'j':
		first++;
		break;
	case KEY_UP:
	case 'k':
		first -= first > 0;
		break;
	default:
		break;
	}
	return !stop_requested();
}
