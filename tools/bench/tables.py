#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The tables of Documentation/performance.rst, of what scripts/bench.sh wrote.

Prints them; with --into they replace what is between the lines ".. tables: WAY"
and ".. end of tables: WAY" of the document, for each way that there are rows of.
"""

import argparse
import json
import re
import sys

POLICIES = ["fifo", "lru", "multi-lru", "lineage-tick", "lineage-fifo"]
GROUPS = ["match_blocks_active_hit", "match_blocks_inactive_hit", "bulk_drop",
          "allocate_evict", "allocate_stage_register", "miss", "scattered", "scan",
          "decode_step", "fan_out", "two_threads", "two_processes"]
# theirs / ours that we want, for each n.
GOALS = {"native": {8: 3, 32: 3, 128: 3},
         "device": {8: 1, 32: 2, 128: 4},
         "icount": {8: 1, 32: 2, 128: 4}}
# Of the rows that miss the goal, so many are told one by one.
MOST_MISSES = 24
POOL_NAMES = {1 << 10: "1024 blocks", 1 << 20: "2^20 blocks", 1 << 24: "2^24 blocks"}


def table(head, rows):
    """A simple table, the columns as wide as they must be."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
             for line in [head, *rows]]
    return [rule, lines[0], rule, *lines[1:], rule, ""]


def pool_of(row):
    """None: as many blocks as are used."""
    return None if row["pool"] == row["n"] else row["pool"]


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def cells(rows, key, digits):
    """Of one group and policy: a number for each n."""
    rows = sorted(rows, key=lambda row: row["n"])
    if all(row[key] is None for row in rows):
        return "-"
    return " ".join(number(row[key], digits) for row in rows)


def by_policy(rows, key, digits):
    policies = [p for p in POLICIES if any(row["policy"] == p for row in rows)]
    lines = []
    for group in GROUPS:
        line = [cells([row for row in rows if (row["group"], row["policy"]) == (group, p)],
                      key, digits) for p in policies]
        if any(cell != "-" for cell in line):
            lines.append([group, *line])
    return table(["group", *policies], lines)


def goal_of(row):
    return GOALS[row["way"]].get(row["n"])


def misses(rows):
    return [row for row in rows
            if row["ratio"] is not None and goal_of(row) and row["ratio"] < goal_of(row)]


def summary(way, bench, rows):
    compared = [row for row in rows if row["ratio"] is not None]
    lost = sum(row["ratio"] < 1 for row in compared)
    machine = bench["machine"]
    peer = bench["peer"] or {"name": "kvbm-logical", "version": "(not there)"}
    unit = bench["units"][way]
    return [f"Against {peer['name']} {peer['version']}, on {machine['cpus']} processors "
            f"({machine['processor']})",
            f"with {machine['memory_gib']} GiB, under Linux {machine['kernel']}; load "
            f"{machine['load_1min']} at the end. {len(compared)} rows are",
            f"compared, in {unit} per block: {lost} are lost, "
            f"{len(misses(rows))} miss the goal.", ""]


def floors(rows):
    """What a match of cached blocks takes beyond a bare look-up."""
    found = {(row["pool"], row["n"]): row["ours"] for row in rows if row["group"] == "floor"}
    lines = []
    for row in rows:
        floor = found.get((row["pool"], row["n"]))
        if (row["group"] == "match_blocks_inactive_hit" and floor is not None and
                row["pool"] >= 1 << 20):
            lines.append([POOL_NAMES.get(row["pool"], str(row["pool"])), str(row["n"]),
                          row["policy"], number(floor, 1), number(row["ours"], 1),
                          number(row["ours"] - floor, 1)])
    if not lines:
        return []
    return ["Match of cached blocks, and release, beside the floor, in ns per block:", "",
            *table(["pool", "n", "policy", "floor", "ours", "above"], lines)]


def worst(rows):
    rows = sorted(misses(rows), key=lambda row: row["ratio"] / goal_of(row))
    if not rows:
        return []
    lines = [[row["group"], row["policy"], str(row["n"]), str(row["pool"]),
              number(row["ours"], 1), number(row["theirs"], 1), number(row["ratio"], 2),
              f"{row['spread'] * 100:.0f} %"] for row in rows]
    return ["Rows that miss the goal, the worst first:" if len(lines) <= MOST_MISSES else
            f"The {MOST_MISSES} rows that miss the goal by most, of {len(lines)}:", "",
            *table(["group", "policy", "n", "pool", "ours", "theirs", "ratio", "spread"],
                   lines[:MOST_MISSES])]


def holds(bench):
    if not bench["holds"]:
        return []
    policies = [p for p in POLICIES if any(row["policy"] == p for row in bench["holds"])]
    longest = {(row["call"], row["policy"]): str(row["longest_hold"])
               for row in bench["holds"]}
    calls = list(dict.fromkeys(row["call"] for row in bench["holds"]))
    return ["Longest hold of a lock, in instructions, of calls of 8192 blocks:", "",
            *table(["call", *policies],
                   [[call, *(longest.get((call, p), "-") for p in policies)]
                    for call in calls]),
            "Bytes per block of a manager, ghosts and entries of the registry included; and",
            "per block that a session holds:", "",
            *table(["policy", "block", "held block"],
                   [[row["policy"], f"{row['bytes_per_block']:.0f}",
                     f"{row['bytes_per_held_block']:.0f}"]
                    for row in sorted(bench["memory"],
                                      key=lambda row: POLICIES.index(row["policy"]))])]


def tables(way, bench):
    rows = [row for row in bench["rows"] if row["way"] == way]
    lines = summary(way, bench, rows)
    for pool in sorted({pool_of(row) for row in rows}, key=lambda pool: pool or 0):
        chosen = [row for row in rows if pool_of(row) == pool and row["group"] != "floor"]
        if not chosen:
            continue
        name = "n blocks" if pool is None else POOL_NAMES.get(pool, f"{pool} blocks")
        sizes = ", ".join(str(n) for n in sorted({row["n"] for row in chosen}))
        if any(row["ratio"] is not None for row in chosen):
            lines += [f"Pools of {name}, n = {sizes}: theirs / ours:", "",
                      *by_policy(chosen, "ratio", 1)]
        lines += [f"Pools of {name}, n = {sizes}: ours, {bench['units'][way]} per block:",
                  "", *by_policy(chosen, "ours", 0)]
    return lines + floors(rows) + worst(rows) + (holds(bench) if way == "icount" else [])


def put_into(document, way, lines):
    begin, end = f".. tables: {way}\n", f".. end of tables: {way}\n"
    with open(document, encoding="utf-8") as file:
        text = file.read()
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    if not re.search(pattern, text, re.S):
        sys.exit(f"tables.py: {document} has no lines '{begin.strip()}' and '{end.strip()}'")
    body = begin + "\n" + "\n".join(lines) + "\n" + end
    with open(document, "w", encoding="utf-8") as file:
        file.write(re.sub(pattern, lambda _: body, text, flags=re.S))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--into", metavar="FILE", help="the document")
    parser.add_argument("bench", nargs="+", help="bench.json")
    args = parser.parse_args()

    for name in args.bench:
        with open(name, encoding="ascii") as file:
            bench = json.load(file)
        for way in sorted({row["way"] for row in bench["rows"]}):
            lines = tables(way, bench)
            if args.into:
                put_into(args.into, way, lines)
            else:
                print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
