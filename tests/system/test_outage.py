#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""There is no coordinator for a while: training goes on, and whoever needs one says so and waits."""
import os
import sys
import time

from cluster import Cluster, Tap, children, wait_for

EVERY = 25
PACED = 100  # a step beyond the first lease, which is short: how long steps take is known, and leases reach far ahead


def saved(cluster, name):
    """Steps of the checkpoints that lie on storage, whoever knows of them."""
    try:
        return sorted(int(entry.split("-")[1]) for entry in os.listdir(f"{cluster.dir}/checkpoints-{name}")
                      if entry.startswith("step-"))
    except FileNotFoundError:
        return []


def trainers(cluster):
    return {name: children(worker.pid, "muster-trainer") for name, worker in cluster.workers.items()}


def says(cluster, name, *words):
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8") as log:
        return any(all(word in line for word in words) for line in log)


def steps_go_on():
    """an outage with the same members: steps go on, checkpoints are written and told later, no generation ends"""
    spec = {"name": "outage", "steps": 1000000, "batch": 24, "every": EVERY}
    with Cluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        wait_for("all three train", lambda: (s := cluster.status(job))["workers"] == 3 and s["step"] > PACED)
        before = wait_for("a checkpoint", lambda: (s := cluster.status(job))["weights_step"] and s)
        processes = trainers(cluster)
        cluster.kill_coordinator()
        end = time.monotonic() + 5
        at = wait_for("checkpoints of the outage", lambda: time.monotonic() > end
                      and (steps := saved(cluster, "outage"))[-1] >= before["step"] + 4 * EVERY and steps[-1])
        for name in cluster.workers:
            assert says(cluster, name, "coordinator-silent") and not says(cluster, name, "waits-for-coordinator")
        cluster.start_coordinator()
        after = wait_for("its checkpoints are told", lambda: (s := cluster.status(job))["weights_step"] >= at and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        assert trainers(cluster) == processes
        cluster.same_as_calm(job, **spec)


def death_meanwhile():
    """a worker dies while there is no coordinator: the others say what they wait for, keep all, and go on with the next one"""
    spec = {"name": "death", "steps": 1000000, "batch": 24, "every": EVERY}
    with Cluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        wait_for("all three train", lambda: (s := cluster.status(job))["workers"] == 3 and s["step"] > PACED)
        before = cluster.status(job)
        cluster.kill_coordinator()
        wait_for("steps of the outage", lambda: saved(cluster, "death")[-1] >= before["step"] + EVERY)
        cluster.kill_worker("w1")
        processes = trainers(cluster)
        for name in ("w0", "w2"):
            wait_for(f"{name} waits", lambda: says(cluster, name, "waits-for-coordinator", "waiting at step", "generation has ended"))  # pylint: disable=cell-var-from-loop
        newest = saved(cluster, "death")[-1]
        cluster.start_coordinator()
        after = wait_for("they go on", lambda: (s := cluster.status(job))["step"] > newest + EVERY and s)
        assert after["generation"] == before["generation"] + 1 and after["workers"] == 2, after
        assert trainers(cluster) == processes, "a trainer died because a peer did"
        ended = [event for event in cluster.muster("events", "--job", job).splitlines() if "went back" in event.lower()]
        assert not ended, ended
        cluster.same_as_calm(job, **spec)


def leases_end():
    """an outage longer than the leases: the workers say that they wait for more, and go on in the same generation"""
    spec = {"name": "leases", "steps": 1000000, "batch": 24, "every": EVERY}
    with Cluster(2, coordinator_options=("--lease-ahead-s", "1")) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        before = wait_for("both train", lambda: (s := cluster.status(job))["workers"] == 2 and s["step"] > EVERY and s)
        cluster.kill_coordinator()
        for name in cluster.workers:
            wait_for(f"{name} waits", lambda: says(cluster, name, "waits-for-coordinator", "unleased at step"))  # pylint: disable=cell-var-from-loop
        cluster.start_coordinator()
        newest = cluster.status(job)["step"]
        after = wait_for("they go on", lambda: (s := cluster.status(job))["step"] > newest + EVERY and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        cluster.same_as_calm(job, **spec)


if __name__ == "__main__":
    sys.exit(Tap().run(steps_go_on, death_meanwhile, leases_end))
