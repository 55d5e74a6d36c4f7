#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_hosts.py - what networks do to hosts of their own: partitions, one-way cuts, delay, loss, power cuts

One gpt job trains on three workers, each on an emulated host, the coordinator on another one. Each test breaks the
network in its own way, sees what Muster makes of it, mends it, and sees that all three train again. The last one
compares: a checkpoint later than all of that must be that of one worker that nobody disturbed, and the ledger proven.
"""
import os
import signal
import sys

from cluster import Tap, children, wait_for
from hosts import ALL, COORDINATOR, HostCluster, need_hosts

WORKERS = ("w0", "w1", "w2")
OPTIONS = ("--hang-ms", "1500", "--form-limit-ms", "3000", "--quarantine-failures", "0")
SPEC = {"steps": 1_000_000, "batch": 6, "every": 25}  # it is never trained to its end
FAR_MS = 3  # each way, always: hosts are apart, and steps are not many


class Scene:
    """The cluster and its job, there when the first test asks for them."""
    cluster = job = None

    def open(self):
        need_hosts()
        if not self.cluster:
            self.cluster = HostCluster(*WORKERS, coordinator_options=OPTIONS)
            self.calm_network()
            self.job = self.cluster.submit(self.cluster.gpt(**SPEC))
            self.all_train()
        return self.cluster, self.cluster.hosts

    def close(self, failed):
        if self.cluster:
            self.cluster.__exit__(AssertionError if failed else None, None, None)

    def calm_network(self):
        self.cluster.hosts.heal()
        self.cluster.hosts.lose(0)
        self.cluster.hosts.delay(FAR_MS)

    def states(self):
        return {worker["name"]: worker["state"] for worker in self.cluster.json("workers")}

    def status(self):
        return self.cluster.status(self.job)

    def goes_on(self, steps=5):
        """From where it is now."""
        self.cluster.wait_step(self.job, self.status()["step"] + steps)

    def lost(self, *names):
        wait_for(f"{', '.join(names)} are lost", lambda: all(self.states().get(name) == "lost" for name in names))

    def all_train(self):
        """In one generation, which goes on."""
        self.cluster.wait_members(self.job, len(WORKERS))
        self.goes_on()

    def speakers(self):
        """Two workers that talk to each other in every reduction: of three ranks the first only talks to the second."""
        ranks = self.cluster.members(self.job)
        return ranks[1], ranks[2]

    def broken(self, words):
        """So many generations broke so far for a reason that has these words."""
        return self.cluster.muster("events", "--job", self.job).count(words)


scene = Scene()


def is_lost_and_comes_back(break_it):
    """w1 is lost by the coordinator; the others go on without it; it comes back when the network does."""
    _, hosts = scene.open()
    scene.all_train()
    break_it(hosts)
    scene.lost("w1")
    scene.goes_on()
    wait_for("the others work", lambda: (s := scene.states())["w0"] == s["w2"] == "working")
    hosts.heal()
    scene.all_train()


def goes_on_without_one(mend_it):
    """One worker is left out until it is started again, which gives it a clean slate. Nobody is lost."""
    cluster = scene.cluster
    wait_for("it is tried without one", lambda: scene.status()["workers"] == 2 and scene.status()["state"] == "running")
    scene.goes_on()
    wait_for("one is left out, and nobody lost", lambda: sorted(scene.states().values()) == ["free", "working", "working"])
    left_out = next(name for name, state in scene.states().items() if state == "free")
    cluster.kill_worker(left_out)
    mend_it()
    cluster.start_worker(left_out)
    scene.all_train()


def partition():
    """a worker that everybody is cut off from is lost, the others go on, and it comes back"""
    is_lost_and_comes_back(lambda hosts: hosts.cut_both("w1", ALL))


def partition_from_coordinator():
    """the same for a worker that only the coordinator is cut off from: its peers leave it behind"""
    is_lost_and_comes_back(lambda hosts: hosts.cut_both("w1", COORDINATOR))


def hears_nobody():
    """a worker that is heard but hears nobody"""
    is_lost_and_comes_back(lambda hosts: hosts.cut(ALL, "w1"))


def is_not_heard():
    """a worker that hears everybody but is not heard"""
    is_lost_and_comes_back(lambda hosts: hosts.cut("w1", ALL))


def one_line():
    """one direction between two workers is cut and nobody is told: what stands still is ended, and one is left out"""
    _, hosts = scene.open()
    scene.all_train()
    stuck = scene.broken("nothing moves")
    hosts.cut(*scene.speakers())
    wait_for("the generation that stands still is ended", lambda: scene.broken("nothing moves") > stuck)
    goes_on_without_one(hosts.heal)


def refused_line():
    """a worker has no route to another, which ends its collective at once: one is left out after some seconds"""
    cluster, hosts = scene.open()
    scene.all_train()
    one, other = scene.speakers()
    hosts.refuse(one, other)
    third = next(name for name in cluster.workers if name not in (one, other))
    for pid in children(cluster.workers[third].pid, "muster-collective"):  # they must connect anew
        os.kill(pid, signal.SIGKILL)
    goes_on_without_one(lambda: hosts.refuse(one, other, False))


def delay():
    """30 ms more on every line"""
    _, hosts = scene.open()
    scene.all_train()
    hosts.delay(FAR_MS + 30)
    scene.goes_on(8)
    scene.calm_network()
    scene.all_train()


def loss():
    """7 of 100 packets are lost on every line"""
    _, hosts = scene.open()
    scene.all_train()
    hosts.lose(7)
    scene.goes_on(8)
    scene.calm_network()
    scene.all_train()


def power_cut():
    """a host vanishes without a farewell; the others go on; it is switched on again and joins"""
    cluster, _ = scene.open()
    scene.all_train()
    cluster.power_off("w2")
    scene.lost("w2")
    scene.goes_on()
    cluster.power_on("w2")
    scene.all_train()


def coordinator_cut_off():
    """the coordinator's host is cut off until it believes to have lost everybody, and comes back"""
    _, hosts = scene.open()
    scene.all_train()
    hosts.cut_both(COORDINATOR, ALL)
    scene.lost(*WORKERS)
    hosts.heal()
    scene.all_train()


def neighbours():
    """pairs of workers share hosts and reduce through their memory: one of a pair dies, then one that spoke for its host"""
    cluster, _ = scene.open()
    for host in ("w0", "w2"):
        cluster.start_worker(f"{host}.b", *cluster.worker_options)
    cluster.wait_members(scene.job, 5)
    scene.goes_on()
    cluster.kill_worker("w2.b")
    cluster.wait_members(scene.job, 4)
    scene.goes_on()
    cluster.kill_worker("w0")
    cluster.start_worker("w0", *cluster.worker_options)
    cluster.wait_members(scene.job, 4)
    scene.goes_on()
    cluster.kill_worker("w0.b")
    scene.all_train()
    assert not scene.broken("checksums"), "sums that were wrong were refused; none should be"


def same_weights():
    """after all of that: the weights of one calm worker, and a proven ledger"""
    cluster, _ = scene.open()
    scene.all_train()
    cluster.same_as_calm(scene.job, **SPEC)


if __name__ == "__main__":
    failures = 1  # until they have all been seen
    try:
        failures = Tap().run(partition, partition_from_coordinator, hears_nobody, is_not_heard, one_line, refused_line, delay, loss,
                             power_cut, coordinator_cut_off, neighbours, same_weights)
    finally:
        scene.close(failures)
    sys.exit(failures)
