#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""muster admin: backups of a coordinator that works, what is restored from them, checks, and databases of older versions."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from cluster import BUILD, ENDLESS, SOURCE, Cluster, Tap, wait_for

GOLDEN = os.path.join(SOURCE, "tests", "golden")


def state(cluster):
    return os.path.join(cluster.dir, "state")


def check(cluster, *where):
    run = cluster.try_muster("-o", "json", "admin", "check", *where)
    assert run.stdout, (run.returncode, run.stderr)
    return run.returncode, json.loads(run.stdout)


def query(path, sql):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = database.execute(sql).fetchall()
    database.close()
    return rows


def change(path, sql):
    database = sqlite3.connect(path)
    with database:
        database.execute(sql)
    database.close()


def upgraded(version):
    with open(os.path.join(GOLDEN, f"database-{version}.json"), encoding="utf-8") as file:
        said = json.load(file)
    golden = os.path.join(GOLDEN, f"database-{version}.db")
    with Cluster() as cluster:
        code, found = check(cluster, golden)
        assert code == 0 and found["sound"] and found["version"] == said["version"] == version, found
        assert found["jobs"] == len(said["jobs"]) + 1, (found, said)
        path = from_golden(cluster, version)
        before = query(golden, "SELECT type, job, unix_ms, body FROM journal" + ("" if version > 1 else " WHERE latest IS NULL")
                       + " ORDER BY number")
        cluster.start_coordinator()
        for job, was in said["jobs"].items():
            now = cluster.status(job)
            if was["state"] == "pending":  # why it waits is thought of anew
                now.pop("reason"), was.pop("reason")
            assert {key: now[key] for key in was} == was, (was, now)
        for job in said["verified"]:
            cluster.muster("ledger", "verify", job)
        cluster.kill_coordinator()
        assert query(path, "SELECT type, job, unix_ms, body FROM journal ORDER BY number")[:len(before)] == before
        code, found = check(cluster, path)
        assert code == 0 and found["version"] == newest_version(), found


def newest_version():
    with open(os.path.join(SOURCE, "schemas", "store.sql"), encoding="utf-8") as file:
        return sum(line.startswith("-- step ") for line in file)


def golden():
    """the golden database of every version is upgraded: jobs, ledgers and records are what they were"""
    versions = sorted(int(name[9:-3]) for name in os.listdir(GOLDEN) if name.startswith("database-") and name.endswith(".db"))
    assert versions == list(range(1, newest_version() + 1)), f"a version has no golden database: {versions}"
    for version in versions:
        upgraded(version)


def downgrade():
    """a database of a newer version is refused with a sentence, by the coordinator and by muster admin, and left as it is"""
    with Cluster() as cluster:
        cluster.kill_coordinator()
        path = os.path.join(state(cluster), "muster.db")
        newer = newest_version() + 1
        change(path, f"PRAGMA user_version={newer}")
        before = query(path, "SELECT * FROM journal")
        process = cluster.spawn("second", "muster-coordinator", "--dir", state(cluster), "--listen", cluster.endpoint)
        assert process.wait(30) == 65
        with open(os.path.join(cluster.dir, "second.log"), encoding="utf-8") as log:
            said = log.read()
        assert f"version {newer}" in said and "use the Muster that wrote it, or a newer one" in said, said
        run = cluster.try_muster("admin", "check", "--dir", state(cluster))
        assert run.returncode == 65 and f"version {newer}" in run.stderr, run
        assert query(path, "SELECT * FROM journal") == before and query(path, "PRAGMA user_version") == [(newer,)]


