#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Rows of kvbm-bench to bench.json, and a table, the rows that we lose first."""

import argparse
import json
import os
import platform
import sys

UNITS = {"native": "ns", "device": "ns", "icount": "instructions"}


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def order(row):
    """Lost rows first, the worst one at the top; then those without a peer."""
    return (row["ratio"] is None, row["ratio"] or 0)


def cell(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def print_table(rows):
    print(f"{'way':<7} {'group':<26} {'policy':<13} {'n':>4} {'pool':>9} "
          f"{'ours':>9} {'theirs':>9} {'ratio':>6} {'spread':>7}  per block")
    for row in rows:
        lost = " LOST" if row["ratio"] is not None and row["ratio"] < 1 else ""
        print(f"{row['way']:<7} {row['group']:<26} {row['policy']:<13} {row['n']:>4} "
              f"{row['pool']:>9} {cell(row['ours']):>9} {cell(row['theirs']):>9} "
              f"{cell(row['ratio'], 2):>6} {cell(row['spread'] * 100, 0):>6}%  "
              f"{UNITS.get(row['way'], '?')}{lost}")


def print_summary(rows):
    compared = [row for row in rows if row["ratio"] is not None]
    lost = [row for row in compared if row["ratio"] < 1]
    if not compared:
        print(f"{len(rows)} rows; kvbm-logical was not there, so nothing is compared")
        return
    print(f"{len(rows)} rows, {len(compared)} compared, {len(lost)} lost; "
          f"ratio is theirs / ours, at least {min(r['ratio'] for r in compared):.2f}")


def print_holds(holds, memory):
    """The longest hold of each policy, and what blocks take."""
    for policy in sorted({row["policy"] for row in holds}):
        worst = max((row for row in holds if row["policy"] == policy),
                    key=lambda row: row["longest_hold"])
        print(f"longest hold, {policy}: {worst['longest_hold']} instructions, "
              f"{worst['call']}")
    for row in memory:
        print(f"memory, {row['policy']}: {row['bytes_per_block']:.0f} bytes per block, "
              f"{row['bytes_per_held_block']:.0f} per block that a session holds")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="", help="version of kvbm-logical; empty: none")
    parser.add_argument("--slow", type=float, default=1)
    parser.add_argument("rows", help="a row of JSON on each line")
    parser.add_argument("out", help="bench.json")
    args = parser.parse_args()

    with open(args.rows, encoding="ascii") as lines:
        read = [json.loads(line) for line in lines]
    rows = sorted((row for row in read if "group" in row), key=order)
    holds = [row for row in read if "longest_hold" in row]
    memory = [row for row in read if "bytes_per_block" in row]
    result = {
        "machine": machine(),
        "peer": {"name": "kvbm-logical", "version": args.peer} if args.peer else None,
        "slow": args.slow,
        "units": UNITS,
        "rows": rows,
        "holds": holds,
        "memory": memory,
    }
    with open(args.out, "w", encoding="ascii") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print_table(rows)
    print_holds(holds, memory)
    print_summary(rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
