#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each write, sync, rename and send of the coordinator, and each of a checkpoint, fails or is the last thing done.

For the Nth such call, N = 0, 1, 2, ... until a life goes by untouched: a short job is submitted and trained, the
coordinator is started again if it died or gave up, and the job ends with the weights of an undisturbed one, a clean
ledger, and is there once. As N goes up by one only with MUSTER_FAULT_POINTS=all (half an hour), else by a
stride, from a start that differs by action."""
import json
import os
import shutil
import sys

from cluster import ENDS, SOURCE, Cluster, Tap, wait_for
from fault_points import FaultyCluster, Points

ALL = os.environ.get("MUSTER_FAULT_POINTS") == "all"
STEPS = 48
GOLDEN = os.path.join(SOURCE, "tests", "golden")


def numbers(first, stride):
    """N's to try, without an end."""
    number = 0 if ALL else first
    while True:
        yield number
        number += 1 if ALL else stride


def calm_hash():
    with Cluster(1) as cluster:
        return cluster.wait_done(cluster.submit(cluster.mlp("calm", steps=STEPS)))["weights_hash"]


def said_why(cluster, name):
    """What a daemon that gave up wrote last."""
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8", errors="replace") as log:
        return log.read()


def start_and_look(cluster, state):
    """Start a coordinator that may die at any moment: does it answer?"""
    cluster.coordinator = cluster.spawn("coordinator", "muster-coordinator", "--dir", state, "--listen", cluster.endpoint)
    return wait_for("the coordinator answers or ends",
                    lambda: cluster.coordinator.poll() is not None and "ended"
                    or cluster.try_muster("--timeout", "1", "jobs").returncode == 0 and "answers", 60) == "answers"


def begins():
    """the first start on an empty folder: whatever fails or is the last, the next start finds its way"""
    with FaultyCluster("muster-coordinator") as cluster:
        cluster.kill_coordinator()
        tried = 0
        for action, first in (("die", 0), ("half", 3), ("fail", 5)):
            for number in numbers(first, 8):
                state = os.path.join(cluster.dir, f"fresh-{action}-{number}")
                cluster.points = Points(cluster.dir, state)
                cluster.points.arm(number, action)
                answered = start_and_look(cluster, state)
                hit = cluster.points.hit()
                if action == "fail" and not answered:
                    assert cluster.coordinator.returncode > 0, cluster.coordinator.returncode
                cluster.kill_coordinator()
                cluster.points = None
                assert start_and_look(cluster, state), f"after {action} at {number} it does not start"
                cluster.submit(cluster.mlp("later", workers=(8, 8)))
                cluster.kill_coordinator()
                if not hit:
                    break
                tried += 1
        print(f"# {tried} points")
        assert tried > 10


def said_before(version):
    with open(os.path.join(GOLDEN, f"database-{version}.json"), encoding="utf-8") as file:
        jobs = json.load(file)["jobs"]
    for job in jobs.values():
        if job["state"] == "pending":  # why it waits is thought of anew
            job.pop("reason")
    return jobs


def upgrade_under(cluster, version, number, action, before):
    """True: something was hit. Whatever that was, the next start has brought the database to its newest version."""
    state = os.path.join(cluster.dir, f"upgrade-{version}-{action}-{number}")
    os.mkdir(state)
    shutil.copyfile(os.path.join(GOLDEN, f"database-{version}.db"), os.path.join(state, "muster.db"))
    cluster.points = Points(cluster.dir, state)
    cluster.points.arm(number, action)
    start_and_look(cluster, state)
    hit, what = cluster.points.hit(), cluster.points.what()
    cluster.kill_coordinator()
    cluster.points = None
    assert start_and_look(cluster, state), f"version {version} after {action} at {number}, {what}: it does not start"
    for job, was in before.items():
        now = cluster.status(job)
        assert {key: now[key] for key in was} == was, (version, number, action, what, was, now)
    cluster.kill_coordinator()
    shutil.rmtree(state)
    return hit


def upgrades():
    """a database of each earlier version whose upgrade fails or is killed at the Nth write: the next start has all its jobs, as they were"""
    with FaultyCluster("muster-coordinator") as cluster:
        cluster.kill_coordinator()
        tried = {}
        for version in sorted(int(name[9:-3]) for name in os.listdir(GOLDEN) if name.startswith("database-") and name.endswith(".db"))[:-1]:
            before = said_before(version)
            for action, first in (("die", version), ("half", version + 4), ("fail", version + 2)):
                for number in numbers(first, 29):
                    if not upgrade_under(cluster, version, number, action, before):
                        break
                    tried[version] = tried.get(version, 0) + 1
        print(f"# points: {tried}")
        assert min(tried.values()) > 1, tried


