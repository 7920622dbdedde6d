#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge what the exporter wrote, by what kvbmctl, promtool, node_exporter and
Prometheus say of it. Called by scripts/exporter.sh; prints TAP.

usage: exporter_test.py OUTPUT PROMETHEUS PROMTOOL NODE_EXPORTER
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

# The names of kvbm-logical, and the members of struct kvbm_counters.
COUNTERS = """allocations allocations_from_reset evictions registrations
duplicate_blocks registration_dedup stagings match_hashes_requested
match_blocks_returned scan_hashes_requested scan_blocks_returned
eager_primary_to_inactive allocate_atomic_rollback release_primary_noop
release_duplicate_noop""".split()
GAUGES = """inflight_mutable inflight_immutable reset_pool_size
inactive_pool_size""".split()
# Ours: metric, its state label or None, what the statistics call has for it.
OWN = [
    ("kvbm_allocation_failures_total", None, lambda c: c["allocation_failures"]),
    ("kvbm_allocation_waits_total", None, lambda c: c["waits"]),
    ("kvbm_allocation_wait_timeouts_total", None, lambda c: c["wait_timeouts"]),
    ("kvbm_allocation_wait_seconds_total", None, lambda c: c["wait_total_ns"] / 1e9),
    ("kvbm_reclaimed_sessions_total", None, lambda c: c["reclaimed_sessions"]),
    ("kvbm_reclaim_seconds_total", None, lambda c: c["reclaim_total_ns"] / 1e9),
    ("kvbm_reclaim_last_seconds", None, lambda c: c["reclaim_last_ns"] / 1e9),
    ("kvbm_reclaim_longest_seconds", None, lambda c: c["reclaim_max_ns"] / 1e9),
    ("kvbm_reclaimed_guards_total", "mutable", lambda c: c["reclaimed_mutable"]),
    ("kvbm_reclaimed_guards_total", "staged", lambda c: c["reclaimed_staged"]),
    ("kvbm_reclaimed_guards_total", "registered", lambda c: c["reclaimed_immutable"]),
    ("kvbm_regret_evictions_total", None, lambda c: c["regret_evictions"]),
    ("kvbm_regrets_total", None, lambda c: c["regrets"]),
    ("kvbm_regret_gap_seconds_total", None, lambda c: c["regret_total_ns"] / 1e9),
    ("kvbm_regret_sample_hashes", None, lambda c: c["regret_sample"]),
] + [
    ("kvbm_blocks", state, lambda c, state=state: c["states"][state])
    for state in "reset mutable staged primary duplicate inactive".split()
]
# Two of one tier in one registry, and one elsewhere.
MANAGERS = {"one:gpu0": "G1", "one:gpu1": "G1", "two:gpu0": "G2"}
LABELS = ["pool", "registry", "manager"]

number = 0
number_failed = 0


def result(good, name, *why):
    """One line of TAP."""
    global number, number_failed
    number += 1
    print(f"{'ok' if good else 'not ok'} {number} exporter: {name}", flush=True)
    if not good:
        number_failed += 1
        for line in why:
            for part in str(line).splitlines()[:20]:
                print("# " + part, flush=True)


def read_output(path):
    """The files and the complaints of the guest."""
    files, bad, end, at = {}, [], False, None
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as f:
        for line in f.read().replace("\r\n", "\n").split("\n"):
            if line.startswith("@file "):
                at = files.setdefault(line[6:], [])
            elif line.startswith("@bad"):
                bad.append(line)
            elif line == "@end":
                end = True
            elif at is not None:
                at.append(line)
    return {k: "\n".join(v).rstrip("\n") + "\n" for k, v in files.items()}, bad, end


LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')


def samples(text):
    """Name, labels in their order, and value of each sample."""
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if not match:
            raise ValueError("no sample: " + line)
        labels, rest = [], match[2] or ""
        while rest:
            label = LABEL.match(rest)
            if not label:
                raise ValueError("no label: " + rest)
            labels.append((label[1], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]),
                                            label[2])))
            rest = rest[label.end():]
        found.append((match[1], labels, float(match[3])))
    return found