def backups():
    """backups while submits are committed: each is whole, replays to a prefix, and holds every submit answered before it"""
    with Cluster() as cluster, concurrent.futures.ThreadPoolExecutor(4) as pool:
        spec = cluster.mlp(workers=(8, 8))
        stop = []

        def submit_on():
            answered = 0
            while not stop:
                answered = max(answered, int(cluster.submit(spec)))
            return answered

        streams = [pool.submit(submit_on) for _ in range(3)]
        file, sizes = os.path.join(cluster.dir, "backup.db"), []
        try:
            for _ in range(12):
                known = int(cluster.submit(spec))
                cluster.muster("admin", "backup", "--dir", state(cluster), "--replace", file)
                code, found = check(cluster, file)
                assert code == 0 and found["jobs"] >= known and found["newest"] >= found["records"], found
                sizes.append(found["jobs"])
        finally:
            stop.append(True)
        assert sizes == sorted(sizes) and sizes[-1] > sizes[0], sizes
        answered = max(stream.result() for stream in streams)
        assert check(cluster, "--dir", state(cluster))[0] == 0  # in use, too
        assert len(cluster.json("jobs")) >= answered  # and the coordinator took none of that for a second writer
        held = query(file, "SELECT number, body FROM record ORDER BY number")
        assert query(os.path.join(state(cluster), "muster.db"), "SELECT number, body FROM record ORDER BY number")[:len(held)] == held
        refused = cluster.try_muster("admin", "backup", "--dir", state(cluster), file)
        assert refused.returncode == 73 and "--replace" in refused.stderr, refused
        itself = os.path.join(state(cluster), "muster.db")
        refused = cluster.try_muster("admin", "backup", "--dir", state(cluster), "--replace", itself)
        assert refused.returncode == 64 and "itself" in refused.stderr, refused


