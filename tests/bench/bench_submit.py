#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_submit.py - from `muster submit` to the first finished step, on an idle local cluster of three workers

usage: bench_submit.py [ROUNDS]        default: 10, after one that is not counted

The clock starts before the command is run and stops when `muster status` first shows step 1, so it has in it: the
command, the coordinator's settle time (100 ms, in case more workers appear), the trainer's start, reading the data,
the MPI world, one step, and the status command. The jobs:

    gpt        2 layers, 32 channels, 200 kB of text
    gpt-gcide  4 layers, 128 channels, on dict-gcide's 40 MB, its cache warm (where it is installed)"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, wait_for  # noqa: E402  pylint: disable=wrong-import-position

WORKERS = 3
GCIDE = "/usr/share/dictd/gcide.dict.dz"
TO_REACH_S = 1.0


def one(cluster, spec):
    """Seconds to the submit command's end, and to step 1; then the cluster is idle again."""
    start = time.monotonic()
    job = cluster.submit(spec)
    submitted = time.monotonic()
    wait_for("the first step", lambda: cluster.status(job)["step"] >= 1)
    done = time.monotonic()
    cluster.muster("cancel", job)
    cluster.wait_end(job)
    wait_for("the workers are free", lambda: all(w["state"] == "free" for w in workers(cluster)))
    return submitted - start, done - start


def workers(cluster):
    listed = cluster.json("workers")
    return listed["workers"] if isinstance(listed, dict) else listed


def median(values):
    return sorted(values)[len(values) // 2]


def measure(cluster, name, spec, rounds):
    one(cluster, spec)  # data cache, page cache
    times = [one(cluster, spec) for _ in range(rounds)]
    total = [t[1] for t in times]
    print(f"| `muster submit` to the first finished step, {name}, {WORKERS} workers, ms | {1e3 * median(total):.0f} "
          f"({1e3 * min(total):.0f} to {1e3 * max(total):.0f}) | the command alone: {1e3 * median([t[0] for t in times]):.0f} "
          f"| | < 1000 |", flush=True)
    return median(total)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with Cluster(WORKERS) as cluster:
        wait_for("the workers are here", lambda: len(workers(cluster)) == WORKERS)
        limits = {"workers": (WORKERS, WORKERS), "steps": 1000000}
        times = [measure(cluster, "gpt on 200 kB", cluster.gpt(**limits), rounds)]
        if os.path.exists(GCIDE):
            path = cluster.write("gcide.yaml", f"""
name: gcide
trainer: gpt
model: {{layers: 4, channels: 128, heads: 4}}
data: {{path: {GCIDE}, format: text, context: 128}}
batch: {{global: 12, micro: 4}}
steps: 1000000
workers: {{min: {WORKERS}, max: {WORKERS}}}
checkpoint: {{dir: {cluster.dir}/checkpoints}}
""")
            times.append(measure(cluster, "gpt on dict-gcide", path, rounds))
        return 0 if times[0] < TO_REACH_S else 1


if __name__ == "__main__":
    sys.exit(main())