def families(text):
    """TYPE of each family, in order."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))


def value_of(found, name, manager, state=None):
    """The one sample of a manager."""
    registry, short = manager.split(":")
    want = {"pool": MANAGERS[manager], "registry": registry, "manager": short}
    if state:
        want["state"] = state
    values = [v for n, labels, v in found
              if n == name and want.items() <= dict(labels).items()]
    return values[0] if len(values) == 1 else values


def differences(found, stats):
    """What is not equal to the statistics call."""
    wrong = []
    for manager, c in stats.items():
        checks = [(f"kvbm_{n}_total", None, c[n]) for n in COUNTERS]
        checks += [(f"kvbm_{n}", None, c[n]) for n in GAUGES]
        checks += [(n, state, get(c)) for n, state, get in OWN]
        for name, state, want in checks:
            got = value_of(found, name, manager, state)
            if got != float(want):
                wrong.append(f"{manager} {name} {state or ''}: {got}, not {want}")
    return wrong


def free_port():
    """A port of the loopback that nobody has now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    """The body, or None while there is nobody."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


def until(what, seconds=90):
    """What @what() returns when it returns something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.2)
    return None


def dashboard(path, page):
    """Its expressions with the variables filled in, and the metrics that are not
    there."""
    with open(path, encoding="utf-8") as f:
        board = json.load(f)
    there = set(families(page)) | {"node_textfile_mtime_seconds"}
    exprs, missing = [], set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            expr = target["expr"]
            missing |= set(re.findall(r"\b(?:kvbm|node)_\w+", expr)) - there
            exprs.append(expr.replace("$__rate_interval", "5m")
                         .replace("$registry", ".*").replace("$manager", ".*"))
    return exprs, missing


def test_files(files, bad, end, promtool):
    """Everything that can be said without a server."""
    result(end and not bad, "bad input is told, and the old file stays", *bad,
           "" if end else "the guest did not come to its end")
    for name in ("managers.prom", "hostile.prom", "nobody.prom", "churn.prom", "empty.prom"):
        said = subprocess.run([promtool, "check", "metrics"], input=files[name],
                              capture_output=True, text=True, check=False)
        result(said.returncode == 0 and not said.stdout + said.stderr,
               f"promtool check metrics {name}", said.stdout + said.stderr)

    text = files["managers.prom"]
    types = families(text)
    want = [(f"kvbm_{n}_total", "counter") for n in COUNTERS]
    want += [(f"kvbm_{n}", "gauge") for n in GAUGES]
    result(list(types.items())[:19] == want,
           "15 counters and 4 gauges, names and types as in kvbm-logical",
           list(types.items())[:19])
    helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.M))
    result(list(helps) == list(types) and all(helps.values()), "each family has its help")
    found = samples(text)
    wrong = [s for s in found if s[0] in dict(want) and
             [n for n, _ in s[1]] != LABELS + ["instance_id", "worker_id"]]
    result(not wrong, "labels: pool, registry, manager, then those of the user", wrong)
    external = {"instance_id": "host-1", "worker_id": 'a"b\\c'}.items()
    wrong = [s for s in found if not external <= dict(s[1]).items()]
    result(not wrong, "labels of the user on every sample", wrong)
    keys = [(n, tuple(labels)) for n, labels, _ in found]
    merged = [n for n in re.findall(r"^# TYPE (\w+)", text, re.M)]
    result(len(set(keys)) == len(keys) and len(set(merged)) == len(merged),
           "two managers of one tier: one family, two samples")
    result(families(files["empty.prom"]).keys() ==
           {"kvbm_module_info", "kvbm_exporter_unreadable_managers"},
           "no manager, no family of managers", families(files["empty.prom"]))
    comm = {dict(labels).get("comm") for n, labels, _ in samples(files["hostile.prom"])
            if n == "kvbm_session_blocks"}
    result('w"o\\r\nk\ufffd=}' in comm, "a hostile name is escaped", comm)
    nobody = samples(files["nobody.prom"])
    result(("kvbm_exporter_unreadable_managers", [], 3.0) in nobody and
           {dict(labels).get("manager") for _, labels, _ in nobody} == {"open", None},
           "managers that may not be read are counted")
    return found


def test_servers(files, stats, prometheus, node_exporter, work):
    # pylint: disable=too-many-locals
    """node_exporter and Prometheus of Debian, and what comes out at their end."""
    failures = number_failed
    textfiles = os.path.join(work, "textfile")
    os.mkdir(textfiles)
    with open(os.path.join(textfiles, "kvbm.prom"), "w", encoding="utf-8") as f:
        f.write(files["managers.prom"])
    node_port, port = free_port(), free_port()
    config = os.path.join(work, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ['127.0.0.1:{node_port}']}}]