def restored():
    """the disk is lost: restored elsewhere, jobs go on from the backup; it is another database, of no cluster"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS), "checkpoint.keep=1000")  # what the backup knows stays
        cluster.wait_step(job, 120)
        wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"] >= 100)
        file = os.path.join(cluster.dir, "backup.db")
        assert ", 1 job: sound" in cluster.muster("admin", "backup", "--dir", state(cluster), file)
        database = os.path.join(state(cluster), "muster.db")
        change_refused = cluster.try_muster("admin", "restore", file, "--dir", state(cluster), "--replace")
        assert change_refused.returncode == 69 and "another coordinator uses" in change_refused.stderr, change_refused
        cluster.wait_step(job, 200)
        cluster.kill_coordinator()
        cluster.kill_all_workers()
        was = query(database, "SELECT id FROM about")[0][0]
        refused = cluster.try_muster("admin", "restore", file, "--dir", state(cluster))
        assert refused.returncode == 73 and "--replace" in refused.stderr, refused
        run = cluster.try_muster("admin", "restore", file, "--dir", state(cluster), "--replace")
        assert run.returncode == 0 and "belongs to no cluster" in run.stderr and "replaced-1" in run.stderr, run
        assert query(f"{database}.replaced-1", "SELECT id FROM about") == [(was,)]
        assert check(cluster, f"{database}.replaced-1")[0] == check(cluster, "--dir", state(cluster))[0] == 0
        now = query(database, "SELECT id, cluster FROM about")[0]
        assert now[0] not in (0, was) and now[1] == 0, (was, now)
        cluster.start_coordinator()
        cluster.start_worker("w0")
        cluster.wait_members(job, 1)
        cluster.same_as_calm(job, **ENDLESS)


def pruned_since():
    """restored where the checkpoints that the backup knows were removed since: the job says so, and what is there, from which a new one goes on"""
    with Cluster(1) as cluster:
        spec = cluster.gpt(**ENDLESS)
        job = cluster.submit(spec)
        wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"] >= 50)
        file = os.path.join(cluster.dir, "backup.db")
        cluster.muster("admin", "backup", "--dir", state(cluster), file)
        known = [saved["path"] for saved in cluster.json("checkpoints", job)]
        wait_for("they are removed", lambda: not any(map(os.path.exists, known)))
        cluster.kill_coordinator()
        cluster.kill_worker("w0")
        cluster.muster("admin", "restore", file, "--dir", state(cluster), "--replace")
        cluster.start_coordinator()
        cluster.start_worker("w0")
        reason = wait_for("it says so", lambda: (r := cluster.status(job)["reason"]) and "cannot read" in r and r)
        there = re.search(r"w0 cannot read: that of step (\d+) is there, and a new job with `checkpoint.resume: newest` goes on from it; cannot open",
                          reason)
        assert there and os.path.exists(f"{cluster.dir}/checkpoints-gpt/step-{int(there[1]):08}"), reason
        cluster.muster("cancel", job)
        on = cluster.submit(spec, "checkpoint.resume=newest")
        cluster.wait_step(on, int(there[1]) + 1)
        cluster.same_as_calm(on, **ENDLESS)


def old_workers():
    """restored while workers live that have served the lost one since: they end with a sentence, and nothing that they hold is mixed with what comes"""
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt(workers=(1, 3), **ENDLESS), "checkpoint.keep=1000")  # what the backup knows stays
        wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"] >= 100)
        file = os.path.join(cluster.dir, "backup.db")
        cluster.muster("admin", "backup", "--dir", state(cluster), file)
        for name in ("w1", "w2"):  # generations that the backup does not know
            cluster.start_worker(name)
        cluster.wait_members(job, 3)
        cluster.wait_step(job, cluster.status(job)["step"] + 100)
        cluster.kill_coordinator()
        cluster.muster("admin", "restore", file, "--dir", state(cluster), "--replace")
        cluster.start_coordinator()
        for name, worker in cluster.workers.items():
            assert worker.wait(30) == 65 and cluster.says(name, "restored from a backup", "start it anew"), name
        for name in ("w0", "w1", "w2"):
            cluster.start_worker(name)
        cluster.wait_members(job, 3)
        cluster.same_as_calm(job, **ENDLESS)
        cluster.coordinator.terminate()
        assert cluster.coordinator.wait(30) == 0
        cluster.muster("admin", "compact", "--dir", state(cluster), "--history-days", "0")
        assert check(cluster, "--dir", state(cluster))[0] == 0
        cluster.start_coordinator()
        assert "without what is lost of those before" in cluster.muster("events")


def killed():
    """kill -9 in the middle of backups and restores: what has the name is whole, and what was there before is not lost"""
    with Cluster() as cluster:
        spec = cluster.mlp(workers=(8, 8))
        for _ in range(30):
            cluster.submit(spec)
        file, there = os.path.join(cluster.dir, "backup.db"), os.path.join(cluster.dir, "there")
        cluster.muster("admin", "backup", "--dir", state(cluster), file)

        def dies(after_s, *command):
            process = cluster.spawn("killed", "muster", *command)
            time.sleep(after_s)
            process.send_signal(signal.SIGKILL)
            return process.wait() == -signal.SIGKILL

        deaths, number = 0, 0
        while deaths < 24:  # at once, and 2 ms later each time: in every part of it, sooner or later
            number = (number + 1) % 25
            deaths += dies(number * 0.002, "admin", "backup", "--dir", state(cluster), "--replace", file)
            assert check(cluster, file)[0] == 0
            deaths += dies(number * 0.002, "admin", "restore", "--dir", there, "--replace", file)
            found = [name for name in (os.listdir(there) if os.path.isdir(there) else ())
                     if name == "muster.db" or "replaced" in name]
            for name in found:
                assert check(cluster, os.path.join(there, name))[0] == 0, found
        cluster.muster("admin", "backup", "--dir", state(cluster), "--replace", file)
        cluster.muster("admin", "restore", "--dir", there, "--replace", file)
        assert not [name for name in os.listdir(there) + os.listdir(cluster.dir) if "partial" in name]
        assert check(cluster, "--dir", there)[0] == 0


def mistakes():
    """a backup over what a coordinator has open, a folder for a file: a sentence, and all stays as it is"""
    with Cluster() as cluster, Cluster() as other:
        cluster.submit(cluster.mlp(workers=(8, 8)))
        other.submit(other.mlp("theirs", workers=(8, 8)))
        for name in ("muster.db", "muster.db-wal", "muster.lock", "acceptor"):
            for place in (state(cluster), state(other)):
                run = cluster.try_muster("admin", "backup", "--dir", state(cluster), "--replace", os.path.join(place, name))
                assert run.returncode == 64 and "name another file" in run.stderr, (run.returncode, run.stderr)
        other.kill_coordinator()
        other.start_coordinator()
        assert [job["name"] for job in other.jobs()] == ["theirs"]
        run = cluster.try_muster("admin", "check", state(cluster))
        assert run.returncode == 66 and "is a folder" in run.stderr, run.stderr


def no_room():
    """a full disk in the middle of backups and restores: a sentence, nothing left over, and what was there before stays"""
    with Cluster() as cluster:
        cluster.submit(cluster.mlp(workers=(8, 8)))
        file = os.path.join(cluster.dir, "backup.db")
        cluster.muster("admin", "backup", "--dir", state(cluster), file)
        was = query(file, "SELECT * FROM record")
        muster = os.path.join(os.environ.get("top_builddir", os.getcwd()), "muster")
        for blocks in (1, 8, 24, 40):
            for command in (("backup", "--dir", state(cluster), "--replace", file),
                            ("restore", "--dir", os.path.join(cluster.dir, "there"), "--replace", file)):
                process = cluster.spawn("limited", "/bin/sh", "-c", f"trap '' XFSZ; ulimit -f {blocks}; exec {muster} admin \"$@\"",
                                        "sh", *command)
                assert process.wait(30) in (71, 73, 74), (blocks, command, process.returncode)
                assert query(file, "SELECT * FROM record") == was
        assert not [name for name in os.listdir(cluster.dir) if "partial" in name]
        assert "muster.db" not in os.listdir(os.path.join(cluster.dir, "there"))


def damaged():
    """check finds a row altered, lost, misplaced or torn, and pages; set aside by a coordinator it is 100, not 65"""
    with Cluster() as cluster:
        path = os.path.join(cluster.dir, "d.db")

        def damage(sql, sentence):
            shutil.copyfile(os.path.join(GOLDEN, "database-3.db"), path)
            if sql:
                change(path, sql)
            code, found = check(cluster, path)
            assert code == 65 and not found["sound"] and any(sentence in text for text in found["findings"]), (sql, found)

        damage("UPDATE journal SET body = substr (body, 1, length (body) - 1) WHERE number = 3", "record 3 cannot be read")
        damage("DELETE FROM journal WHERE type = 5 AND job = 1", "its seal does not fit")
        damage("DELETE FROM journal WHERE type = 2 AND job = 2", "never submitted")
        damage("UPDATE journal SET job = 77 WHERE number = 2", "its columns type and job")
        damage("UPDATE progress SET part_1 = 77 WHERE number = (SELECT max (number) FROM progress)", "its column key")
        damage("UPDATE progress SET number = 2 WHERE number = (SELECT max (number) FROM progress)", "its number is not its own")
        damage("INSERT INTO journal SELECT number + 100000, type, job, unix_ms, body FROM progress LIMIT 1", "wrong table")
        damage("UPDATE job SET state = 'done' WHERE job = 5", "the table job does not say of job 5")
        damage("DELETE FROM checkpoint WHERE job = 1", "the table checkpoint does not say of job 1")
        damage("DELETE FROM about", "about")
        shutil.copyfile(os.path.join(GOLDEN, "database-3.db"), path)
        with open(path, "r+b") as file:
            for page in range(3, 6):
                file.seek(page * 4096)
                file.write(b"\xff" * 64)
        code, found = check(cluster, path)
        assert code == 65 and found["findings"], found
        run = cluster.try_muster("admin", "restore", path, "--dir", os.path.join(cluster.dir, "there"))
        assert run.returncode == 65 and not os.path.exists(os.path.join(cluster.dir, "there")), run
        assert cluster.try_muster("admin", "check", os.path.join(cluster.dir, "nowhere.db")).returncode == 66
        for verb in ("check", "restore"):
            run = cluster.try_muster("admin", verb, cluster.write("text.db", "no database " * 1000))
            assert run.returncode == 65 and "it is no database; a backup is a file" in run.stderr, run
        set_aside(cluster)


def from_golden(cluster, version=3):
    """The golden database in place of the cluster's own, whose coordinator is killed; its path."""
    cluster.kill_coordinator()
    shutil.rmtree(state(cluster))
    os.mkdir(state(cluster))
    path = os.path.join(state(cluster), "muster.db")
    shutil.copyfile(os.path.join(GOLDEN, f"database-{version}.db"), path)
    os.chmod(path, 0o640)
    return path


