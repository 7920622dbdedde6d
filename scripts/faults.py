#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# Put the seeded faults of selftests/faults/*.faults into copies of the sources,
# one at a time, and see that the tests named there fail. Speaks TAP; closes with
# a table of which test caught which fault.
"""Build known bugs into copies of the sources; each must fail its test."""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TABLES = TOP / "selftests/faults"
OUT = TOP / "build/faults"
KERNEL = "stock-6.12"
# A test that should take a second and takes this long hangs.
LIMIT = 20
GUEST_LIMIT = 20
JOBS = str(os.cpu_count() or 1)


def die(text):
    sys.exit(f"faults.py: {text}")


class Fault:
    """One section of a .faults file."""

    def __init__(self, name, where):
        self.name = name
        self.defined = where
        self.file = self.what = ""
        self.tests = []
        self.hang = self.die = self.quick = False
        self.old = self.new = ""

    def in_kernel(self):
        return self.file.startswith("kmod/") and self.tests[0][0].startswith("kvbm_")

    def set(self, key, value):
        if key == "test":
            program, _, test = value.partition(":")
            self.tests.append((program, test))
        elif key in ("file", "what"):
            setattr(self, key, value)
        elif key in ("hang", "die", "quick") and value == "yes":
            setattr(self, key, True)
        else:
            die(f"{self.defined}: what is {key}: {value}?")

    def check(self):
        if not (self.file and self.what and self.tests and self.old):
            die(f"{self.defined}: {self.name} is not complete")
        if len({p.startswith("kvbm_") for p, _ in self.tests}) != 1:
            die(f"{self.defined}: tests of {self.name} in user space and in a VM")
        text = (TOP / self.file).read_text()
        if text.count(self.old) != 1:
            die(f"{self.defined}: {self.name}: the old text is "
                f"{text.count(self.old)} times in {self.file}, not once; "
                "the code has changed, so change the fault as well")

    def mutated(self):
        return (TOP / self.file).read_text().replace(self.old, self.new)


def load():
    """All faults, in the order of the files."""
    faults = []
    for path in sorted(TABLES.glob("*.faults")):
        part = None
        for number, line in enumerate(path.read_text().splitlines(True), 1):
            where = f"{path.relative_to(TOP)}:{number}"
            if line.startswith("=== "):
                faults.append(Fault(line[4:].strip(), where))
                part = "head"
            elif line == "---\n":
                part = "old"
            elif line == "+++\n":
                part = "new"
            elif part == "old":
                faults[-1].old += line
            elif part == "new":
                faults[-1].new += line
            elif part == "head" and line.strip():
                key, _, value = line.partition(":")
                faults[-1].set(key.strip(), value.strip())
    for fault in faults:
        # It may be a part of a line.
        fault.old, fault.new = (t.removesuffix("\n") for t in (fault.old, fault.new))
    names = [f.name for f in faults]
    for fault in faults:
        if names.count(fault.name) > 1:
            die(f"{fault.defined}: {fault.name} is there twice")
        fault.check()
    return faults


def sync(parts, to):
    """Make @to/PART equal to the sources; what is equal keeps its time."""
    for part in parts:
        src, dst = TOP / part, to / part
        files = [src] if src.is_file() else \
                [f for f in src.rglob("*") if f.is_file() and f.suffix != ".o"]
        known = set()
        for f in files:
            target = to / f.relative_to(TOP)
            known.add(target)
            if not target.exists() or not filecmp.cmp(f, target, shallow=False):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(f, target)
                shutil.copymode(f, target)
        for old in dst.rglob("*.[ch]") if dst.is_dir() else []:
            if old not in known:
                old.unlink()


def put(path, text):
    path.write_text(text)


def run(command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False, **more)


