#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""There is no coordinator for a while: training goes on, and whoever needs one says so and waits."""
import os
import sys
import time

from cluster import PatientCluster, Tap, children, wait_for
from fault_points import FaultyCluster, Points

EVERY = 25


def saved(cluster, name):
    """Steps of the checkpoints that lie on storage, whoever knows of them."""
    try:
        return sorted(int(entry.split("-")[1]) for entry in os.listdir(f"{cluster.dir}/checkpoints-{name}")
                      if entry.startswith("step-"))
    except FileNotFoundError:
        return []


def newest(cluster, name):
    return max(saved(cluster, name), default=0)


def trainers(cluster):
    return {name: children(worker.pid, "muster-trainer") for name, worker in cluster.workers.items()}


def nobody_waited(cluster):
    for name in cluster.workers:
        wait_for(f"{name} says that it hears nobody", lambda: cluster.says(name, "coordinator_silent"))  # pylint: disable=cell-var-from-loop
        assert not cluster.says(name, "waits_for_coordinator"), name


def steps_go_on():
    """an outage with the same members: steps go on, checkpoints are written and told later, no generation ends"""
    spec = {"name": "outage", "steps": 1000000, "batch": 24, "every": EVERY}
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        cluster.wait_members(job, 3)
        before = wait_for("a checkpoint", lambda: (s := cluster.status(job))["weights_step"] and s)
        processes = trainers(cluster)
        cluster.kill_coordinator()
        end = time.monotonic() + 5
        at = wait_for("checkpoints of the outage", lambda: time.monotonic() > end
                      and (step := newest(cluster, "outage")) >= before["step"] + 4 * EVERY and step)
        nobody_waited(cluster)
        cluster.start_coordinator()
        after = wait_for("its checkpoints are told", lambda: (s := cluster.status(job))["weights_step"] >= at and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        assert trainers(cluster) == processes
        cluster.same_as_calm(job, **spec)


def first_moments():
    """the coordinator dies when nobody knows yet how long a step takes: steps go on all the same, for as long as is promised"""
    spec = {"name": "first", "steps": 1000000, "batch": 24, "every": EVERY}
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec, workers=(3, 3)))  # one generation, from the first step
        before = wait_for("the first step", lambda: (s := cluster.status(job))["step"] > 0 and s)
        cluster.kill_coordinator()
        at = wait_for("steps far beyond two windows", lambda: (step := newest(cluster, "first"))
                      >= before["step"] + 8 * EVERY and step)
        nobody_waited(cluster)
        cluster.start_coordinator()
        after = wait_for("its checkpoints are told", lambda: (s := cluster.status(job))["weights_step"] >= at and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        cluster.same_as_calm(job, **spec)


def listed(cluster, job):
    """Steps of the checkpoints that `muster checkpoints` promises."""
    return [line["step"] for line in cluster.json("checkpoints", job)]


def what_was_committed_stays():
    """more checkpoints than are kept are written in an outage and never committed: those that were stay, these go"""
    spec = {"name": "kept", "steps": 1000000, "batch": 24, "every": EVERY}
    keep = 30  # so many more have to come before one of those may go, and they are looked at first
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**spec), f"checkpoint.keep={keep}")
        cluster.wait_members(job, 2)
        wait_for("checkpoints", lambda: len(listed(cluster, job)) >= 4)
        cluster.kill_coordinator()
        at = newest(cluster, "kept")
        wait_for("checkpoints of the outage", lambda: len([step for step in saved(cluster, "kept") if step > at]) > keep + 2)
        cluster.start_coordinator()
        wait_for("the newest is told", lambda: listed(cluster, job)[-1] > at)

        def only_what_is_promised():
            promised, lie = listed(cluster, job), saved(cluster, "kept")
            lost = set(promised) & set(listed(cluster, job)) - set(lie)
            assert not lost, f"{sorted(lost)} are promised, and {lie} is all that lies there"
            return {step for step in lie if step < promised[-1]} <= set(promised)
        wait_for("what was never committed is removed", only_what_is_promised)
        cluster.same_as_calm(job, **spec)


