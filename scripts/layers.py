#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# Who may include whom. Prints what is against it, and cycles; exit status 1 then.
"""Check the #include lines of the tree against its layers."""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

# Layer, its files (the first that matches counts), and the layers, or headers,
# that they may include. What is not of this tree is "outside"; in braces, only
# those headers of it.
LAYERS = [
    ("uapi", r"uapi/", ["uapi", "{linux/types.h linux/ioctl.h}"]),
    # Where the engine meets its environment, and the only such place.
    ("env", r"kmod/engine/env\.h", ["uapi", "outside", "shim", "kmod/trace.h"]),
    # The policies, and what of the engine they are made of. Inwards only.
    ("policies", r"kmod/engine/eviction/",
     ["policies", "uapi", "env", "kmod/engine/hash.h", "kmod/engine/plh.h",
      "kmod/engine/slot.h"]),
    ("engine", r"kmod/engine/",
     ["engine", "env", "uapi", "kmod/engine/eviction/eviction.h"]),
    # The arguments of the ioctls, in the module and in the library.
    ("abi", r"kmod/(abi(_needs|_table)?\.[ch]|version\.h)",
     ["abi", "engine", "env", "uapi"]),
    ("module", r"kmod/", ["module", "abi", "engine", "env", "uapi", "outside",
                          "kmod/engine/eviction/eviction.h"]),
    ("shim", r"lib/shim/", ["shim", "uapi", "outside"]),
    ("public", r"lib/include/", ["public", "uapi", "outside"]),
    # The library with the engine inside; the rest of it knows only the engine's
    # arithmetic of hashes.
    ("inproc", r"lib/(inproc|handle)[a-z_]*\.[ch]",
     ["inproc", "library", "public", "engine", "env", "abi", "uapi", "outside"]),
    ("library", r"lib/",
     ["library", "public", "env", "abi", "uapi", "outside", "kmod/engine/hash.h",
      "kmod/engine/plh.h", "lib/inproc.h", "lib/handle.h"]),
    # Measures how long the engine holds its locks.
    ("holds", r"tools/bench/holds/", ["tools", "engine", "public", "uapi", "outside"]),
    ("tools", r"(tools|examples)/", ["tools", "public", "uapi", "outside"]),
]

# Where a header is looked for, beside the folder of the file.
PATHS = ["uapi", "lib/include", "lib", "lib/shim", "kmod", "tools/common",
         "tools/bench/common"]


def layer_of(path):
    return next((name for name, files, _ in LAYERS if re.match(files, path)), None)


def resolve(path, header):
    """Return: the header's path in this tree, or None if it is not of it."""
    # A folder of tools/bench may use a header of another one.
    folders = [Path(path).parent] + [Path(p) for p in PATHS]
    if path.startswith("tools/bench/"):
        folders += sorted(p.relative_to(TOP) for p in (TOP / "tools/bench").iterdir()
                          if p.is_dir())
    for folder in folders:
        file = (TOP / folder / header).resolve()
        if file.is_file() and file.is_relative_to(TOP):
            return str(file.relative_to(TOP))
    return None


def may(allowed, path, header):
    if path is None:
        return "outside" in allowed or \
            any(a[0] == "{" and header in a[1:-1].split() for a in allowed)
    return layer_of(path) in allowed or path in allowed


def check(graph):
    """Read all files into graph. Return: what is not allowed."""
    wrong = []
    for folder in ("uapi", "kmod", "lib", "tools", "examples"):
        for file in sorted((TOP / folder).rglob("*.[ch]")):
            path = str(file.relative_to(TOP))
            name, _, allowed = next(l for l in LAYERS if re.match(l[1], path))
            graph[path] = []
            for number, line in enumerate(file.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if not found:
                    continue
                header = found.group(2)
                target = resolve(path, header)
                # <linux/...> and the like are ours only below uapi and lib/include.
                if found.group(1) == "<" and target and \
                        layer_of(target) not in ("uapi", "public", "shim"):
                    target = None
                if target:
                    graph[path].append(target)
                if not may(allowed, target, header):
                    wrong.append(f"{path}:{number}: {name} must not include "
                                 f"{target or header}")
    return wrong


def cycles(graph):
    done, stack = set(), []

    def visit(path):
        if path in stack:
            yield stack[stack.index(path):] + [path]
            return
        if path in done:
            return
        stack.append(path)
        for target in graph.get(path, []):
            yield from visit(target)
        stack.pop()
        done.add(path)

    for path in sorted(graph):
        yield from visit(path)


def main():
    graph = {}
    wrong = check(graph)
    wrong += ["a cycle: " + " -> ".join(c) for c in cycles(graph)]
    print("\n".join(wrong) if wrong else f"{len(graph)} files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