def said_of(cluster, jobs):
    kept = ("state", "reason", "generation", "restarts", "weights_step", "weights_hash", "steps", "code", "workers_max")
    shown = {job: {key: cluster.status(job)[key] for key in kept} for job in jobs}
    return shown, {job: cluster.json("checkpoints", job) for job in jobs}


ENDED, PAUSED = ("1", "3", "4"), "2"  # of the golden database


def compacted():
    """compact folds what has ended and nothing else: jobs say what they said, the file no longer grows, folded ledgers say so"""
    with Cluster() as cluster:
        path = from_golden(cluster)
        cluster.start_coordinator()
        before = said_of(cluster, ENDED + (PAUSED,))
        cluster.muster("ledger", "verify", "1")
        refused = cluster.try_muster("admin", "compact", "--dir", state(cluster))
        assert refused.returncode == 69 and "while it works" in refused.stderr, refused
        cluster.kill_coordinator()
        rows = query(path, "SELECT count (*) FROM record")[0][0]
        young = cluster.json("admin", "compact", "--dir", state(cluster), "--history-days", "36500")
        assert young["gone"] == young["jobs_folded"] == 0 and young["records"] == rows, young
        sizes, records = set(), set()
        for turn in range(4):
            done = cluster.json("admin", "compact", "--dir", state(cluster), "--history-days", "0")
            assert turn or (done["jobs_folded"] == len(ENDED) and done["bytes"] <= done["bytes_before"]), done
            assert query(path, f"SELECT max (n) FROM (SELECT count (*) AS n FROM record WHERE job IN ({','.join(ENDED)}) "
                         "GROUP BY job)")[0][0] <= 3
            assert check(cluster, path)[0] == 0
            cluster.start_coordinator()
            assert said_of(cluster, ENDED + (PAUSED,)) == before
            cluster.muster("ledger", "verify", PAUSED)
            gone = cluster.try_muster("ledger", "verify", "1")
            assert gone.returncode == 69 and "folded into one" in gone.stderr, gone
            cluster.kill_coordinator()
            sizes.add(os.path.getsize(path))
            records.add(query(path, "SELECT count (*) FROM journal WHERE job <> 6")[0][0])
        assert len(sizes) == 1 and len(records) == 1, (sizes, records)


