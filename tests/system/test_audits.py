#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that compute wrongly: they are found, named and expelled, and the weights are those of a calm run."""
import contextlib
import glob
import json
import os
import sys

from cluster import ENDLESS, Cluster, PatientCluster, Tap, calm_weights, wait_for
from memory import memory_of
from test_fault import FLAG, need_faults, order

WRONG = {"BAD_TRAINER_WRONG": "1"}
NEVER = 1 << 20  # no audit has its turn before the job is over


def submit(cluster, steps, workers, *more):
    spec = cluster.mlp("audited", steps=steps, workers=workers)
    return cluster.submit(spec, f"trainer={cluster.bad_trainer()}", "model={fault: 'wrong@40.0'}", "audit_every=4",
                          "hash_every=5", "checkpoint.every=20", *more)


def submit_unseen(cluster, steps, workers, *more):
    return submit(cluster, steps, workers, f"audit_every={NEVER}", f"hash_every={NEVER}", *more)


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
    with PatientCluster(3) as cluster:
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


def flip(cluster, name, bits=0x00010000, only_set=False):
    """These bits in a weight that this worker's trainer shares with its collective."""
    memory = wait_for(f"{name} has memory", lambda: memory_of(cluster, name))
    at = memory.place_in("weights", 0.5)
    weight = memory.word(at, "I")
    memory.write(at, weight | bits if only_set else weight ^ bits)


def wrong_state():
    """a bit falls over in the weights of one of three workers: expelled by name, and equal weights"""
    spec = {**ENDLESS, "hash_every": 10, "audit_every": 8}
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(workers=(3, 3), **spec))
        cluster.wait_step(job, 100)
        flip(cluster, "w1")
        wait_for("the wrong worker is expelled", lambda: expulsions(cluster))
        wait_for("the job says whom it cannot have", lambda: "; 1 was wrong in this job" in cluster.status(job)["reason"])
        cluster.start_worker("third")
        cluster.wait_members(job, 3)
        cluster.same_as_calm(job, **spec)
        assert [record["worker"] for record in expulsions(cluster)] == ["w1"], expulsions(cluster)
        # Found within ten steps: where none of them had been reported yet there is nothing to take back.
        proof = cluster.json("ledger", "verify", job)
        assert proof["rewinds"] == (proof["steps_given_up"] > 0), proof


def begun_anew(cluster, job, every):
    """After it went back: a checkpoint is committed again, or left."""
    wait_for("training has begun anew", lambda: cluster.status(job)["weights_step"] >= every)


def falls_over_to_no_number(cluster, name):
    """A weight's exponent, all of it; again, as an update at that very moment may undo it."""
    def found():
        flip(cluster, name, 0x7F800000, only_set=True)
        with contextlib.suppress(AssertionError):
            return wait_for("what came of it is found", lambda: expulsions(cluster), limit_s=20)
    wait_for("it falls over", found)


def wrong_state_without_numbers():
    """a weight of one worker becomes so large that nothing is a number, and no comparison is due: the job does not fail"""
    spec = {**ENDLESS, "every": 100, "hash_every": NEVER, "audit_every": NEVER}
    for count, blamed in ((3, "w1"), (2, "")):
        with PatientCluster(count) as cluster:
            job = cluster.submit(cluster.gpt(workers=(1, count), **spec))
            cluster.wait_members(job, count)
            cluster.wait_step(job, 150)
            falls_over_to_no_number(cluster, "w1")
            begun_anew(cluster, job, 100)
            found = expulsions(cluster)
            assert [record["worker"] for record in found] == [blamed], found
            assert blamed or found[0]["others"] == "w0 against w1", found
            cluster.same_as_calm(job, **spec)


def counter_falls_over():
    """one worker's memory says that it is further on than the others: it holds no state, and nobody is given what it has"""
    spec = {**ENDLESS, "every": 100, "hash_every": NEVER, "audit_every": NEVER}
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **spec))
        cluster.wait_step(job, 100)

        def noticed():
            memory = wait_for("w1 has memory", lambda: memory_of(cluster, "w1"))
            memory.flip("step", 0, next(bit for bit in range(5, 64) if not memory.step() >> bit & 1))
            with contextlib.suppress(AssertionError):  # an update at that very moment may undo it
                return wait_for("it is noticed", lambda: cluster.says("w1", "changed by itself after step"), limit_s=20)
        wait_for("it falls over", noticed)
        cluster.wait_members(job, 2)
        cluster.same_as_calm(job, **spec)
        assert not expulsions(cluster)