def death_meanwhile():
    """a worker dies while there is no coordinator: the others say what they wait for, keep all, and go on with the next one"""
    spec = {"name": "death", "steps": 1000000, "batch": 24, "every": EVERY}
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        before = cluster.wait_members(job, 3)
        cluster.kill_coordinator()
        wait_for("steps of the outage", lambda: newest(cluster, "death") >= before["step"] + EVERY)
        cluster.kill_worker("w1")
        processes = trainers(cluster)
        for name in ("w0", "w2"):
            wait_for(f"{name} waits", lambda: cluster.says(name, "waits_for_coordinator", "waiting at step", "generation has ended"))  # pylint: disable=cell-var-from-loop
        at = newest(cluster, "death")
        cluster.start_coordinator()
        wait_for("they go on", lambda: (s := cluster.status(job))["step"] > at + EVERY and s)
        after = cluster.wait_members(job, 2)
        assert after["generation"] > before["generation"], (before, after)
        assert trainers(cluster) == processes, "a trainer died because a peer did"
        ended = [event for event in cluster.muster("events", "--job", job).splitlines() if "went back" in event.lower()]
        assert not ended, ended
        cluster.same_as_calm(job, **spec)


def leases_end():
    """an outage longer than the leases: the workers say that they wait for more, and go on in the same generation"""
    spec = {"name": "leases", "steps": 1000000, "batch": 8, "every": EVERY}
    with PatientCluster(2, "--lease-ahead-s", "1") as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        cluster.wait_members(job, 2)
        before = cluster.wait_step(job, EVERY + 1)
        cluster.kill_coordinator()
        for name in cluster.workers:
            wait_for(f"{name} waits", lambda: cluster.says(name, "waits_for_coordinator", "unleased at step"))  # pylint: disable=cell-var-from-loop
        cluster.start_coordinator()
        at = cluster.status(job)["step"]
        after = wait_for("they go on", lambda: (s := cluster.status(job))["step"] > at + EVERY and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        cluster.same_as_calm(job, **spec)


def disk_stands_still():
    """the coordinator's disk answers nothing for a while: nobody is lost for looking for somebody who speaks, no generation ends"""
    every = 250
    spec = {"name": "disk", "steps": 1000000, "batch": 64, "every": every}
    with FaultyCluster("muster-coordinator", "--lost-ms", "1500") as cluster:  # they look every 2 s
        cluster.kill_coordinator()
        cluster.points = Points(cluster.dir, os.path.join(cluster.dir, "state"))
        cluster.points.disarm()
        cluster.start_coordinator()
        for name in ("w0", "w1", "w2"):
            cluster.start_worker(name)
        # little is heard of those who are not answered
        job = cluster.submit(cluster.gpt(**spec, workers=(3, 3)), "window=256", "audit_every=10000", "hash_every=10000")
        before = cluster.wait_members(job, 3)
        processes = trainers(cluster)
        cluster.points.stand()
        for name in cluster.workers:
            wait_for(f"{name} makes new connections", lambda: cluster.says(name, "redial"))  # pylint: disable=cell-var-from-loop
        at = newest(cluster, "disk")
        wait_for("steps of the outage", lambda: newest(cluster, "disk") >= at + 2 * every)
        cluster.points.disarm()
        after = wait_for("its checkpoints are told", lambda: (s := cluster.status(job))["weights_step"] >= at and s)
        assert (after["generation"], after["restarts"]) == (before["generation"], before["restarts"]), (before, after)
        assert trainers(cluster) == processes
        cluster.same_as_calm(job, **spec)


if __name__ == "__main__":
    sys.exit(Tap().run(steps_go_on, first_moments, what_was_committed_stays, death_meanwhile, leases_end, disk_stands_still))
