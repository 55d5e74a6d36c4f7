#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger as proof: what was trained by whom, while workers and coordinator die; and journals that were altered."""
import json
import os
import sqlite3
import sys

from cluster import ENDLESS, Cluster, PatientCluster, Tap, wait_for


def verify(cluster, job, *options):
    run = cluster.try_muster("-o", "json", "ledger", "verify", job, *options)
    assert run.returncode in (0, 65, 100), (run.returncode, run.stderr)
    return run.returncode, json.loads(run.stdout)


def step(cluster, job, number):
    return cluster.json("ledger", "show", job, "--step", str(number))


def whole(part_list, micro_batches):
    """The micro-batches that the parts of a step hold, and their records, each once."""
    held = sorted(m for part in part_list for m in part["micro_batches"])
    assert held == list(range(micro_batches)), part_list
    records = [record for part in part_list for record in part["records"]]
    assert len(set(records)) == len(records) == micro_batches, part_list  # cluster.gpt () has 1 a micro-batch
    return records


def deaths():
    """workers and the coordinator die: the ledger is proven meanwhile and afterwards, and names who trained what"""
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        cluster.kill_worker("w1")
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 50)
        code, proof = verify(cluster, job)
        assert code == 0 and proof["proven"] and proof["compared"] and 0 < proof["steps_trained"] < ENDLESS["steps"], proof
        cluster.kill_coordinator()
        cluster.start_worker("w1")
        cluster.start_coordinator()
        cluster.wait_step(job, cluster.wait_members(job, 3)["step"] + 50)
        cluster.kill_worker("w0")
        end = cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 50)["step"]
        wait_for("more is trained", lambda: verify(cluster, job)[1]["steps_trained"] >= end)
        code, proof = verify(cluster, job)
        assert code == 0 and proof["proven"] and proof["compared"], proof
        assert proof["generations"] == proof["generations_surviving"] >= 3 and proof["steps_given_up"] == 0, proof
        generations = cluster.json("ledger", "show", job)
        begins = [generation["survives"]["from"] for generation in generations]
        assert begins[0] == 0 and begins == sorted(begins), generations
        joint = 0
        for begin in begins:
            shown = step(cluster, job, begin)
            whole(shown["parts"], 8)
            joint += len({part["generation"] for part in shown["parts"]}) > 1
            for part in shown["parts"]:
                by = next(g for g in generations if g["generation"] == part["generation"])
                assert part["worker"] in by["workers"], (part, by)
        assert joint >= 1, "no step was finished across a death"


def all_die():
    """all workers die: what was given up is shown as given up, and the history that survives is proven"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(steps=1_000_000, every=1000))
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 1000)
        # Not just before the next checkpoint: where that is the last that is heard of, nothing is given up.
        wait_for("more is trained", lambda: 20 <= verify(cluster, job)[1]["steps_trained"] % 1000 <= 500)
        cluster.kill_all_workers()
        cluster.start_worker("late")
        wait_for("late has it", lambda: list(cluster.members(job).values()) == ["late"])
        cluster.wait_step(job, cluster.status(job)["step"] + 20)
        code, proof = verify(cluster, job)
        assert code == 0 and proof["proven"] and proof["compared"], proof
        assert proof["rewinds"] >= 1 and proof["steps_given_up"] > 0, proof
        generations = cluster.json("ledger", "show", job)
        resumed = next(generation for generation in generations if generation["workers"] == ["late"])
        before = generations[resumed["after"] - 1]
        lost = before["given_up"]
        assert lost["from"] == resumed["survives"]["from"] < lost["below"] and lost["from"] % 1000 == 0, generations
        assert step(cluster, job, lost["from"])["given_up"] == [before["generation"]]


def epochs():
    """each epoch brings every record once; a step may lie in two"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.mlp(steps=70))  # 600 records, 32 a step: 3.7 epochs
        cluster.wait_done(job)
        code, proof = verify(cluster, job)
        assert code == 0 and proof["order_checked"], proof
        assert (proof["records"], proof["epochs_whole"], proof["epoch_records"]) == (600, 3, 70 * 32 - 3 * 600), proof
        ordered = []
        for number in range(19):  # in the stream's order: by micro-batch
            micro = {}
            for part in step(cluster, job, number)["parts"]:
                for at, m in enumerate(part["micro_batches"]):
                    micro[m] = part["records"][4 * at:4 * at + 4]
            ordered += [record for m in sorted(micro) for record in micro[m]]
        assert len(ordered) == 608 and sorted(ordered[:600]) == list(range(600)) != ordered[:600], ordered
        text = cluster.muster("ledger", "verify", job)
        assert "3 whole epochs: each of 600 records exactly once" in text and "unaltered" in text, text
        skipped = verify(cluster, job, "--skip-order")[1]
        assert skipped["proven"] and not skipped["order_checked"], skipped