def once_no_number():
    """a gradient that is not finite once, or fails once, and is neither when it is computed again: training goes on"""
    right = calm_run(300, (1, 3))[0]
    for fault in ("nan@40.1", "problem@40.1"):
        with PatientCluster(3) as cluster:
            once = os.path.join(cluster.dir, "once")
            job = submit(cluster, 300, (3, 3), f"model={{fault: '{fault}', once: {once}}}")
            assert cluster.wait_done(job)["weights_hash"] == right
            status = cluster.status(job)
            assert os.path.exists(once) and status["generation"] == 2, status
            assert not expulsions(cluster), expulsions(cluster)
            proven(cluster, job)


def two_differ():
    """two workers differ, and again after going back: the job fails and names both"""
    with PatientCluster(1) as cluster:
        cluster.start_worker("odd", env=WRONG)
        wait_for("two workers", lambda: len(cluster.json("workers")) == 2)
        job = submit(cluster, 2000, (2, 2))
        status = cluster.wait_end(job)
        assert status["state"] == "failed" and "differ again" in status["reason"], status
        assert "w0" in status["reason"] and "odd" in status["reason"], status
        found = expulsions(cluster)
        assert len(found) == 1 and found[0]["worker"] == "" and found[0]["agreed_step"] <= 44, found
        right, kept = calm_run(2000, (1, 1))[1], checkpoints(cluster, job)
        assert not kept or agree(kept, right), (kept, right, found)  # none, if they differ before one is written
        proven(cluster, job)


def train_beside_odd(cluster, spec):
    """A gpt has trained for a while on two workers and a third, whose memory can be made to fall over."""
    cluster.start_worker("odd", FLAG)
    wait_for("three workers", lambda: len(cluster.json("workers")) == 3)
    job = cluster.submit(cluster.gpt(**spec))
    cluster.wait_members(job, 3)
    cluster.wait_step(job, 60)
    return job


def drained_before_its_turn():
    """a worker whose memory fell over is drained before any comparison was due: it is compared first, and found"""
    need_faults()
    spec = {"steps": 1_000_000, "workers": (1, 3), "every": 50, "hash_every": NEVER, "audit_every": NEVER}
    with PatientCluster(2, FLAG) as cluster:
        job = train_beside_odd(cluster, spec)
        order(cluster, "corrupt", "odd", "--what", "state")
        cluster.muster("drain", "odd")
        wait_for("the wrong worker is expelled", lambda: expulsions(cluster))
        assert [record["worker"] for record in expulsions(cluster)] == ["odd"], expulsions(cluster)
        begun_anew(cluster, job, 50)
        cluster.same_as_calm(job, **spec)


def another_joins_before_its_turn():
    """one joins while a worker's memory is wrong and no comparison is due: all are compared where it joins, and equal weights"""
    need_faults()
    spec = {"steps": 1_000_000, "workers": (1, 8), "every": 1000, "hash_every": NEVER, "audit_every": NEVER}
    with PatientCluster(2, FLAG) as cluster:
        job = train_beside_odd(cluster, spec)
        for name in ("w2", "w3", "w4", "w5"):  # an update at that very moment may undo it
            order(cluster, "corrupt", "odd", "--what", "state")
            cluster.start_worker(name)
            wait_for(f"{name} joins", lambda: expulsions(cluster) or len(cluster.members(job)) == len(cluster.workers))
            if expulsions(cluster):
                break
        found = expulsions(cluster)
        assert [record["worker"] for record in found] == ["odd"], found
        assert "the state after step" in found[0]["text"], found
        begun_anew(cluster, job, 1000)
        cluster.same_as_calm(job, **spec)