def folded_meanwhile():
    """a coordinator that works folds by itself, and goes on: what it promises then is kept, and no number is used twice"""
    with Cluster(coordinator_options=("--history-days", "0")) as cluster:
        path = from_golden(cluster)
        newest = query(path, "SELECT max (number) FROM record")[0][0]
        cluster.start_coordinator()
        before = said_of(cluster, ENDED + (PAUSED,))
        wait_for("three jobs are folded", lambda: query(path, "SELECT count (*) FROM journal WHERE type = 61") == [(3,)])
        assert said_of(cluster, ENDED + (PAUSED,)) == before
        job = cluster.submit(cluster.mlp(workers=(8, 8)))
        assert check(cluster, "--dir", state(cluster))[0] == 0
        cluster.kill_coordinator()
        cluster.start_coordinator()
        assert said_of(cluster, ENDED + (PAUSED,)) == before and cluster.status(job)["state"] == "pending"
        assert query(path, f"SELECT number FROM journal WHERE type = 2 AND job = {job}")[0][0] > newest


def clock_ahead():
    """a clock that says that much time has gone by since the newest record folds nothing at once, nor does compact: it may be wrong"""
    with Cluster(coordinator_options=("--history-days", "1")) as cluster:
        path = from_golden(cluster)
        cluster.start_coordinator()
        cluster.submit(cluster.mlp(workers=(8, 8)))
        time.sleep(5)  # it looks once after 3 s, and says nothing if there is nothing to do
        assert query(path, "SELECT count (*) FROM journal WHERE type = 61") == [(0,)]
        cluster.kill_coordinator()
        done = cluster.json("admin", "compact", "--dir", state(cluster), "--history-days", "1")
        assert done["jobs_folded"] == 0, done
        cluster.start_coordinator()
        cluster.muster("ledger", "verify", "1")