def must(command, **more):
    done = run(command, **more)
    if done.returncode:
        die(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def passed(output, test):
    """Whether the TAP of a program says that this one test passed."""
    return bool(re.search(rf"^ok \d+ +(\S+\.)?{re.escape(test)}$", output, re.M))


class Tap:
    """Results, as they come."""

    def __init__(self, plan):
        self.n = self.bad = 0
        print("TAP version 13", f"1..{plan}", sep="\n", flush=True)

    def say(self, good, text, log=""):
        self.n += 1
        self.bad += not good
        print("ok" if good else "not ok", self.n, text, flush=True)
        if not good:
            for line in log.splitlines()[-30:]:
                print("#", line)


class User:
    """The engine and the library in user space, with sanitizers."""

    def __init__(self):
        self.tree = OUT / "tree"
        self.built = set()

    def prepare(self):
        sync(["kmod", "lib", "uapi", "selftests"], self.tree)

    def make(self, programs):
        out = "../../build/selftests-user/"
        return run(["make", "-s", "-j", JOBS, "-C", self.tree / "selftests/engine",
                    "CFLAGS=-O1"] + [out + p for p in sorted(programs)])

    def run(self, program, test):
        """Return: how it failed, or "" if the test passed; and its output."""
        path = self.tree / "build/selftests-user" / program
        env = dict(os.environ, KVBM_TEST=test)
        try:
            done = run([path], env=env, timeout=LIMIT)
        except subprocess.TimeoutExpired as e:
            text = e.stdout or b""
            return "hangs", text.decode() if isinstance(text, bytes) else text
        if not done.returncode and passed(done.stdout, test):
            return "", done.stdout
        return ("fails" if f" {test}\n" in done.stdout else "dies"), done.stdout

    def base(self, faults, tap):
        tests = sorted({t for f in faults for t in f.tests})
        self.prepare()
        built = self.make({p for p, _ in tests})
        if built.returncode:
            die(f"the sources as they are do not build:\n{built.stdout[-4000:]}")
        for program, test in tests:
            how, log = self.run(program, test)
            tap.say(not how, f"without a fault {program}:{test}", log)

    def fault(self, fault):
        """Return: [(how it ended, output)] for its tests."""
        path = self.tree / fault.file
        put(path, fault.mutated())
        try:
            built = self.make({p for p, _ in fault.tests})
            if built.returncode:
                return [("does not build", built.stdout)] * len(fault.tests)
            return [self.run(*t) for t in fault.tests]
        finally:
            put(path, (TOP / fault.file).read_text())


class Guest:
    """The module in a VM: many loads of it in one boot."""

    def __init__(self):
        self.tree = OUT / "module"
        self.ko = OUT / "ko"
        self.selftests = TOP / "build/selftests"

    def prepare(self, faults):
        sync(["Kbuild", "kmod", "uapi"], self.tree)
        self.ko.mkdir(parents=True, exist_ok=True)
        self.selftests.mkdir(parents=True, exist_ok=True)
        source = must([TOP / "scripts/kernel.sh", "source-6.12"])
        ksrc = re.search("^KSRC=(.*)$", source, re.M).group(1)
        must(["make", "-s", "-C", TOP / "lib", "-j", JOBS])
        programs = {p for f in faults for p, _ in f.tests}
        must(["make", "-s", "-C", TOP / "selftests", "-j", JOBS, f"KSRC={ksrc}",
              f"OUTPUT={self.selftests}"] +
             [self.selftests / p for p in sorted(programs)])

    def build(self, name):
        done = subprocess.run([TOP / "scripts/build-module.sh", "-S", self.tree, KERNEL],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            return done.stderr
        shutil.copyfile(done.stdout.strip(), self.ko / f"{name}.ko")
        return ""

    def boot(self, jobs):
        """Return: {job: (how, output)} of those that were begun."""
        listing = OUT / "list"
        put(listing, "".join(f"{name} {ko}.ko {p} {t} {GUEST_LIMIT}\n"
                             for name, ko, p, t in jobs))
        logs = OUT / "vm"
        args = [TOP / "scripts/vm.sh", "-k", KERNEL, "--allow-splat", "-o", logs,
                "-t", str(60 + 2 * GUEST_LIMIT + 5 * len(jobs)),
                "-f", f"{TABLES}/guest.sh:/faults/guest.sh", "-f", f"{listing}:/faults/list"]
        for ko in sorted({j[1] for j in jobs}):
            args += ["-f", f"{self.ko}/{ko}.ko:/faults/{ko}.ko"]
        for program in sorted({j[2] for j in jobs}):
            args += ["-b", f"{self.selftests}/{program}:/faults/{program}"]
        run(args + ["--", "sh /faults/guest.sh list"])
        output = (logs / "output.log").read_text(errors="replace").replace("\r", "")
        results = {}
        for job in jobs:
            begun = re.search(rf"^# begin: {job[0]}\n(.*?)(?:^# end: {job[0]} (\d+)$|\Z)",
                              output, re.M | re.S)
            if not begun:
                break
            text, status = begun.groups()
            if "# no module" in text:
                how = "does not load"
            elif status is None:
                how = "dies"
                text += (logs / "console.log").read_text(errors="replace")[-3000:]
            elif status in ("137", "143"):
                how = "hangs"
            else:
                how = "" if status == "0" and passed(text, job[3]) else "fails"
            results[job] = how, text
        return results

    def run(self, jobs):
        """All of them, in as many boots as it takes."""
        results = {}
        while jobs:
            done = self.boot(jobs)
            if not done:
                die(f"the VM does not start; see {OUT}/vm")
            results.update(done)
            jobs = jobs[len(done):]
        return results

    def faults(self, faults, with_base):
        """Return: {name: [(how, output)]}, and of the tests without a fault, too."""
        broken, jobs = {}, []
        self.prepare(faults)
        if with_base:
            err = self.build("none")
            if err:
                die(f"the module as it is does not build:\n{err[-4000:]}")
            tests = sorted({t for f in faults for t in f.tests})
            jobs = [(f"{p}:{t}", "none", p, t) for p, t in tests]
        nr_base = len(jobs)
        for fault in faults:
            path = self.tree / fault.file
            put(path, fault.mutated())
            err = self.build(fault.name)
            put(path, (TOP / fault.file).read_text())
            if err:
                broken[fault.name] = [("does not build", err)] * len(fault.tests)
                continue
            jobs += [(f"{fault.name}:{t}", fault.name, p, t) for p, t in fault.tests]
        results = self.run(jobs)
        for job in jobs[nr_base:]:
            broken.setdefault(job[1], []).append(results[job])
        return broken, {job[0]: results[job] for job in jobs[:nr_base]}


def is_caught(fault, how):
    return how == "fails" or (how == "dies" and (fault.die or not fault.in_kernel())) or \
        (how == "hangs" and fault.hang)


def judge(fault, results, tap):
    """Return: lines of the closing table."""
    for (program, test), (how, log) in zip(fault.tests, results):
        good = is_caught(fault, how)
        tap.say(good, f"{fault.name}: {program}:{test} {how or 'PASSES: the fault survives'}",
                log)
        yield fault.name, fault.file, f"{program}:{test}", how if good else "NOT CAUGHT"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-l", "--list", action="store_true", help="list the faults")
    parser.add_argument("--quick", action="store_true",
                        help="only some that take less than a minute together")
    parser.add_argument("--user", action="store_true", help="none that take a VM")
    parser.add_argument("--no-base", action="store_true",
                        help="do not run the tests without a fault first")
    parser.add_argument("fault", nargs="*")
    args = parser.parse_args()

    faults = load()
    unknown = set(args.fault) - {f.name for f in faults}
    if unknown:
        die(f"no such fault: {' '.join(sorted(unknown))}")
    if args.fault:
        faults = [f for f in faults if f.name in args.fault]
    if args.quick:
        faults = [f for f in faults if f.quick]
    if args.user:
        faults = [f for f in faults if not f.in_kernel()]
    if args.list:
        for f in faults:
            print(f"{f.name}\t{f.file}\t{f.what}")
        return 0

    start = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    must([TOP / "scripts/deps.sh", "build"])
    # Variables of a make above are not for those below.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    in_user = [f for f in faults if not f.in_kernel()]
    in_guest = [f for f in faults if f.in_kernel()]
    plan = sum(len(f.tests) for f in faults)
    if not args.no_base:
        plan += len({t for f in faults for t in f.tests})
    tap = Tap(plan)
    table = []
    if in_user:
        user = User()
        if args.no_base:
            user.prepare()
        else:
            user.base(in_user, tap)
        for f in in_user:
            table += judge(f, user.fault(f), tap)
    if in_guest:
        results, base = Guest().faults(in_guest, not args.no_base)
        for name, (how, log) in base.items():
            tap.say(not how, f"without a fault {name}", log)
        for f in in_guest:
            table += judge(f, results[f.name], tap)
    table = [("fault", "where", "caught by", "which")] + table
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        print("#", "  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())
    print(f"# {len(faults)} faults in {time.monotonic() - start:.0f} s")
    return 1 if tap.bad else 0


if __name__ == "__main__":
    sys.exit(main())