""")
    logs = open(os.path.join(work, "log"), "w", encoding="utf-8")
    started = [
        subprocess.Popen([node_exporter, "--collector.disable-defaults",
                          "--collector.textfile",
                          f"--collector.textfile.directory={textfiles}",
                          f"--web.listen-address=127.0.0.1:{node_port}"],
                         stdout=logs, stderr=logs),
        subprocess.Popen([prometheus, f"--config.file={config}",
                          f"--storage.tsdb.path={work}/tsdb",
                          f"--web.listen-address=127.0.0.1:{port}"],
                         stdout=logs, stderr=logs),
    ]
    try:
        page = until(lambda: get(f"http://127.0.0.1:{node_port}/metrics"))
        good = page and "node_textfile_scrape_error 0" in page
        served = samples(page) if good else []
        wrong = differences(served, stats) if good else ["no page, or an error in it"]
        result(not wrong, "node_exporter serves it, equal to the statistics call", *wrong)
        result(good and {k: v for k, v in families(page).items() if k.startswith("kvbm_")} ==
               families(files["managers.prom"]), "node_exporter has the types")

        def ask():
            query = urllib.parse.quote('{__name__=~"kvbm_.*"}')
            body = get(f"http://127.0.0.1:{port}/api/v1/query?query={query}")
            data = json.loads(body)["data"]["result"] if body else []
            return data or None

        data = until(ask)
        scraped = [(d["metric"]["__name__"], list(d["metric"].items()),
                    float(d["value"][1])) for d in data or []]
        wrong = differences(scraped, stats)
        result(not wrong, "Prometheus scrapes it, equal to the statistics call", *wrong)
        result(len(scraped) == len(samples(files["managers.prom"])),
               "Prometheus has every sample", len(scraped))

        exprs, missing = dashboard("packaging/grafana/kvbm.json", page or "")
        result(exprs and not missing, "the dashboard asks for what there is", missing)
        wrong = [e for e in exprs if '"status":"success"' not in
                 (get(f"http://127.0.0.1:{port}/api/v1/query?query=" +
                      urllib.parse.quote(e)) or "")]
        result(not wrong, "Prometheus takes the queries of the dashboard", *wrong)
        if number_failed != failures:
            logs.flush()
            with open(logs.name, encoding="utf-8") as f:
                for line in f.read().splitlines()[-20:]:
                    print("# " + line)
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        logs.close()


def main():
    """See above."""
    output, prometheus, promtool, node_exporter = sys.argv[1:]
    files, bad, end = read_output(output)
    needed = ["empty.prom", "managers.prom", "hostile.prom", "nobody.prom", "churn.prom"]
    needed += [m + ".json" for m in MANAGERS]
    missing = [n for n in needed if n not in files]
    if missing:
        result(False, "the guest wrote its files", missing, *bad)
        print(f"1..{number}")
        return 1
    found = test_files(files, bad, end, promtool)
    stats = {m: json.loads(files[m + ".json"]) for m in MANAGERS}
    wrong = differences(found, stats)
    result(not wrong, "every value equals the statistics call", *wrong)
    moved = [n for n in COUNTERS + GAUGES if any(c[n] for c in stats.values())]
    result(len(moved) >= 11, "most of them are not 0", moved)
    with tempfile.TemporaryDirectory() as work:
        test_servers(files, stats, prometheus, node_exporter, work)
    directory = "packaging/prometheus"
    for command in (["check", "rules", "kvbm.rules.yml"],
                    ["test", "rules", "kvbm.rules.test.yml"]):
        said = subprocess.run([promtool] + command, cwd=directory, check=False,
                              capture_output=True, text=True)
        result(said.returncode == 0, " ".join(["promtool"] + command),
               said.stdout + said.stderr)
    rules = set(re.findall(r"\b(?:kvbm)_\w+", open(directory + "/kvbm.rules.yml",
                                                   encoding="utf-8").read()))
    result(rules <= set(families(files["managers.prom"])),
           "the rules ask for what there is", rules - set(families(files["managers.prom"])))
    print(f"1..{number}")
    return 1 if number_failed else 0


if __name__ == "__main__":
    sys.exit(main())