def forgotten():
    """of jobs that ended long ago the newest are remembered: others are said to be forgotten, their rows go, their checkpoints stay"""
    with Cluster(1, coordinator_options=("--history-days", "0", "--keep-jobs", "3")) as cluster:
        path = os.path.join(state(cluster), "muster.db")
        saved = cluster.wait_done(cluster.submit(cluster.mlp("trained", steps=20)))["checkpoint"]
        waits = cluster.muster("submit", cluster.mlp("waits", workers=(8, 8)), "--key", "waits").strip()
        for number in range(8):
            cluster.muster("cancel", cluster.submit(cluster.mlp(f"ended-{number}", workers=(8, 8))))
        wait_for("job 1 is forgotten", lambda: cluster.try_muster("status", "1").returncode == 102)
        wait_for("all but three are", lambda: len(cluster.jobs()) == 4)
        for command in (("status", "1"), ("checkpoints", "1"), ("ledger", "verify", "1"), ("events", "--job", "1"), ("cancel", "1"), ("logs", "1")):
            gone = cluster.try_muster(*command)
            assert gone.returncode == 102 and "is forgotten" in gone.stderr, (command, gone)
        assert [job["name"] for job in cluster.jobs()] == ["waits", "ended-5", "ended-6", "ended-7"], cluster.jobs()
        cluster.kill_coordinator()
        with open(f"{state(cluster)}/logs/job-1.jsonl.kept", "w", encoding="utf-8"):
            pass  # somebody's own copy
        cluster.start_coordinator()
        wait_for("their rows are gone", lambda: query(path, "SELECT count (*) FROM record WHERE job IN (3, 4, 5, 6, 7) AND type <> 71") == [(0,)])
        assert query(path, "SELECT count (*) FROM record WHERE job = 1 AND type <> 71") == [(0,)]
        assert [row[0] for row in query(path, "SELECT job FROM job ORDER BY job")] == [int(waits), 8, 9, 10]
        assert query(path, "SELECT count (*) FROM checkpoint") == [(0,)] and os.path.isdir(saved)
        wait_for("so are their logs", lambda: sorted(os.listdir(f"{state(cluster)}/logs")) == [
            "job-1.jsonl.kept", "job-10.jsonl", "job-8.jsonl", "job-9.jsonl"])
        assert check(cluster, path)[0] == 0
        before = said_of(cluster, ("8", "9", "10"))
        file = os.path.join(cluster.dir, "backup.db")
        cluster.muster("admin", "backup", "--dir", state(cluster), file)
        cluster.kill_coordinator()
        cluster.muster("admin", "compact", "--dir", state(cluster), "--history-days", "0")
        cluster.muster("admin", "restore", "--replace", "--dir", state(cluster), file)
        cluster.start_coordinator()
        assert said_of(cluster, ("8", "9", "10")) == before
        assert cluster.muster("submit", os.path.join(cluster.dir, "waits.yaml"), "--key", "waits").strip() == waits
        cluster.kill_worker("w0")
        cluster.start_worker("w1")  # it has not served what was lost
        job = cluster.submit(cluster.mlp("trained", steps=40), f"checkpoint.resume={saved}", f"checkpoint.dir={cluster.dir}/on")
        assert job == "11" and cluster.wait_done(job)["step"] == 40
        cluster.muster("ledger", "verify", job)


def kill_compactions(cluster, path, most):
    """In every part of it, until 20 have died; the database is sound after each."""
    deaths = 0
    for number in range(most):
        process = cluster.spawn("killed", "muster", "admin", "compact", "--dir", state(cluster), "--history-days", "0")
        time.sleep(0.001 * (number % 40))
        process.kill()
        deaths += process.wait() < 0
        assert check(cluster, path)[0] == 0
        if deaths >= 20:
            break


def forgotten_killed():
    """kill -9 in the middle of letting rows of forgotten jobs go: all that is remembered says what it said, before and after"""
    with Cluster() as cluster:
        path = os.path.join(state(cluster), "muster.db")
        spec = cluster.mlp(workers=(8, 8))
        for number in range(60):
            job = cluster.submit(spec)
            if number % 10:
                cluster.muster("cancel", job)
        cluster.kill_coordinator()
        cluster.start_coordinator("--history-days", "0", "--keep-jobs", "5")
        wait_for("jobs are forgotten", lambda: len(cluster.jobs()) == 6 + 5)
        before = [(job["id"], job["state"]) for job in cluster.jobs()]
        cluster.kill_coordinator()
        kill_compactions(cluster, path, 200)
        cluster.muster("admin", "compact", "--dir", state(cluster), "--history-days", "0")
        assert query(path, "SELECT count (*) FROM journal WHERE type <> 1")[0][0] <= 6 + 2 * 5 + 6
        assert check(cluster, path)[0] == 0
        cluster.start_coordinator()
        assert [(job["id"], job["state"]) for job in cluster.jobs()] == before
        assert cluster.submit(spec) == "61"


