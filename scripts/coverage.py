#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# Which lines do the tests run? The engine and the library in user space, under
# the programs of selftests/engine; the doors (kmod/*.c) in a VM, under the
# kselftests, with a kernel and a module that count. Speaks TAP, after a table.
"""Measure which lines and branches the tests run."""

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
OUT = TOP / "build/coverage"
# What no test runs, and why: file, text, reason.
LISTED = TOP / "selftests/uncovered.tsv"
# One side of it is never to be taken.
ASSERTION = re.compile(r"lockdep_assert|WARN_ON")
GOAL = 95
KERNEL = "gcov-6.12"
JOBS = str(os.cpu_count() or 1)


def say(text):
    print(text, flush=True)


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, check=True, **more)


class Coverage:
    """Counts of lines and branches, by file of the tree."""

    def __init__(self):
        self.lines = defaultdict(lambda: defaultdict(int))
        self.branches = defaultdict(lambda: defaultdict(int))

    def add(self, notes, base, name):
        """What gcov says of one object; @name makes a path one of this tree."""
        done = subprocess.run(["gcov", "-b", "-c", "--json-format", "--stdout", notes],
                              cwd=base, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=True)
        # It ends each report with a newline.
        for text in filter(None, done.stdout.splitlines()):
            for file in json.loads(text)["files"]:
                path = name(file["file"])
                if path is None:
                    continue
                for line in file["lines"]:
                    number = line["line_number"]
                    self.lines[path][number] += line["count"]
                    # Of a header, each object has branches of its own.
                    for i, branch in enumerate(line["branches"]):
                        self.branches[path][number, i] += branch["count"]

    def lost(self, path):
        """Lines that do not run, and those that do and go one way only."""
        lines = {n for n, count in self.lines[path].items() if not count}
        branches = {n for (n, _), count in self.branches[path].items() if not count}
        return sorted(lines), sorted(branches - lines)


def percent(hits):
    return 100 * sum(map(bool, hits)) / len(hits) if hits else 100


