#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The weights of an ARM64 trainer under qemu are those of this machine's. scripts/arm64 builds it and calls this."""
import os
import sys

from cluster import Cluster, Tap, child_ids

STEPS = 200
FOREIGN = os.environ.get("MUSTER_ARM64_LIBEXECDIR")


def is_foreign(worker):
    """Whether the trainer below this agent runs under qemu."""
    for pid in child_ids(worker.pid):
        try:
            if "qemu" in os.path.basename(os.readlink(f"/proc/{pid}/exe")):
                return True
        except OSError:
            continue
    return False


def train(kind, foreign):
    """One worker for each of foreign, which says whether its trainer is the ARM64 one."""
    with Cluster() as cluster:
        for number, is_arm in enumerate(foreign):
            cluster.start_worker(f"w{number}", env={"MUSTER_LIBEXECDIR": FOREIGN} if is_arm else None)
        spec = getattr(cluster, kind)(steps=STEPS, workers=(len(foreign), len(foreign)))
        job = cluster.submit(spec)
        cluster.wait_step(job, 2)
        for number, is_arm in enumerate(foreign):
            assert is_foreign(cluster.workers[f"w{number}"]) == is_arm, f"w{number} has the wrong trainer"
        return cluster.wait_done(job)["weights_hash"]


def compare(kind):
    if not FOREIGN:
        raise Tap.Skip("scripts/arm64 builds an ARM64 trainer and runs this")
    runs = {what: train(kind, foreign) for what, foreign in
            (("x86-64", [False]), ("ARM64", [True]), ("one of each", [True, False]))}
    for what, weights in runs.items():
        print(f"# {weights} {kind}, {STEPS} steps, {what}", flush=True)
    assert len(set(runs.values())) == 1, "the weights differ"


def gpt():
    """gpt: x86-64, ARM64, and a world of both"""
    compare("gpt")


def mlp():
    """mlp: x86-64, ARM64, and a world of both"""
    compare("mlp")


if __name__ == "__main__":
    sys.exit(Tap().run(gpt, mlp))