def alter(cluster, sql, *values):
    cluster.kill_coordinator()
    with sqlite3.connect(os.path.join(cluster.dir, "state", "muster.db")) as database:
        assert database.execute(sql, values).rowcount == 1, sql
    database.close()
    cluster.start_coordinator()


def body_of(cluster, job, kind):
    database = sqlite3.connect(f"file:{cluster.dir}/state/muster.db?mode=ro", uri=True)
    row = database.execute("SELECT number, body FROM journal WHERE job = ? AND type = ? ORDER BY number LIMIT 1", (job, kind)).fetchone()
    database.close()
    return row


def altered():
    """a record altered, lost or torn in the database is caught, and said in a sentence"""
    form, started = 4, 5
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(steps=60, every=20, workers=(2, 2)))
        other = cluster.submit(cluster.gpt("other", steps=20))
        cluster.wait_done(job)
        cluster.wait_done(other)
        assert verify(cluster, job)[0] == 0 and verify(cluster, other)[0] == 0
        number, body = body_of(cluster, job, form)
        swapped = bytearray(body)
        swapped[body.index(bytes([0, 0] * 4 + [1, 0] * 4))] = 1  # micro-batch 0 is the other's: as good a map, but not what was stored
        alter(cluster, "UPDATE journal SET body = ? WHERE number = ?", bytes(swapped), number)
        code, proof = verify(cluster, job)
        assert code in (65, 100) and not proof["proven"] and proof["damages"] + proof["faults"], proof
        run = cluster.try_muster("ledger", "verify", job)
        assert run.returncode == code and "altered, lost or put in" in run.stdout and "muster: job 1" in run.stderr, run
        assert cluster.try_muster("ledger", "show", job, "--step", "1").returncode == code
        alter(cluster, "UPDATE journal SET body = ? WHERE number = ?", body, number)
        assert verify(cluster, job)[0] == 0
        # a record that no coordinator can read is set aside, with those that rest on it; other jobs are not touched
        number, body = body_of(cluster, job, started)
        alter(cluster, "UPDATE journal SET body = ? WHERE number = ?", body[:-1], number)
        code, proof = verify(cluster, job)
        assert code == 65 and any(f"record {number}" in text for text in proof["damages"]), proof
        assert verify(cluster, other)[0] == 0


def refusals():
    """no such job is 102, a step not trained 101, no step 64"""
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        assert verify(cluster, job)[1]["steps_trained"] == 0
        assert cluster.try_muster("ledger", "verify", "nothing").returncode == 102
        assert cluster.try_muster("ledger", "show", "nothing").returncode == 102
        assert cluster.try_muster("ledger", "show", job, "--step", "0").returncode == 101
        assert cluster.try_muster("ledger", "show", job, "--step", "-1").returncode == 64
        assert cluster.try_muster("ledger", "verify").returncode == 64
        cluster.kill_coordinator()
        assert cluster.try_muster("--timeout", "1", "ledger", "verify", job).returncode == 69


if __name__ == "__main__":
    sys.exit(Tap().run(deaths, all_die, epochs, altered, refusals))