def compact_killed():
    """kill -9 and full disks in the middle of compact: the database says the same as before, folded or not"""
    with Cluster() as cluster:
        path = from_golden(cluster)
        cluster.start_coordinator()
        before = said_of(cluster, ENDED + (PAUSED,))
        cluster.kill_coordinator()
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=DELETE")
        database.close()
        whole = open(path, "rb").read()
        muster = os.path.join(os.environ.get("top_builddir", os.getcwd()), "muster")
        kill_compactions(cluster, path, 1000)
        for blocks in (1, 16, 64, 100):
            for name in os.listdir(state(cluster)):
                if name.startswith("muster.db"):
                    os.remove(os.path.join(state(cluster), name))
            with open(path, "wb") as file:
                file.write(whole)
            process = cluster.spawn("limited", "/bin/sh", "-c", f"trap '' XFSZ; ulimit -f {blocks}; exec {muster} admin compact "
                                    f"--history-days 0 --dir {state(cluster)}")
            process.wait(30)
            code, found = check(cluster, path)
            assert code == 0, (blocks, found)
        cluster.start_coordinator()
        assert said_of(cluster, ENDED + (PAUSED,)) == before


def each_type():
    """one row of any type of record is damaged: it is set aside and reported, and all that does not rest on it starts"""
    with open(os.path.join(SOURCE, "schemas", "journal.schema"), encoding="utf-8") as file:
        types = [int(line.split()[2]) for line in file if line.startswith("record ")]
    with Cluster() as cluster:
        for kind in types:
            path = from_golden(cluster)
            change(path, f"UPDATE journal SET body = x'93' WHERE number = (SELECT max (number) FROM journal WHERE type = {kind})")
            change(path, f"UPDATE progress SET body = x'93' WHERE number = (SELECT max (number) FROM progress WHERE type = {kind})")
            change(path, f"INSERT INTO journal VALUES (100000, {kind}, 1, 0, x'01')")
            cluster.start_coordinator()
            code, found = check(cluster, path)
            assert code in (65, 100) and found["set_aside"] >= 1, (kind, found)  # 65: a seal tells that one lacks
            numbers = [row[0] for row in query(path, "SELECT number FROM bad_record")]
            assert 100000 in numbers, (kind, numbers)
            assert all("cannot be read" not in text and "contradicts" not in text for text in found["findings"]), (kind, found)
            with open(os.path.join(cluster.dir, "coordinator.log"), encoding="utf-8") as log:
                assert "bad_record" in log.read(), kind
            assert len(cluster.json("jobs")) >= 1 and cluster.submit(cluster.mlp(workers=(8, 8))), kind


def left_behind(cluster, names):
    """Jobs of these names, all waiting but the fourth, in the database of a coordinator that is dead; their job file, and it."""
    spec = cluster.mlp(workers=(8, 8))
    for name in names:
        cluster.submit(spec, f"name={name}")
    cluster.muster("cancel", "4")
    cluster.kill_coordinator()
    return spec, os.path.join(state(cluster), "muster.db")


def one_of_many():
    """the record of one job's submission is damaged: the job has failed and says so, those behind it are what they were, and no number is given twice"""
    with Cluster() as cluster:
        spec, path = left_behind(cluster, "abcde")
        change(path, "UPDATE journal SET body = x'93' WHERE type = 2 AND job IN (1, 3)")
        code, found = check(cluster, path)
        assert code == 65 and any(text.startswith("job 3: ") for text in found["findings"]), found
        cluster.start_coordinator()
        assert [job["state"] for job in cluster.jobs()] == ["failed", "pending", "failed", "cancelled", "pending"], cluster.jobs()
        assert [job["name"] for job in cluster.jobs()] == ["lost", "b", "lost", "d", "e"], cluster.jobs()
        assert "could not be read" in cluster.status("3")["reason"]
        assert cluster.try_muster("resume", "3").returncode != 0 and cluster.try_muster("ledger", "verify", "3").returncode != 0
        assert cluster.submit(spec, "name=f") == "6"
        code, found = check(cluster, path)
        assert code == 100 and found["set_aside"] == 2, found
        cluster.kill_coordinator()
        change(path, "DELETE FROM job WHERE job IN (2, 5)")
        assert check(cluster, path)[0] == 65
        cluster.muster("admin", "compact", "--dir", state(cluster), "--history-days", "0")
        assert check(cluster, path)[0] == 100
        assert query(path, "SELECT name, state FROM job") == [("b", "pending"), ("d", "cancelled"), ("e", "pending"), ("f", "pending")]
        cluster.start_coordinator()
        assert [job["name"] for job in cluster.jobs()] == ["lost", "b", "lost", "d", "e", "f"], cluster.jobs()


