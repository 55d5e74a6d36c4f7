#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that compute wrongly: they are found, named and expelled, and the weights are those of a calm run."""
import json
import mmap
import os
import struct
import sys

from cluster import Cluster, Tap, children, wait_for

WRONG = {"BAD_TRAINER_WRONG": "1"}
STATE_OFFSET_AT, WEIGHTS_AT, M_AT = 24, 80, 88  # struct mu_region_control, struct mu_state


def submit(cluster, steps, workers, *more):
    spec = cluster.mlp("audited", steps=steps, workers=workers)
    return cluster.submit(spec, f"trainer={cluster.bad_trainer()}", "model={fault: 'wrong@40.0'}", "audit_every=4",
                          "hash_every=5", "checkpoint.every=20", *more)


def expulsions(cluster):
    lines = [json.loads(line) for line in cluster.muster("-o", "json", "events").splitlines()]
    return [line for line in lines if line["event"] == "EXPEL"]


def checkpoints(cluster, job):
    return [(at["step"], at["weights_hash"]) for at in cluster.json("checkpoints", job)]


def calm_run(*arguments):
    with Cluster(1) as cluster:
        job = submit(cluster, *arguments)
        status = cluster.wait_done(job)
        return status["weights_hash"], checkpoints(cluster, job)


def agree(found, right):
    """No checkpoint is another than that of the calm run; which steps were saved is a matter of time."""
    return found and all(dict(right).get(step, weights) == weights for step, weights in found)


def proven(cluster, job):
    run = cluster.try_muster("ledger", "verify", job)
    assert run.returncode == 0, (run.stdout, run.stderr)


def wrong_gradient():
    """one of four workers adds an error to its gradients from step 40 on: expelled by name, and equal weights"""
    steps = 600
    right, all_right = calm_run(steps, (1, 4))
    with Cluster(3) as cluster:
        cluster.start_worker("odd", env=WRONG)
        wait_for("four workers", lambda: len(cluster.json("workers")) == 4)
        job = submit(cluster, steps, (4, 4), "checkpoint.resume=newest")
        wait_for("the wrong worker is expelled", lambda: expulsions(cluster))
        wait_for("the wrong worker is in quarantine",
                 lambda: {w["name"]: w["state"] for w in cluster.json("workers")}["odd"] == "quarantined")
        cluster.start_worker("fourth")
        assert cluster.wait_done(job)["weights_hash"] == right
        found = expulsions(cluster)
        assert [record["worker"] for record in found] == ["odd"], found
        assert found[0]["what"] == 1 and "gradient of micro-batch" in found[0]["text"], found
        assert found[0]["back_step"] <= found[0]["agreed_step"] <= 44, found
        assert agree(checkpoints(cluster, job), all_right)
        proven(cluster, job)


def flip_a_bit(cluster, name):
    """In the weights that this worker's trainer shares with its collective; False: it is not that far."""
    for pid in children(cluster.workers[name].pid, "muster-trainer"):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{fd}"
            if "/memfd:" not in os.readlink(path):
                continue
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
                state = struct.unpack_from("<Q", view, STATE_OFFSET_AT)[0]
                weights, moments = struct.unpack_from("<QQ", view, state + WEIGHTS_AT)
                view[state + (weights + moments) // 2 // 64 * 64 + 2] ^= 1
            return True
    return False


def wrong_state():
    """a bit falls over in the weights of one of three workers: expelled by name, and equal weights"""
    with Cluster(1) as cluster:
        right = cluster.wait_done(cluster.submit(cluster.gpt(steps=400)))["weights_hash"]
    with Cluster(3) as cluster:
        job = cluster.submit(cluster.gpt(steps=400, workers=(3, 3), every=50, hash_every=10, audit_every=8))
        cluster.wait_step(job, 100)
        assert flip_a_bit(cluster, "w1")
        wait_for("the wrong worker is expelled", lambda: expulsions(cluster))
        cluster.start_worker("third")
        assert cluster.wait_done(job)["weights_hash"] == right
        assert [record["worker"] for record in expulsions(cluster)] == ["w1"], expulsions(cluster)
        proven(cluster, job)


def two_differ():
    """two workers differ, and again after going back: the job fails and names both"""
    with Cluster(1) as cluster:
        cluster.start_worker("odd", env=WRONG)
        wait_for("two workers", lambda: len(cluster.json("workers")) == 2)
        job = submit(cluster, 2000, (2, 2))
        status = cluster.wait_end(job)
        assert status["state"] == "failed" and "differ again" in status["reason"], status
        assert "w0" in status["reason"] and "odd" in status["reason"], status
        found = expulsions(cluster)
        assert len(found) == 1 and found[0]["worker"] == "" and found[0]["agreed_step"] <= 44, found
        right = calm_run(2000, (1, 1))[1]
        assert agree(checkpoints(cluster, job), right)
        proven(cluster, job)


if __name__ == "__main__":
    sys.exit(Tap().run(wrong_gradient, wrong_state, two_differ))
