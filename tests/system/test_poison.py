#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Poison: a record whose micro-batch kills every trainer is found, named, and left out or fatal, as the job says."""
import json
import os
import signal
import sys

from cluster import PatientCluster, Tap, children, ends_by_signals, wait_for
from test_bad_input import bystander, fails, job_with

BAD_ROW = 300


def poisoned(cluster):
    """The points again, with one row that the bad trainer cannot bear."""
    path = os.path.join(cluster.dir, "poisoned.csv")
    with open(cluster.csv(), encoding="ascii") as file:
        lines = file.read().splitlines()
    lines[1 + BAD_ROW] = "9.5,0.5,0.5,1"
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    return path


def job(cluster, path, what, fault="segv@row", **more):
    spec, sets = job_with(cluster, path, fault, **more)
    return spec, sets + [f"data.path={poisoned(cluster)}", f"name={what}", f"checkpoint.dir={cluster.dir}/of-{what}"]


def events(cluster, number, name):
    lines = cluster.muster("-o", "json", "events", "--job", number).splitlines()
    found = [json.loads(line) for line in lines if line.strip()]
    found = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    return [event for event in found if event["event"] == name]


def all_there(cluster):
    """A job that starts before the last worker joined is tried on fewer of them."""
    wait_for("all workers join", lambda: len(cluster.json("workers")) == len(cluster.workers))


def kill_trainers(cluster):
    """kill -9 of all trainers that there are; how many."""
    count = 0
    for agent in cluster.workers.values():
        for pid in children(agent.pid, "muster-trainer"):
            try:
                os.kill(pid, signal.SIGKILL)
                count += 1
            except ProcessLookupError:
                pass
    return count


def fail_names_it():
    """poison: fail (the default) names step, micro-batch, file and row, after three deaths on different workers"""
    for workers, threads in ((1, 1), (1, 4), (2, 2), (3, 1), (4, 2)):
        with PatientCluster(workers, threads=threads, env=ends_by_signals()) as cluster:
            all_there(cluster)
            other = bystander(cluster) if workers == 4 else None
            path = cluster.bad_trainer()
            for fault in ("segv@row", "abort@row") if other else ("segv@row",):
                spec, sets = job(cluster, path, f"{fault[:4]}", fault, workers=(1, 3))
                number = fails(cluster, spec, r"micro-batch \d", r"poisoned\.csv, rows", rf"\b{BAD_ROW}\b", "3 deaths",
                               "segmentation" if fault == "segv@row" else "the moon is in the wrong house",
                               "poison: skip", sets=sets)
                [found] = events(cluster, number, "POISON")
                assert not found["skipped"] and len(found["workers"].split(", ")) == min(workers, 3), found
                crashes = [event["worker"] for event in events(cluster, number, "CRASH")]
                assert len(crashes) >= 3 and len(set(crashes)) == min(workers, 3), crashes
            if other:
                assert cluster.wait_done(other)["restarts"] == 0
                cluster.wait_done(bystander(cluster))


def skip_is_one_answer():
    """poison: skip leaves out the same micro-batches on 1, 2 and 3 workers and several threads: one hash"""
    answers, calm = {}, None
    for workers, threads in ((1, 1), (1, 4), (2, 1), (3, 2)):
        with PatientCluster(workers, threads=threads) as cluster:
            all_there(cluster)
            path = cluster.bad_trainer()
            if calm is None:
                spec, sets = job(cluster, path, "calm", "")
                calm = cluster.wait_done(cluster.submit(spec, *sets))
                assert calm["skipped"] == 0, calm
            spec, sets = job(cluster, path, "skip", poison="skip", workers=(1, 3))
            number = cluster.submit(spec, *sets, "checkpoint.every=10")
            status = cluster.wait_done(number)
            found = events(cluster, number, "POISON")
            assert all(f"{BAD_ROW}" in event["records"] and event["skipped"] for event in found), found
            assert status["skipped"] == len(found) >= 3, (status, found)
            table = cluster.muster("status", number)
            assert f"skipped    {len(found)} micro-batches" in table, table
            assert "skipped" in cluster.muster("shards", number), cluster.muster("shards", number)
            proof = cluster.json("ledger", "verify", number)
            assert [(left["step"], left["micro_batch"]) for left in proof["left_out"]] == [
                (event["step"], event["micro_batch"]) for event in found], (proof, found)
            assert "but for those left out" in cluster.muster("ledger", "verify", number)
            answers[workers, threads] = status["weights_hash"], [(e["step"], e["micro_batch"]) for e in found]
    print(f"# {answers}")
    assert len({repr(answer) for answer in answers.values()}) == 1, answers
    assert answers[1, 1][0] != calm["weights_hash"]