def the_newest():
    """the records of the newest jobs' submissions are damaged: they have failed, no number is given twice, and a recording of that start is played"""
    with Cluster() as cluster:
        spec, path = left_behind(cluster, "abcd")
        change(path, "UPDATE journal SET body = x'93' WHERE type = 2 AND job IN (2, 4)")
        change(path, "UPDATE journal SET body = (SELECT body FROM journal WHERE type = 2 AND job = 1) WHERE type = 2 AND job = 3")
        recordings = os.path.join(cluster.dir, "recordings")
        cluster.start_coordinator("--record", recordings)
        for _ in range(2):
            jobs = [(job["name"], job["state"]) for job in cluster.jobs()]
            assert jobs == [("a", "pending"), *[("lost", "failed")] * 3], jobs
            assert "could not be read" in cluster.status("4")["reason"]
            cluster.coordinator.terminate()
            assert cluster.coordinator.wait(30) == 0
            cluster.start_coordinator()
        assert cluster.submit(spec, "name=e") == "5"
        code, found = check(cluster, path)
        assert code == 100 and found["jobs"] == 5, found
        played = subprocess.run([os.path.join(BUILD, "muster-replay"), os.path.join(recordings, sorted(os.listdir(recordings))[0])],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert played.returncode == 0 and "lost" in played.stdout, played


def one_bit_of_one():
    """one bit of one job's submission is another, and makes it another job's: that one has failed, and no other's record is lost"""
    with Cluster() as cluster:
        path = from_golden(cluster, 6)
        cluster.start_coordinator()
        names = [job["name"] for job in cluster.jobs()]
        cluster.kill_coordinator()
        body, = query(path, "SELECT body FROM journal WHERE type = 2 AND job = 2")[0]
        at = body.index(b"\x01\x02", 4) + 1  # the value of its first field
        altered = body[:at] + bytes([body[at] ^ 64]) + body[at + 1:]
        change(path, f"UPDATE journal SET body = x'{altered.hex()}' WHERE type = 2 AND job = 2")
        code, found = check(cluster, path)
        assert code == 65 and any("its columns type and job" in text for text in found["findings"]), found
        assert all("of job 2" in text for text in found["findings"] if "contradicts" in text), found
        cluster.start_coordinator()
        assert [job["name"] for job in cluster.jobs()] == [names[0], "lost", *names[2:]], cluster.jobs()
        assert {row[0] for row in query(path, "SELECT job FROM record")} == {0, 1, 3, 4, 5, 6}


def set_aside(cluster):
    cluster.submit(cluster.mlp(workers=(8, 8)))
    cluster.kill_coordinator()
    path = os.path.join(state(cluster), "muster.db")
    change(path, "UPDATE journal SET body = x'93' WHERE type = 2")
    assert check(cluster, path)[0] == 65
    cluster.start_coordinator()
    code, found = check(cluster, path)  # the table job no longer tells of it
    assert code == 100 and found["sound"] and found["set_aside"] == 1, found
    file = os.path.join(cluster.dir, "aside.db")
    assert cluster.try_muster("admin", "backup", "--dir", state(cluster), file).returncode == 100
    assert check(cluster, file)[0] == 100


if __name__ == "__main__":
    sys.exit(Tap().run(golden, downgrade, backups, restored, pruned_since, old_workers, killed, mistakes, no_room, damaged, each_type, one_of_many, the_newest, one_bit_of_one, compacted,
                       folded_meanwhile, clock_ahead, forgotten, forgotten_killed, compact_killed))
