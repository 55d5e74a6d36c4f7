#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_database.py - a coordinator's database as one version of Muster leaves it behind

usage: top_builddir=BUILD make_database.py OUT      writes OUT.db, and OUT.json with what that version says of its jobs

To be run once, with the programs of the version whose golden database it makes, when schemas/store.sql gets a new step:
the database of the step before is then what upgrades come from. Jobs that end, fail, are cancelled, paused, wait and train;
workers that die, are drained and come back; a coordinator that is killed in the middle. From version 4 on, jobs that have
ended are folded.
"""
import json
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, wait_for  # noqa: E402

# Of `muster status`, what the journal alone says.
KEPT = ("job", "name", "state", "reason", "generation", "restarts", "steps", "weights_step", "weights_hash", "workers_min",
        "workers_max", "parameters", "priority", "code")


def try_to(cluster, *arguments):
    """Older versions lack some commands."""
    run = cluster.try_muster(*arguments)
    return run.stdout if run.returncode == 0 else None


def live(cluster):
    ended = cluster.submit(cluster.gpt("ended", steps=300, every=40))
    cluster.wait_step(ended, 30)
    cluster.kill_worker("w1")
    cluster.wait_step(ended, 60)
    cluster.kill_coordinator()
    cluster.start_coordinator()
    cluster.start_worker("w1")
    cluster.wait_step(ended, 100)
    cluster.muster("drain", "w2")
    wait_for("job ended ends", lambda: cluster.status(ended)["state"] == "done")
    cluster.muster("drain", "w2", "--undo")
    paused = cluster.submit(cluster.mlp("paused", steps=100000))
    cluster.wait_step(paused, 20)
    cluster.muster("pause", paused)
    wait_for("job paused pauses", lambda: cluster.status(paused)["state"] == "paused")
    cancelled = cluster.submit(cluster.mlp("cancelled", steps=100000))
    cluster.wait_step(cancelled, 20)
    try_to(cluster, "scale", cancelled, "2")
    cluster.kill_worker("w0")
    cluster.wait_step(cancelled, cluster.status(cancelled)["step"] + 20)
    cluster.muster("cancel", cancelled)
    wait_for("job cancelled ends", lambda: cluster.status(cancelled)["state"] == "cancelled")
    failed = cluster.submit(cluster.mlp("failed"), "data.path=/nowhere/points.csv")
    wait_for("job failed ends", lambda: cluster.status(failed)["state"] == "failed")
    waits = cluster.submit(cluster.mlp("waits", workers=(8, 8)))
    said = {job: {key: value for key, value in cluster.status(job).items() if key in KEPT}
            for job in (ended, paused, cancelled, failed, waits)}
    verified = [job for job in (ended, paused, cancelled) if try_to(cluster, "ledger", "verify", job)]
    trains = cluster.submit(cluster.gpt("trains", steps=100000, every=50))
    cluster.wait_step(trains, 120)
    cluster.muster("drain", "w2")
    cluster.wait_step(trains, cluster.status(trains)["step"] + 30)
    return {"jobs": said, "trains": trains, "verified": verified}


def main(out):
    with Cluster(3) as cluster:
        said = live(cluster)
        cluster.kill_coordinator()
        if try_to(cluster, "admin", "compact", "--dir", os.path.join(cluster.dir, "state"), "--history-days", "0"):
            said["verified"] = [job for job in said["verified"] if said["jobs"][job]["state"] == "paused"]  # not folded
        database = sqlite3.connect(os.path.join(cluster.dir, "state", "muster.db"))
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("VACUUM")
        said["version"] = database.execute("PRAGMA user_version").fetchone()[0]
        said["records"] = database.execute("SELECT count (*) FROM journal").fetchone()[0]
        database.close()
        shutil.copyfile(os.path.join(cluster.dir, "state", "muster.db"), f"{out}.db")
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(said, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
