#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shorten a script on which kvbm-logical and kvbm differ, to see why they do.

Leaves operations, and numbers at their ends, out as long as the two still
differ; then prints what both do with what is left.
"""

import argparse
import os
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BIN = os.path.join(TOP, "build", "bench")


def run(program, text, *options):
    return subprocess.run([os.path.join(BIN, program), *options, "-"], input=text,
                          capture_output=True, text=True, check=False)


def render(header, ops):
    return "\n".join(header + [f"ops {len(ops)}"] + ops) + "\n"


def differ(header, ops):
    text = render(header, ops)
    peer, ours = run("kvbm-peer", text), run("kvbm-ours", text)
    # Scripts that one side cannot carry out say nothing.
    return not peer.returncode and not ours.returncode and peer.stdout != ours.stdout


def first_difference(header, ops):
    text = render(header, ops)
    sides = [run(program, text, "--print", f"0:{len(ops)}").stdout.splitlines()
             for program in ("kvbm-peer", "kvbm-ours")]
    for at, (peer, ours) in enumerate(zip(*sides)):
        if peer != ours:
            return at
    return None


def without_ops(header, ops):
    size = len(ops) // 2
    while size:
        at = len(ops)
        while at > 1:
            start = max(1, at - size)
            fewer = ops[:start] + ops[at:]
            if differ(header, fewer):
                ops = fewer
            at = start
        size //= 2
    return ops


def without_numbers(header, ops):
    for at in range(1, len(ops)):
        words = ops[at].split()
        # Of some operations the numbers come in pairs.
        step = 2 if words[0] in "SF" else 1
        while len(words) > 1 + step:
            words = words[:-step]
            fewer = ops[:at] + [" ".join(words)] + ops[at + 1:]
            if not differ(header, fewer):
                break
            ops = fewer
    return ops


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script")
    args = parser.parse_args()
    with open(args.script, encoding="ascii") as script:
        lines = script.read().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("ops "))
    header, ops = lines[:start], lines[start + 1:]

    at = first_difference(header, ops)
    if at is None:
        sys.exit("shrink.py: the two do not differ")
    # Nothing survives a new manager.
    first = max(i for i in range(at + 1) if ops[i].startswith("N "))
    ops = ops[first:at + 1]
    before = None
    while before != ops:
        before = ops
        ops = without_numbers(header, without_ops(header, ops))
    text = render(header, ops)
    for program in ("kvbm-peer", "kvbm-ours"):
        print(f"{program}:")
        print(run(program, text, "--print", f"0:{len(ops)}").stdout, end="")
    nodes = header[header.index(next(l for l in header if l.startswith("nodes "))) + 1:]
    used = sorted({int(w) for op in ops[1:] for w in op.split()[1:] if int(w) < len(nodes)})
    print("nodes that may be meant: " + ", ".join(
        f"{node} (parent {nodes[node].split()[1]})" for node in used))


if __name__ == "__main__":
    main()
