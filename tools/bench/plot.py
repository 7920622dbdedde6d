#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Plots of build/bench.json, with gnuplot: scripts/deps.sh plots installs it.

One picture for each way and pool: how many times as long kvbm-logical takes, for
each group, policy and size of call. On the line at 1 both take the same.
"""

import argparse
import json
import os
import subprocess
import sys

SIZES_SHOWN = 4


def label(row):
    group = row["group"].replace("match_blocks_", "").replace("_", " ")
    return f"{group}, {row['policy']}"


def script(title, unit, labels, sizes, table, out):
    """A gnuplot script: a cluster of bars for each label."""
    columns = ", ".join(
        f"'$data' using {column + 2}{':xtic(1)' if column == 0 else ''} title 'n = {size}'"
        for column, size in enumerate(sizes))
    lines = [f'"{name}" ' + " ".join("NaN" if value is None else f"{value:.4f}"
                                     for value in values)
             for name, values in zip(labels, table)]
    width = max(800, 34 * len(labels) + 200)
    return "\n".join([
        f"set terminal svg size {width},560 noenhanced font 'sans,13' background 'white'",
        f"set output '{out}'",
        f"set title '{title}'",
        f"set ylabel 'kvbm-logical / kvbm, {unit} per block'",
        "set logscale y 2",
        "set yrange [*:*]",
        "set grid ytics",
        "set key outside top right",
        "set style data histogram",
        "set style histogram clustered gap 1",
        "set style fill solid 0.8 noborder",
        "set xtics rotate by -50 font ',10'",
        "set bmargin 13",
        "$data << END",
        *lines,
        "END",
        f"plot {columns}, 1 with lines linecolor 'black' notitle",
        ""])


def plot(rows, title, unit, out):
    sizes = sorted({row["n"] for row in rows})[:SIZES_SHOWN]
    labels = sorted({label(row) for row in rows})
    by_key = {(label(row), row["n"]): row["ratio"] for row in rows}
    table = [[by_key.get((name, size)) for size in sizes] for name in labels]
    subprocess.run(["gnuplot"], input=script(title, unit, labels, sizes, table, out),
                   text=True, check=True)


def pool_name(pool):
    return "as many blocks as are used" if pool is None else f"{pool} blocks"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    parser.add_argument("--bench", default=os.path.join(top, "build", "bench.json"))
    parser.add_argument("--out", default=os.path.join(top, "build", "bench-plots"))
    parser.add_argument("--prefix", default="", help="of the files' names")
    args = parser.parse_args()

    with open(args.bench, encoding="ascii") as lines:
        bench = json.load(lines)
    rows = [row for row in bench["rows"] if row["ratio"] is not None]
    if not rows:
        sys.exit("plot.py: nothing was compared: kvbm-logical was not there")
    os.makedirs(args.out, exist_ok=True)
    for row in rows:
        row["shown_pool"] = None if row["pool"] == row["n"] else row["pool"]
    for way, pool in sorted({(row["way"], row["shown_pool"]) for row in rows},
                            key=lambda key: (key[0], key[1] or 0)):
        chosen = [row for row in rows if (row["way"], row["shown_pool"]) == (way, pool)]
        name = f"{args.prefix}{way}-{pool or 'n'}.svg"
        plot(chosen, f"{way}, {pool_name(pool)}", bench["units"][way],
             os.path.join(args.out, name))
        print(os.path.join(args.out, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
