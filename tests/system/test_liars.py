#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that lie to a real coordinator while others train: nobody who works notices."""
import json
import os
import sys

from cluster import ENDLESS, PatientCluster, Tap, wait_for

LIAR = os.path.join("tests", "system", "liar")
LIARS = 3
LIE_MS = 6000


def disbelieved(cluster):
    lines = [json.loads(line) for line in cluster.muster("-o", "json", "events").splitlines()]
    return {line["worker"] for line in lines if line["event"] == "DISBELIEVED"}


def words_said(cluster, name):
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8") as log:
        return int(log.read().split()[-7])


def lies_beside_a_job():
    """three liars say thousands of words that are not so, about a job that trains and of one that they are given: equal
    weights, no generation broke, false checkpoints are named and not committed, and the journal can be replayed"""
    with PatientCluster(3) as cluster:
        wait_for("three workers", lambda: len(cluster.json("workers")) == 3)
        job = cluster.submit(cluster.gpt(workers=(3, 3), **ENDLESS))
        cluster.wait_step(job, 5)
        bait = cluster.submit(cluster.gpt("bait", steps=100000, workers=(1, LIARS)))
        process = cluster.coordinator
        liars = [cluster.spawn(f"liar{i}", LIAR, cluster.endpoint, f"liar{i}", str(17 + i), str(LIE_MS))
                 for i in range(LIARS)]
        for liar in liars:
            assert liar.wait(120) == 0
        assert all(words_said(cluster, f"liar{i}") > 500 for i in range(LIARS))
        status = cluster.wait_step(job, cluster.status(job)["step"] + 20)
        assert process.poll() is None, "the coordinator ended"
        assert (status["generation"], status["restarts"]) == (1, 0), status
        names = disbelieved(cluster)
        assert names and names <= {f"liar{i}" for i in range(LIARS)}, names
        cluster.try_muster("cancel", bait)
        cluster.kill_coordinator()
        cluster.start_coordinator()
        cluster.same_as_calm(job, **ENDLESS)


if __name__ == "__main__":
    sys.exit(Tap().run(lies_beside_a_job))
