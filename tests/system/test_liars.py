#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that lie to a real coordinator while others train: nobody who works notices."""
import json
import os
import sys

from cluster import Cluster, PatientCluster, Tap, wait_for

LIAR = os.path.join("tests", "system", "liar")
LIARS = 3
LIE_MS = 6000
STEPS = 1500


def calm_hash():
    with Cluster(1) as cluster:
        return cluster.wait_done(cluster.submit(cluster.gpt(steps=STEPS)))["weights_hash"]


def disbelieved(cluster):
    lines = [json.loads(line) for line in cluster.muster("-o", "json", "events").splitlines()]
    return {line["worker"] for line in lines if line["event"] == "DISBELIEVED"}


def words_said(cluster, name):
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8") as log:
        return int(log.read().split()[-7])


def lies_beside_a_job():
    """three liars say thousands of words that are not so, about a job that trains and of one that they are given: equal
    weights, no generation broke, false checkpoints are named and not committed, and the journal can be replayed"""
    right = calm_hash()
    with PatientCluster(3) as cluster:
        wait_for("three workers", lambda: len(cluster.json("workers")) == 3)
        job = cluster.submit(cluster.gpt(steps=STEPS, workers=(3, 3), every=50))
        cluster.wait_step(job, 5)
        bait = cluster.submit(cluster.gpt("bait", steps=100000, workers=(1, LIARS)))
        process = cluster.coordinator
        liars = [cluster.spawn(f"liar{i}", LIAR, cluster.endpoint, f"liar{i}", str(17 + i), str(LIE_MS))
                 for i in range(LIARS)]
        for liar in liars:
            assert liar.wait(120) == 0
        assert all(words_said(cluster, f"liar{i}") > 500 for i in range(LIARS))
        status = cluster.wait_done(job)
        assert process.poll() is None, "the coordinator ended"
        assert status["weights_hash"] == right
        assert (status["generation"], status["restarts"]) == (1, 0), status
        names = disbelieved(cluster)
        assert names and names <= {f"liar{i}" for i in range(LIARS)}, names
        proven = cluster.try_muster("ledger", "verify", job)
        assert proven.returncode == 0, proven.stdout + proven.stderr
        cluster.try_muster("cancel", bait)
        cluster.kill_coordinator()
        cluster.start_coordinator()
        assert cluster.status(job)["weights_hash"] == right


if __name__ == "__main__":
    sys.exit(Tap().run(lies_beside_a_job))