class Life:
    """One job under one fault of the coordinator."""

    def __init__(self, cluster, action, number):
        self.cluster, self.name = cluster, f"life-{action}-{number}"
        self.spec = cluster.mlp(self.name, steps=STEPS)
        self.acknowledged = None

    def again_if_dead(self):
        """Without faults from then on. True: it had died or given up."""
        if self.cluster.coordinator.poll() is None:
            return False
        code = self.cluster.coordinator.returncode
        assert code in (-9, 74) or code > 0 and "cannot_go_on" in said_why(self.cluster, "coordinator"), code
        self.cluster.start_coordinator()
        return True

    def submit(self):
        """As a person would, until it is acknowledged; the key makes the repetition harmless."""
        def acknowledged():
            run = self.cluster.try_muster("--timeout", "1", "submit", self.spec, "--key", self.name)
            self.again_if_dead()
            return run.returncode == 0 and run.stdout.strip()
        self.acknowledged = wait_for("the submit is acknowledged", acknowledged, 60)

    def wait_end(self):
        def ended():
            self.again_if_dead()
            run = self.cluster.try_muster("--timeout", "1", "-o", "json", "status", self.acknowledged)
            return run.returncode == 0 and any(f'"{end}"' in run.stdout for end in ENDS)
        wait_for(f"job {self.acknowledged} ends", ended)

    def check(self, calm):
        """True: something was hit."""
        self.wait_end()
        hit, what = self.cluster.points.hit(), self.cluster.points.what()
        self.cluster.points.disarm()
        self.again_if_dead()
        status = self.cluster.wait_done(self.acknowledged)
        assert status["weights_hash"] == calm, (self.name, what)
        assert [job["id"] for job in self.cluster.json("jobs") if job["name"] == self.name] == [int(self.acknowledged)]
        proven = self.cluster.try_muster("ledger", "verify", self.acknowledged)
        assert proven.returncode == 0, proven.stdout + proven.stderr
        return hit


def lives():
    """a coordinator whose Nth write, sync or send fails or is its last: the job submitted then is trained once, to the same weights"""
    calm = calm_hash()
    with FaultyCluster("muster-coordinator") as cluster:
        state = os.path.join(cluster.dir, "state")
        cluster.kill_coordinator()
        cluster.points = Points(cluster.dir, state, sends=True)
        cluster.start_coordinator()
        cluster.start_worker("w0")
        tried = {}
        for action, first, stride in (("die", 3, 43), ("half", 11, 67), ("fail", 7, 53)):
            for number in numbers(first, stride):
                life = Life(cluster, action, number)
                cluster.kill_coordinator()
                cluster.points.arm(number, action)
                start_and_look(cluster, state)
                life.submit()
                if not life.check(calm):
                    break
                tried[action] = tried.get(action, 0) + 1
        print(f"# points: {tried}")
        assert min(tried.values()) > 1, tried


def checkpoints():
    """a checkpoint of which the Nth write, sync or rename fails or is its writer's last: the job goes on and ends with the same weights"""
    calm = calm_hash()
    with FaultyCluster("muster-worker") as cluster:
        cluster.points = Points(cluster.dir, os.path.join(cluster.dir, "checkpoints-"))
        cluster.points.disarm()
        cluster.start_worker("w0")
        tried = 0
        for action, first, stride in (("die", 1, 7), ("half", 2, 11), ("fail", 0, 5)):
            for number in numbers(first, stride):
                cluster.points.arm(number, action)
                job = cluster.submit(cluster.mlp(f"saves-{action}-{number}", steps=STEPS), "checkpoint.every=16")
                status = cluster.wait_end(job)
                what = f"{action} at {number}, {cluster.points.what()}"
                if status["state"] == "failed":  # before its first step: the folder could not be tried
                    assert action == "fail" and status["step"] == 0 and "checkpoint.dir" in status["reason"], (what, status)
                else:
                    assert status["weights_hash"] == calm, (what, status)
                for kept in cluster.json("checkpoints", job):
                    assert os.path.exists(os.path.join(kept["path"], "muster.json")), (what, kept)
                if not cluster.points.hit():
                    break
                tried += 1
        print(f"# {tried} points")
        assert tried > 5


if __name__ == "__main__":
    sys.exit(Tap().run(begins, upgrades, lives, checkpoints))