def in_user_space(only):
    """Build with counters, run the programs. Return: Coverage."""
    tests = only
    if not tests:
        listing = run(["make", "-s", "-C", TOP / "selftests/engine", "--eval",
                       "list: ; @echo $(all_tests)", "list"], capture_output=True).stdout
        # Scripts build copies of their own; the thread sanitizer's runs are the same.
        tests = [t for t in listing.split() if not t.endswith("_tsan") and
                 t not in ("compile_test", "example_test")]
    for old in OUT.rglob("*.gcda"):
        old.unlink()
    OUT.mkdir(parents=True, exist_ok=True)
    # Without optimization and with counters, a hundredth of the usual is enough.
    os.environ.setdefault("STEPS", "2000")
    with open(OUT / "user.log", "w") as log:
        done = subprocess.run(["make", "-j", JOBS, "-C", TOP / "selftests/engine", f"out={OUT}",
                               "CFLAGS=-O0 -g --coverage -fprofile-update=atomic",
                               # Each check of the undefined-behaviour one is a branch.
                               "asan=address",
                               "TESTS=" + " ".join(tests), "run_tests"] +
                              ["all_tests=" + " ".join(tests)],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    coverage = Coverage()
    # The library's objects; and the programs, which have inline functions of it.
    for base, found in ((TOP / "lib", (OUT / "asan/obj").rglob("*.gcda")),
                        (TOP / "selftests/engine", OUT.glob("*.gcda"))):
        for data in sorted(found):
            coverage.add(data, base, lambda f, base=base: tree_path(base, f, ("kmod/", "lib/")))
    return coverage, done.returncode == 0


def tree_path(base, file, prefixes):
    path = os.path.relpath(os.path.normpath(base / file), TOP)
    return path if path.startswith(prefixes) else None


def in_guest(only):
    """Run the kselftests in a kernel that counts. Return: Coverage."""
    logs = OUT / "vm"
    logs.mkdir(parents=True, exist_ok=True)
    with open(OUT / "guest.log", "w") as log:
        done = subprocess.run([TOP / "scripts/selftests.sh", "-k", KERNEL, "-o", logs] + only,
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    output = (logs / "output.log").read_text(errors="replace").replace("\r", "")
    found = re.search(r"^# gcov-data\n(.*?)^# gcov-end$", output, re.M | re.S)
    if not found:
        sys.exit(f"coverage.py: no counts from the guest; see {OUT}/guest.log")
    # Files are named by the directory in which the module was built.
    data = tarfile.open(fileobj=io.BytesIO(base64.b64decode(found.group(1))))
    coverage = Coverage()
    for member in data.getmembers():
        if not member.name.endswith(".gcda"):
            continue
        path = Path("/") / re.sub(r"^(\./)*", "", member.name)
        path.write_bytes(data.extractfile(member).read())
        src = next(p for p in path.parents if p.name == "src")

        def name(file, src=src):
            file = os.path.normpath(src / file)
            inside = os.path.relpath(file, src)
            return inside if re.match(r"kmod/[^/]*\.[ch]$", inside) else None
        coverage.add(path, src, name)
    return coverage, done.returncode == 0


class Source:
    """The lines of a file, and what one is called when it moves."""

    def __init__(self, file):
        self.lines = [l.strip() for l in (TOP / file).read_text().splitlines()]

    def before(self, number, n=1):
        """Line @number, with the @n before it that are not empty."""
        at, found = number - 1, [self.lines[number - 1]]
        while n and at:
            at -= 1
            if self.lines[at]:
                found.insert(0, self.lines[at])
                n -= 1
        return " ".join(found)

    def key(self, number):
        """Its text; if that is there twice, with as many lines before as make it one."""
        same = [n for n, l in enumerate(self.lines, 1) if l == self.lines[number - 1]]
        n = 0
        while sum(self.before(s, n) == self.before(number, n) for s in same) > 1:
            n += 1
        return self.before(number, n)

    def is_aside(self, number):
        """
        Assertions. And of what PTR_ERR_OR_ZERO() gave, the compiler looks at errors
        only, which are never 0; if there were none, the line would not run.
        """
        text = self.before(number)
        return ASSERTION.search(self.lines[number - 1]) or (
            "PTR_ERR_OR_ZERO(" in text and re.search(r"if \(!?err\)$", text))


def listed():
    """Return: {(file, text)} of what is known not to run."""
    rows = [l.split("\t") for l in LISTED.read_text().splitlines()
            if l and not l.startswith("#")]
    return {(file, text) for file, text, _ in rows}


class Judge:
    """Prints tables, and what is wrong as TAP."""

    def __init__(self):
        self.known = listed()
        self.n = self.bad = 0

    def tap(self, good, text):
        self.n += 1
        self.bad += not good
        say(f"{'ok' if good else 'not ok'} {self.n} coverage: {text}")

    def table(self, coverage, title, wanted, goal=True):
        """One line a file; @goal: so many lines, and a reason for each other one, are asked."""
        files = sorted(f for f in coverage.lines if re.match(wanted, f))
        total, total_branches, unknown, met = [], [], ([], []), set()
        say(f"# {title:<36} {'lines':>6} {'run':>7} {'branches':>9} {'taken':>7}")
        for file in files:
            lines = list(coverage.lines[file].values())
            branches = list(coverage.branches[file].values())
            total += lines
            total_branches += branches
            say(f"# {file:<36} {len(lines):>6} {percent(lines):>6.1f}% "
                f"{len(branches):>9} {percent(branches):>6.1f}%")
            source = Source(file)
            keys = {n: source.key(n) for n in coverage.lines[file]}
            met |= {(file, key) for key in keys.values()}
            lost, untaken = coverage.lost(file)
            untaken = [n for n in untaken if not source.is_aside(n)]
            for numbers, to in zip((lost, untaken), unknown):
                to += [f"{file}:{n}: {keys[n]}" for n in numbers
                       if (file, keys[n]) not in self.known]
        say(f"# {'all':<36} {len(total):>6} {percent(total):>6.1f}% "
            f"{len(total_branches):>9} {percent(total_branches):>6.1f}%")
        if not goal:
            return
        self.tap(percent(total) >= GOAL, f"{title}: {percent(total):.1f} % of lines")
        for what, texts in zip(("line that does not run", "branch that is not taken"), unknown):
            self.tap(not texts, f"{title}: each {what} is listed with a reason")
            for text in texts:
                say(f"# {text}")
        gone = [f"{file}: {text}" for file, text in sorted(self.known)
                if re.match(wanted, file) and (file, text) not in met]
        self.tap(not gone, f"{title}: each that is listed is there")
        for text in gone:
            say(f"# {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["user", "guest", "all"], default="all")
    parser.add_argument("--test", action="append", default=[],
                        help="only this program (may be repeated)")
    args = parser.parse_args()
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    parts = ["user", "guest"] if args.part == "all" else [args.part]
    say("TAP version 13")
    say(f"1..{5 * len(parts)}")
    judge = Judge()
    if "user" in parts:
        run([TOP / "scripts/deps.sh", "build"])
        coverage, passed = in_user_space(args.test)
        judge.tap(passed, "the tests pass in user space")
        judge.table(coverage, "the engine", r"kmod/engine/.*\.[ch]$")
        judge.table(coverage, "the library", r"lib/(?!shim).*\.[ch]$", goal=False)
    if "guest" in parts:
        coverage, passed = in_guest(args.test)
        judge.tap(passed, "the kselftests pass")
        judge.table(coverage, "the doors", r"kmod/[^/]*\.c$")
    return 1 if judge.bad else 0


if __name__ == "__main__":
    sys.exit(main())