def wrote_before_all_died():
    """a wrong worker writes the last checkpoint, which nobody hears of, and all die: it makes room for the right one"""
    spec = {"steps": 24, "batch": 512, "hash_every": NEVER, "audit_every": NEVER}  # steps of a tenth of a second
    with PatientCluster(2) as cluster:
        wait_for("two workers", lambda: len(cluster.json("workers")) == 2)
        job = cluster.submit(cluster.gpt(**spec))
        # No command is asked until all are dead: each may take as long as half of the job.
        writer = wait_for("it trains", lambda: next(filter(lambda name: cluster.says(name, '"event":"running"', "rank 0 of 2"), cluster.workers), None))
        memory = wait_for(f"{writer} has memory", lambda: memory_of(cluster, writer))
        wait_for("some steps", lambda: memory.step() >= 3)
        cluster.kill_coordinator()
        flip(cluster, writer)
        assert memory.step() < 24, "it was over before"
        wait_for("the last checkpoint", lambda: glob.glob(f"{cluster.dir}/checkpoints-gpt/step-00000024"))
        cluster.kill_all_workers()
        cluster.start_coordinator()
        cluster.start_worker("late")
        weights = cluster.wait_done(job)["weights_hash"]
        assert weights == calm_weights(24, **spec) and not expulsions(cluster)
        proven(cluster, job)


def wrong_to_the_end():
    """no audit has its turn before the job ends: in its last step all are compared, and the wrong one of five is found"""
    many = ("batch.global=40", "batch.micro=4")
    right = calm_run(300, (1, 5), *many)[0]
    with PatientCluster(4) as cluster:
        cluster.start_worker("odd", env=WRONG)
        wait_for("five workers", lambda: len(cluster.json("workers")) == 5)
        job = submit_unseen(cluster, 300, (4, 5), *many)
        assert cluster.wait_done(job)["weights_hash"] == right
        assert [record["worker"] for record in expulsions(cluster)] == ["odd"], expulsions(cluster)
        proven(cluster, job)


def found_out_elsewhere():
    """a wrong worker is killed before it was compared, and found wrong in another job: the first one goes back, too"""
    endless = ENDLESS["steps"]
    with PatientCluster(2) as cluster:
        cluster.start_worker("odd", env=WRONG)
        wait_for("three workers", lambda: len(cluster.json("workers")) == 3)
        first = submit_unseen(cluster, endless, (2, 3), "name=first")
        cluster.wait_step(first, 60)
        cluster.kill_worker("odd")
        cluster.muster("pause", first)
        wait_for("it is paused", lambda: cluster.status(first)["state"] == "paused")
        assert cluster.status(first)["weights_step"] > 60
        cluster.start_worker("odd", env=WRONG)
        wait_for("the wrong worker is back", lambda: {w["name"]: w["state"] for w in cluster.json("workers")}["odd"] == "free")
        second = submit(cluster, endless, (3, 3), "name=second", f"checkpoint.dir={cluster.dir}/of-second")
        wait_for("both jobs go back", lambda: len(expulsions(cluster)) == 2)
        found = {record["job"]: record for record in expulsions(cluster)}
        here, there = found[int(first)], found[int(second)]
        assert here["worker"] == there["worker"] == "odd", found
        assert here["in_job"] == int(second) and here["back_step"] <= 40, found
        cluster.muster("cancel", second)
        cluster.muster("resume", first)
        saved = wait_for("it has trained anew", lambda: (s := cluster.status(first))["weights_step"] >= 100 and s)
        proven(cluster, first)
        cluster.muster("cancel", first)
    at = saved["weights_step"]
    with Cluster(1) as cluster:
        calm = submit(cluster, endless, (1, 3), f"checkpoint.every={at}", "checkpoint.keep=1000")
        assert wait_for(f"step {at} of a calm run", lambda: dict(checkpoints(cluster, calm)).get(at)) == saved["weights_hash"]


if __name__ == "__main__":
    sys.exit(Tap().run(wrong_gradient, wrong_state, wrong_state_without_numbers, counter_falls_over, once_no_number, two_differ, drained_before_its_turn,
                       another_joins_before_its_turn, wrote_before_all_died, wrong_to_the_end, found_out_elsewhere))