def skip_under_kills():
    """while poison is looked for, trainers, a worker and the coordinator are killed: the same answer"""
    with PatientCluster(3, threads=2) as cluster:
        path = cluster.bad_trainer()
        spec, sets = job(cluster, path, "quiet", poison="skip", steps=80)
        quiet = cluster.wait_done(cluster.submit(spec, *sets))
        spec, sets = job(cluster, path, "loud", poison="skip", steps=80)
        number = cluster.submit(spec, *sets, "checkpoint.every=10")

        def deaths(count):
            wait_for(f"{count} deaths", lambda: len(events(cluster, number, "CRASH")) >= count)
        deaths(1)
        kill_trainers(cluster)
        deaths(5)
        cluster.kill_worker("w1")
        cluster.kill_coordinator()
        cluster.start_coordinator()
        cluster.start_worker("w1", threads=2)
        loud = cluster.wait_done(number)
        assert loud["weights_hash"] == quiet["weights_hash"] and loud["skipped"] == quiet["skipped"], (quiet, loud)


def limit():
    """poison_limit: a trainer that dies of everything does not skip everything"""
    with PatientCluster(2, threads=2) as cluster:
        path = cluster.bad_trainer()
        spec, sets = job(cluster, path, "limit", poison="skip", poison_limit=1)
        number = fails(cluster, spec, "left out 1 before", "poison_limit", sets=sets)
        assert cluster.status(number)["skipped"] == 1
        assert [event["skipped"] for event in events(cluster, number, "POISON")] == [True, False]


def whole_step():
    """a step whose only micro-batch is poison is left out whole"""
    answers = set()
    for workers in (1, 2):
        with PatientCluster(workers) as cluster:
            spec, sets = job(cluster, cluster.bad_trainer(), "whole", poison="skip")
            status = cluster.wait_done(cluster.submit(spec, *sets, "batch.global=4"), 240)
            assert status["step"] == 60 and status["skipped"] >= 1, status
            answers.add((status["weights_hash"], status["skipped"]))
    assert len(answers) == 1, answers


def kills_condemn_nothing():
    """kill -9 of trainers by hand, again and again at one micro-batch, accuses none and changes nothing"""
    with PatientCluster(2) as cluster:
        path = cluster.bad_trainer()
        spec, sets = job(cluster, path, "calm", "", steps=8)
        calm = cluster.wait_done(cluster.submit(spec, *sets, "batch.global=4", f"data.path={cluster.csv()}"))
        spec, sets = job(cluster, path, "killed", "slow@99999.0", steps=8, poison="skip")
        number = cluster.submit(spec, *sets, "batch.global=4", "checkpoint.every=1", f"data.path={cluster.csv()}")
        for blow in range(1, 6):
            cluster.wait_step(number, blow)
            wait_for("trainers to kill", lambda: kill_trainers(cluster))
        status = cluster.wait_done(number)
        assert status["weights_hash"] == calm["weights_hash"] and status["skipped"] == 0, (calm, status)
        assert len(events(cluster, number, "CRASH")) >= 5 and not events(cluster, number, "POISON")
        # Three blows in one step: the job fails as it always did, and no micro-batch is blamed.
        spec, sets = job(cluster, path, "beaten", "slow@99999.0", steps=8, poison="skip")
        number = cluster.submit(spec, *sets, "batch.global=4", f"data.path={cluster.csv()}")
        cluster.wait_step(number, 1)

        def over():
            kill_trainers(cluster)
            status = cluster.status(number)
            return status if status["state"] == "failed" else None
        status = wait_for("the job gives up", over)
        assert "ended by itself 3 times" in status["reason"] and status["skipped"] == 0, status
        assert not events(cluster, number, "POISON")


if __name__ == "__main__":
    sys.exit(Tap().run(fail_names_it, skip_is_one_answer, skip_under_kills, limit, whole_step, kills_condemn_nothing))
