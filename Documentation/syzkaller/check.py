#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compare dev_kvbm.txt with the headers: every ioctl, every member, every name.

usage: check.py DIR-OF-HEADERS TABLE-OF-THE-ABI DESCRIPTION

Of the table (kmod/abi_table.h) come the flags that there are.
"""
import re
import sys

C_SIZE = {"__u8": 1, "char": 1, "__u32": 4, "__s32": 4, "__u64": 8, "__aligned_u64": 8}
# Where one structure of C has two descriptions, or none by its own name.
TWINS = {"kvbm_list_registries": "kvbm_list", "kvbm_list_managers": "kvbm_list",
         "kvbm_destroy_registry": "kvbm_destroy", "kvbm_destroy_manager": "kvbm_destroy",
         "kvbm_tokens_reset": "kvbm_tokens", "kvbm_segment_out": "kvbm_segment",
         "kvbm_hash_any": "kvbm_hash"}
# Of syzlang.
WORDS = {"const", "flags", "array", "ptr64", "ptr", "len", "bytesize", "string", "parent",
         "opt", "in", "out", "inout", "int8", "int32", "int64", "fd", "buffer"}
RESOURCE_SIZE = {"fd": 4, "int64": 8, "int32": 4}

headers = "".join(open(f"{sys.argv[1]}/{h}", encoding="utf-8").read()
                  for h in ("kvbm_types.h", "kvbm.h"))
table = open(sys.argv[2], encoding="utf-8").read()
text = open(sys.argv[3], encoding="utf-8").read()
text = re.sub(r"^#.*$", "", text, flags=re.M)
bad = 0


def complain(words):
    global bad
    bad += 1
    print(words)


def members_in_c():
    """Of each structure: names, and bytes of each."""
    structs = {}
    plain = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)
    limits = dict(re.findall(r"^#define (KVBM_\w+)\s+(\d+)\b", plain, re.M))
    for name, body in re.findall(r"^struct (kvbm_\w+) \{\n(.*?)^\};", plain, re.M | re.S):
        members = []
        for kind, member, count in re.findall(
                r"((?:struct )?\w+) (\w+)(?:\[(\w+)\])?;", body):
            size = (sum(s for _, s in structs[kind[7:]]) if kind.startswith("struct ")
                    else C_SIZE[kind])
            members.append((member, size * int(limits.get(count, count) or 1)))
        structs[name] = members
    return structs, limits


c_structs, numbers = members_in_c()
resources = dict(re.findall(r"^resource (\w+)\[(\w+)\]", text, re.M))
while any(r in resources for r in resources.values()):
    resources = {k: resources.get(v, v) for k, v in resources.items()}
described = {name: [re.split(r"\t+", line) for line in body.strip("\n").split("\n")]
             for name, body in re.findall(r"^(kvbm_\w+) [{\[]\n(.*?)^[}\]]", text, re.M | re.S)}
sets = dict(re.findall(r"^(kvbm_\w+) = (.*)$", text, re.M))


def size_of(kind):
    word, rest = re.match(r"(\w+)(?:\[(.*)\])?$", kind).groups()
    if word in resources:
        return RESOURCE_SIZE[resources[word]]
    if word in described:
        sizes = [size_of(m[2]) for m in described[word]]
        return max(sizes) if re.search(rf"^{word} \[", text, re.M) else sum(sizes)
    if word in ("ptr64", "int64"):
        return 8
    if word in ("int32", "fd"):
        return 4
    if word == "int8":
        return 1
    if word == "string":
        return int(numbers[rest.split(", ")[1]])
    if word == "array":
        of, count = rest.rsplit(", ", 1)
        return size_of(of) * int(numbers.get(count, count))
    return size_of(rest.rsplit(", ", 1)[1])


for ioctl in re.findall(r"^#define (KVBM_\w+)\s+KVBM_IOC\(", headers, re.M):
    if not re.search(rf"^ioctl\${ioctl}\(fd fd_kvbm\w*, cmd const\[{ioctl}\], arg ptr\[", text,
                     re.M):
        complain(f"no ioctl${ioctl}")

for rule in re.findall(r"RULE\(struct \w+, \w+, FLAGS,\s*([^)]*)\)", table):
    for flag in re.findall(r"KVBM_\w+", rule):
        # Permission bits are given as numbers.
        if flag != "KVBM_MODE_MASK" and not re.search(rf"\b{flag}\b", text):
            complain(f"no {flag}")

for name, members in described.items():
    c = c_structs.get(TWINS.get(name, name))
    if not c:
        if not name.startswith("kvbm_hash_"):
            complain(f"{name}: no such structure")
        continue
    if name == "kvbm_hash":		# a union of them
        members = described["kvbm_hash_any"]
    mine = [(m[1], size_of(m[2])) for m in members]
    if mine != c:
        complain(f"{name}: {mine}\n  in the header: {c}")

known = set(described) | set(resources) | set(sets) | WORDS
for line in text.split("\n"):
    kinds = [w for part in re.split(r"\t+", line)[2:] for w in re.findall(r"[a-z]\w*", part)]
    siblings = {m[1] for ms in described.values() for m in ms}
    for word in kinds:
        if word not in known and word not in siblings and not re.fullmatch(r"x[0-9a-f]+", word):
            complain(f"unknown: {word} in {line.strip()}")
for const in set(re.findall(r"\bKVBM_\w+", text)):
    base = re.sub(r"_file$", "", const)
    if not re.search(rf"^\s*(#define {base}\b|{base}\s*[,=])", headers, re.M):
        complain(f"no {const} in the headers")
sys.exit(bool(bad))
