#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_standby.py - the coordinator that reigns dies, stands still, loses its disk; another takes its place"""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import PATIENT, Tap, free_port, wait_for  # noqa: E402
from crew import Crew  # noqa: E402
from test_bad_input import Tmpfs  # noqa: E402

STEPS = {"steps": 100_000, "every": 100, "workers": (1, 3), "batch": 8}


class Court(Crew):
    """Of coordinators alone it is told who is lost: workers are in no hurry to be."""

    def __init__(self, workers=0, coordinator_options=(), **keywords):
        super().__init__(workers, coordinator_options=(*PATIENT, *coordinator_options), **keywords)


def training(cluster):
    """A job that has done some steps."""
    job = cluster.submit(cluster.gpt(**STEPS))
    cluster.wait_step(job, 10)
    return job


def all_train(cluster, workers):
    """The same with all workers, and its generation."""
    job = training(cluster)
    return job, cluster.wait_members(job, workers)["generation"]


def undisturbed(cluster, job, generation):
    status = cluster.status(job)
    assert status["generation"] == generation and status["restarts"] == 0, status


def next_leader(cluster, old):
    return wait_for(f"another than {old} reigns", lambda: (now := cluster.leader()) and now != old and now, 60)


def leaders_die():
    """the leader is killed three times, in turn with the one that took its place: no step is disturbed, the bits are the same"""
    with Court(3) as cluster:
        job, generation = all_train(cluster, 3)
        for _ in range(3):
            old = cluster.reigning()
            cluster.kill(old)
            before = cluster.status(job)["step"]  # the client finds the other by itself
            assert next_leader(cluster, old)
            cluster.wait_step(job, before + 20)
            undisturbed(cluster, job, generation)
            cluster.start(old)
            cluster.wait_in_sync(2)
        cluster.same_as_calm(job, **STEPS)


def leader_stands_still():
    """the leader is stopped, another reigns; when it wakes it acknowledges nothing more, and follows"""
    with Court(2) as cluster:
        job = training(cluster)
        old = cluster.reigning()
        cluster.wait_in_sync(2)
        os.kill(cluster.processes[old].pid, signal.SIGSTOP)
        new = next_leader_of_stopped(cluster, old)
        second = cluster.ask(new, "submit", cluster.gpt("second", **STEPS))
        assert second.returncode == 0, second.stderr
        os.kill(cluster.processes[old].pid, signal.SIGCONT)
        third = cluster.ask(old, "submit", cluster.gpt("third", **STEPS))
        assert third.returncode in (69, 75), f"a deposed leader acknowledges: {third.stdout} {third.stderr}"
        wait_for("it knows that it was deposed", lambda: any(e["event"] == "deposed" for e in cluster.events(old)))
        cluster.wait_in_sync(2)
        names = [j["name"] for j in cluster.json("jobs")]
        assert names.count("second") == 1 and names.count("third") <= 1, names
        assert cluster.leader() == new


def next_leader_of_stopped(cluster, old):
    others = [name for name in cluster.names if name != old]
    return wait_for("another reigns", lambda: next((name for name in others if cluster.ask(name, "drain", "nobody").returncode == 102), None))


def standby_loses_its_disk():
    """a standby dies, its disk is lost, the leader goes on alone; the new one gets everything and then takes its place"""
    with Court(1) as cluster:
        job = training(cluster)
        leader = cluster.reigning()
        other = cluster.other(leader)
        cluster.kill(other)
        alone = cluster.ask(leader, "submit", cluster.mlp("alone", steps=100_000))
        assert alone.returncode == 0, alone.stderr
        cluster.wait_in_sync(1)
        shutil.rmtree(os.path.join(cluster.dir, f"state-{other}"))
        cluster.start(other)
        cluster.wait_in_sync(2)
        assert "alone" in cluster.ask(other, "jobs").stdout, "the standby does not know the job"
        logs = cluster.ask(other, "logs", job)  # they lie where the workers told them
        assert logs.returncode == 75 and cluster.endpoints[leader] in logs.stderr, logs.stderr
        assert cluster.ask(leader, "logs", job).stdout
        cluster.kill(leader)
        assert next_leader(cluster, leader) == other
        assert [j["name"] for j in cluster.json("jobs")].count("alone") == 1
        shutil.rmtree(os.path.join(cluster.dir, f"state-{leader}"))
        cluster.start(leader, "--standby")
        cluster.wait_in_sync(2)


def stored(cluster, name):
    return os.path.join(cluster.dir, f"state-{name}")


@contextlib.contextmanager
def on_small_disk(cluster, name):
    """Its database is lost, and it follows again on one that can be filled."""
    cluster.kill(name)
    leader = cluster.other(name)
    before = len(cluster.events(leader))  # the one that was killed may still be in sync
    shutil.rmtree(stored(cluster, name))
    with Tmpfs(stored(cluster, name), "64m") as disk:
        cluster.start(name, "--standby")
        wait_for("it is in sync again", lambda: any(e["event"] == "in_sync" for e in cluster.events(leader)[before:]))
        yield disk
        cluster.kill(name)


def standby_disk_is_full():
    """a standby's disk is full: it is waited for no more, however often it tries again, which is told once; with room it is in sync"""
    with Court(1, coordinator_options=("--log-level", "debug")) as cluster:
        job = training(cluster)
        leader = cluster.reigning()
        other = cluster.other(leader)
        with on_small_disk(cluster, other) as disk:
            filler = disk.fill()
            spec = cluster.mlp("on", steps=100_000)
            submitted = 0

            def falls_behind():
                nonlocal submitted
                asked = cluster.ask(leader, "submit", spec)
                assert asked.returncode == 0, f"who cannot store is waited for: {asked.stderr}"
                submitted += 1
                return any(e["event"] == "store_failed" for e in cluster.events(other))
            wait_for("the standby falls behind", falls_behind)
            before = len(cluster.events(leader))

            def asks():
                return [e["level"] for e in cluster.events(leader)[before:] if e["event"] == "followed"]
            wait_for("it asks again and again", lambda: falls_behind() and len(asks()) >= 4)
            assert asks().count("info") <= 1, asks()
            assert "muster_store_stuck 1" in cluster.ask(other, "metrics").stdout
            assert cluster.in_sync() == 1
            cluster.wait_step(job, cluster.status(job)["step"] + 20)
            os.remove(filler)
            cluster.wait_in_sync(2)
            assert any(e["event"] == "store_works" for e in cluster.events(other))
            assert "muster_store_stuck 0" in cluster.ask(other, "metrics").stdout
            cluster.kill(leader)
            assert next_leader(cluster, leader) == other
            assert len(cluster.json("jobs")) == submitted + 1


def register_is_full():
    """nothing can be swapped into the register, which can be read: said once, and once when it is over; what waits for it is done then"""
    with Court(0) as cluster:
        cluster.kill(*cluster.names)
        folder = os.path.join(cluster.dir, "register")
        kept = shutil.copytree(folder, folder + "-kept")
        shutil.rmtree(folder)
        with Tmpfs(folder, "1m") as disk:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            for name in cluster.names:
                cluster.start(name)
            wait_for("it reigns", cluster.leader, 60)
            cluster.wait_in_sync(2)
            leader = cluster.reigning()
            before = len(cluster.events(leader))
            filler = disk.fill()
            cluster.kill(cluster.other(leader))
            spec = cluster.mlp("waits", steps=100_000)
            waits = cluster.ask(leader, "submit", spec, "--key", "waits", patience_s=3)
            assert waits.returncode == 69, f"who is in sync is waited for: {waits.returncode} {waits.stderr}"
            for question in ("coordinators", "metrics"):
                run = cluster.ask(leader, question)
                assert run.returncode == 0 and run.stdout, f"{question} of one that waits: {run.returncode} {run.stderr}"
            os.remove(filler)
            assert cluster.try_muster("submit", spec, "--key", "waits").returncode == 0
            told = [e["event"] for e in cluster.events(leader)[before:] if e["event"].startswith("register")]
            assert told == ["register_away", "register_back"], told
            assert len(cluster.json("jobs")) == 1
            cluster.kill(*cluster.names)


def leader_disk_is_full():
    """the leader's disk is full and the standby's is not: it hands over, nothing acknowledged is lost, and it follows when there is room"""
    with Court(1) as cluster:
        job, generation = all_train(cluster, 1)
        first = cluster.reigning()
        leader = cluster.other(first)
        with on_small_disk(cluster, leader) as disk:
            cluster.kill(first)
            assert next_leader(cluster, first) == leader
            cluster.start(first)
            cluster.wait_in_sync(2)
            filler = disk.fill()
            spec, acknowledged = cluster.mlp("on", steps=100_000), 0
            while not any(e["event"] == "store_failed" for e in cluster.events(leader)):
                acknowledged += cluster.ask(leader, "submit", spec, "--key", f"on-{acknowledged}").returncode == 0
            assert next_leader(cluster, leader) == first
            assert cluster.try_muster("submit", spec, "--key", f"on-{acknowledged}").returncode == 0
            assert len(cluster.json("jobs")) == acknowledged + 2
            cluster.wait_step(job, cluster.status(job)["step"] + 20)
            undisturbed(cluster, job, generation)
            os.remove(filler)
            cluster.wait_in_sync(2)
            assert cluster.leader() == first and cluster.processes[leader].poll() is None


def both_die():
    """both are killed, and come back in either order: who is in sync reigns, the job goes on"""
    with Court(2) as cluster:
        job = training(cluster)
        generation = cluster.status(job)["generation"]
        for first in ("b", "a"):
            cluster.kill(*cluster.names)
            cluster.start(first)
            wait_for("it reigns", lambda: cluster.leader() == first, 60)
            cluster.start(cluster.other(first))
            cluster.wait_in_sync(2)
        cluster.wait_step(job, cluster.status(job)["step"] + 20)
        undisturbed(cluster, job, generation)
        cluster.same_as_calm(job, **STEPS)


def majority_with_witness():
    """two coordinators and a witness: with two of three votes there is a leader, with one nobody takes over; a copy of the witness does not vote"""
    with Court(1, register="majority", witnesses=("w",)) as cluster:
        job = training(cluster)
        old = cluster.reigning()
        cluster.kill(old)
        new = next_leader(cluster, old)
        cluster.start(old)
        cluster.wait_in_sync(2)
        before = len(cluster.events(old))
        cluster.kill("w", new)
        wait_for("the one that is left cannot reach a majority",
                 lambda: any(e["event"] == "register_away" for e in cluster.events(old)[before:]))
        assert cluster.leader() is None
        copy = os.path.join(cluster.dir, "copy-of-w")
        shutil.copytree(stored(cluster, "w"), copy)
        process = cluster.spawn("copy", "muster-coordinator", "--witness", "--dir", copy, "--peer-listen", cluster.peer_endpoints["w"])
        refuses(cluster, process, "copied or moved", "remove it")
        cluster.start("w")
        wait_for("it reigns", lambda: cluster.leader() == old, 60)
        cluster.wait_step(job, cluster.status(job)["step"] + 10)


class Patient(Court):
    """Nobody is thought lost in the time of a test: what goes on without a wait, goes on for another reason."""

    peer_lost_ms = 60_000


class Submitter(threading.Thread):
    """Submits one job after the other, each known by its name; keeps the names of those that were acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.acknowledged, self.failed, self.over = cluster, [], [], False
        self.spec = cluster.gpt("many", workers=(200, 200), batch=400)
        self.start()

    def run(self):
        number = 0
        while not self.over:
            number += 1
            run = self.cluster.try_muster("--timeout", "60", "submit", self.spec, "--set", f"name=many-{number}", limit_s=90)
            (self.failed if run.returncode else self.acknowledged).append(f"many-{number}")

    def end(self):
        self.over = True
        self.join()
        return self.acknowledged


def stop(cluster, name):
    cluster.processes[name].send_signal(signal.SIGTERM)
    assert cluster.processes[name].wait(60) == 0, f"{name} ends with {cluster.processes[name].returncode}"


def hands_over():
    """the leader is told to stop, twice, under submits: the other reigns long before a leader is thought lost, nothing acknowledged lacks, no step is disturbed"""
    with Patient(2) as cluster:
        job, generation = all_train(cluster, 2)
        submitter = Submitter(cluster)
        for _ in range(2):
            old, before = cluster.reigning(), len(submitter.acknowledged)
            wait_for("submits are acknowledged", lambda before=before: len(submitter.acknowledged) > before + 3)
            stop(cluster, old)
            told = [event["event"] for event in cluster.events(old)][-3:]
            assert "handed_over" in told, told
            assert next_leader(cluster, old)
            after = len(submitter.acknowledged)
            wait_for("the other acknowledges submits", lambda after=after: len(submitter.acknowledged) > after + 3)
            cluster.start(old)
            cluster.wait_in_sync(2)
        acknowledged = submitter.end()
        assert not submitter.failed, submitter.failed
        names = [j["name"] for j in cluster.json("jobs")]
        assert all(names.count(name) == 1 for name in acknowledged), "an acknowledged submit is not there once"
        undisturbed(cluster, job, generation)
        cluster.same_as_calm(job, **STEPS)


def standby_is_told_to_stop():
    """a standby that is told to stop says so: promises do not wait for it"""
    with Patient(0) as cluster:
        leader = cluster.reigning()
        other = cluster.other(leader)
        stop(cluster, other)
        alone = cluster.ask(leader, "submit", cluster.mlp("alone", steps=100_000))
        assert alone.returncode == 0, alone.stderr
        cluster.start(other)
        cluster.wait_in_sync(2)


class Slow(Court):
    """Time enough to do things before somebody is thought lost."""

    peer_lost_ms = 15_000


def async_loses_only_answers():
    """clients do not wait for a standby that stands still; when it takes over without what it never got, the submit is lost, which is said; training is not disturbed"""
    spec = {"steps": 100_000, "every": 250}
    with Slow(2, coordinator_options=("--standby-mode", "async")) as cluster:
        job = cluster.submit(cluster.gpt(workers=(1, 3), **spec), "window=16")
        generation = cluster.wait_members(job, 2)["generation"]
        leader = cluster.reigning()
        other = cluster.other(leader)
        kept = cluster.submit(cluster.gpt("kept", workers=(200, 200), batch=400))
        calm = wait_for("all is confirmed", lambda: (c := coordinators(cluster)[leader]) and c["behind"] == 0 and c)
        assert calm["in_sync"] == 1 and calm["ahead_ms"] == Slow.peer_lost_ms, calm
        os.kill(cluster.processes[other].pid, signal.SIGSTOP)
        wait_for("more turns wait than are kept apart", lambda: coordinators(cluster)[leader]["behind"] >= 50)
        lost = cluster.ask(leader, "submit", cluster.gpt("lost", workers=(200, 200), batch=400))
        assert lost.returncode == 0, lost.stderr
        assert coordinators(cluster)[leader]["behind"] > 0
        cluster.kill(leader, other)  # and what lay in its connection
        cluster.start(other)
        wait_for("it reigns", lambda: cluster.leader() == other, 60)
        assert [j["id"] for j in cluster.json("jobs")] == [int(job), int(kept)], "a submit that was not lost"
        events = map(json.loads, cluster.muster("-o", "json", "events").splitlines())
        reigns = [event for event in events if event["event"] == "REIGN"]
        assert reigns[-1]["lacks_ms"] == Slow.peer_lost_ms and "may be missing" in reigns[-1]["text"], reigns
        cluster.start(leader)
        cluster.wait_in_sync(2)
        cluster.wait_step(job, cluster.status(job)["step"] + 20)
        undisturbed(cluster, job, generation)
        cluster.same_as_calm(job, **spec)


def coordinators(cluster):
    """What `muster coordinators` says of each, by name."""
    said = {c["coordinator"]: c for c in cluster.json("--timeout", "1", "coordinators")}
    return {name: said[cluster.endpoints[name]] for name in cluster.names}


def fold_now(cluster, name):
    """A coordinator looks seconds after it has begun what there is to fold: it is started again for that."""
    before = len(cluster.events(name))
    cluster.kill(name)
    cluster.start(name)
    wait_for(f"{name} has folded", lambda: any(e["event"] == "folded" for e in cluster.events(name)[before:]), 60)


def folds_while_leading():
    """with a register, leader and standby each fold what ended; one that lacks what was folded meanwhile gets everything anew"""
    with Court(1, coordinator_options=("--history-days", "0")) as cluster:
        leader = cluster.reigning()
        other = cluster.other(leader)
        cluster.wait_done(cluster.submit(cluster.mlp("first", steps=40)))
        fold_now(cluster, other)
        cluster.wait_in_sync(2)
        job = cluster.submit(cluster.gpt("second", **STEPS))
        cluster.wait_step(job, 10)
        cluster.kill(other)  # it has a part of this job's rows
        cluster.wait_in_sync(1)
        cluster.muster("cancel", job)
        before = cluster.wait_end(job)
        fold_now(cluster, leader)
        cluster.start(other)
        cluster.wait_in_sync(2)
        cluster.kill(leader)
        assert next_leader(cluster, leader) == other
        after = cluster.status(job)
        assert all(after[key] == before[key] for key in ("state", "generation", "restarts", "weights_step")), (before, after)
        assert not [e for e in cluster.events(other) if e["event"] in ("bad_record", "not_folded")]
        for name in cluster.names:
            check = cluster.try_muster("admin", "check", "--dir", os.path.join(cluster.dir, f"state-{name}"))
            assert check.returncode == 0, check.stdout + check.stderr


def rows_left(cluster, name):
    with contextlib.closing(sqlite3.connect(f"file:{stored(cluster, name)}/muster.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count (*) FROM record WHERE type <> 1").fetchone()[0]


def all_said(cluster):
    return sorted((job["id"], job["name"], job["state"]) for job in cluster.jobs())


def forgets_while_killed():
    """jobs that ended are forgotten while leader and standby are killed in turn: no number is given twice, what waits and the newest stay"""
    keep = 20
    with Crew(0, coordinator_options=("--history-days", "0", "--keep-jobs", str(keep))) as cluster:
        spec = cluster.mlp("job", workers=(8, 8))
        live, numbers = cluster.muster("submit", spec, "--key", "live").strip(), []

        def end_jobs(count):
            for _ in range(count):
                numbers.append(cluster.submit(spec))
                cluster.muster("cancel", numbers[-1])

        for number in range(6):
            thread = threading.Thread(target=end_jobs, args=(40,))
            thread.start()
            wait_for("some have ended", lambda: len(numbers) >= 40 * number + 5 + 5 * number)
            leader = cluster.leader()
            victims = [leader] if number % 3 == 0 else [cluster.other(leader)] if number % 3 == 1 else cluster.names
            for victim in victims:
                cluster.kill(victim)
            for victim in victims:
                cluster.start(victim)
            thread.join()
            cluster.wait_in_sync(2)
        assert [int(job) for job in numbers] == list(range(2, 2 + len(numbers))), numbers
        assert cluster.muster("submit", spec, "--key", "live").strip() == live
        said = all_said(cluster)
        assert (int(live), "job", "pending") in said and said[-keep:] == [(int(job), "job", "cancelled") for job in numbers[-keep:]], said
        assert len(said) <= keep + 3, said
        gone = cluster.try_muster("status", numbers[0])
        assert gone.returncode == 102 and "is forgotten" in gone.stderr, gone
        for name in cluster.names:  # each lets rows go by itself, seconds after its start, and the other leads meanwhile
            cluster.kill(name)
            cluster.start(name)
            cluster.wait_in_sync(2)
            wait_for("rows of the forgotten are gone", lambda: rows_left(cluster, name) <= 2 * keep + 10)  # pylint: disable=cell-var-from-loop
            assert all_said(cluster) == said
        assert not [e for name in cluster.names for e in cluster.events(name) if e["event"] in ("bad_record", "not_folded")]
        for name in cluster.names:
            check = cluster.try_muster("admin", "check", "--dir", os.path.join(cluster.dir, f"state-{name}"))
            assert check.returncode == 0, check.stdout + check.stderr


def start_beside(cluster, name, snapshot):
    """A copy of its folder as it is now, at other ports. snapshot: as one of the whole disk, in which each file is the same one."""
    folder = os.path.join(cluster.dir, f"copy-of-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stored(cluster, name), folder)
    if snapshot:
        with contextlib.closing(sqlite3.connect(os.path.join(folder, "muster.db"))) as database:
            database.execute("UPDATE about SET inode = 0")
            database.commit()

    def start():
        return cluster.spawn("copy", "muster-coordinator", "--dir", folder, "--listen", f"tcp://127.0.0.1:{free_port()}", "--peer-listen",
                             f"tcp://127.0.0.1:{free_port()}", "--peer-lost-ms", str(cluster.peer_lost_ms), *cluster.register_options())
    return start


def refuses(cluster, process, *words):
    assert process.wait(30) == 65, f"a copy ends with {process.returncode}"
    with open(os.path.join(cluster.dir, "copy.log"), encoding="utf-8") as log:
        last = log.read().splitlines()[-1]
    assert all(word in last for word in words), last


def copies_do_not_reign():
    """a folder is copied while its coordinator works, and started elsewhere: it ends with a sentence, whoever lives; nothing acknowledged is lost"""
    for register, witnesses in (("file", ()), ("majority", ("w",))):
        with Court(0, register=register, witnesses=witnesses) as cluster:
            spec = cluster.gpt("before", workers=(200, 200), batch=400)
            cluster.submit(spec)
            leader = cluster.reigning()
            starts = [start_beside(cluster, name, snapshot=False) for name in cluster.names]
            cluster.submit(spec, "name=after")
            term = cluster.told_in_sync(leader)[0]
            for start in starts:
                refuses(cluster, start(), "copied or moved", "empty --dir")
            assert cluster.leader() == leader and cluster.told_in_sync(leader)[0] == term
            cluster.kill(*cluster.names)
            for start in starts:
                refuses(cluster, start(), "copied or moved")
            cluster.start(leader)
            wait_for("it reigns", lambda: cluster.leader() == leader, 60)
            assert sorted(j["name"] for j in cluster.json("jobs")) == ["after", "before"]


def snapshots_ask_first():
    """a disk's snapshot is started elsewhere beside its leader: it asks there first, and ends; when nobody answers there, it is the leader with another address"""
    with Court(0) as cluster:
        spec = cluster.gpt("before", workers=(200, 200), batch=400)
        cluster.submit(spec)
        leader = cluster.reigning()
        start = start_beside(cluster, leader, snapshot=True)
        cluster.submit(spec, "name=after")
        term = cluster.told_in_sync(leader)[0]
        refuses(cluster, start(), "lives at", cluster.peer_endpoints[leader])
        cluster.submit(spec, "name=last")
        assert cluster.leader() == leader and cluster.told_in_sync(leader)[0] == term
        cluster.wait_in_sync(2)
        cluster.kill(cluster.other(leader), leader)
        start = start_beside(cluster, leader, snapshot=True)
        cluster.endpoints[leader], cluster.peer_endpoints[leader] = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        cluster.start(leader)
        wait_for("it reigns at its new address", lambda: cluster.leader() == leader, 60)
        refuses(cluster, start(), "lives at", cluster.peer_endpoints[leader])
        assert sorted(j["name"] for j in cluster.json("jobs")) == ["after", "before", "last"]


def standbys_snapshot_is_sent_away():
    """a snapshot of a standby's disk is started beside it: it is sent away, promises go on, and the original takes over with all"""
    with Court(0) as cluster:
        spec = cluster.gpt("before", workers=(200, 200), batch=400)
        cluster.submit(spec)
        leader = cluster.reigning()
        other = cluster.other(leader)
        start = start_beside(cluster, other, snapshot=True)
        cluster.submit(spec, "name=since")
        snapshot = start()
        number = 0
        while snapshot.poll() is None:
            number += 1
            cluster.submit(spec, f"name=beside-{number}")
        refuses(cluster, snapshot, "has this database's id", "empty --dir")
        assert any(e["event"] == "started_twice" for e in cluster.events(leader))
        cluster.wait_in_sync(2)
        cluster.submit(spec, "name=last")
        cluster.kill(leader)
        assert next_leader(cluster, leader) == other
        assert [name for _, name in names_at(cluster, other)] == ["before", "since", *(f"beside-{i + 1}" for i in range(number)), "last"]


def register_goes_back():
    """an older state of the register is put back: who reigns goes on and says so; who is started refuses it, until told to take over"""
    with Court(0) as cluster:
        spec = cluster.mlp("one", steps=100_000)
        first = cluster.reigning()
        second = cluster.other(first)
        folder = os.path.join(cluster.dir, "register")
        shutil.copytree(folder, folder + "-old")
        cluster.kill(first)
        assert next_leader(cluster, first) == second
        cluster.wait_in_sync(1)
        assert cluster.ask(second, "submit", spec).returncode == 0
        before = len(cluster.events(second))
        os.rename(folder, folder + "-lost")
        wait_for("it is away", lambda: any(e["event"] == "register_away" for e in cluster.events(second)[before:]))
        shutil.copytree(folder + "-old", folder)
        wait_for("it is noticed", lambda: any("went back" in e["text"] for e in cluster.events(second)))
        assert cluster.ask(second, "submit", spec).returncode == 0 and cluster.leader() == second
        cluster.kill(second)
        cluster.start(second)
        assert cluster.processes[second].wait(30) == 65 and "older than this database" in cluster.events(second)[-1]["text"]
        cluster.start(second, "--take-over")
        wait_for("it reigns", lambda: cluster.leader() == second, 60)
        cluster.start(first)
        cluster.wait_in_sync(2)
        assert len(names_at(cluster, first)) == 2


def damage_submit(cluster, name, job):
    """A row of its stopped journal cannot be read."""
    with contextlib.closing(sqlite3.connect(os.path.join(stored(cluster, name), "muster.db"))) as database, database:
        number, = database.execute("SELECT min(number) FROM journal WHERE job = ?", (job,)).fetchone()
        assert database.execute("UPDATE journal SET body = x'c1' WHERE number = ?", (number,)).rowcount == 1


def names_at(cluster, name):
    return [(j["id"], j["name"]) for j in json.loads(cluster.ask(name, "-o", "json", "jobs").stdout)]


def damaged_rows_are_got_back():
    """a row of the leader's is damaged: who has it reigns and gives it back; where nobody comes who has it, the rest goes on, and all agree"""
    with Court(0) as cluster:
        spec = cluster.gpt("one", workers=(200, 200), batch=400)
        for name in ("one", "two"):
            cluster.submit(spec, f"name={name}")
        old = cluster.reigning()
        new = cluster.other(old)
        cluster.kill(old)
        damage_submit(cluster, old, 2)
        cluster.start(old)
        assert next_leader(cluster, old) == new
        cluster.wait_in_sync(2)
        cluster.submit(spec, "name=three")
        assert names_at(cluster, old) == names_at(cluster, new) == [(1, "one"), (2, "two"), (3, "three")]
        checked = cluster.try_muster("admin", "check", os.path.join(stored(cluster, old), "muster.db"))
        assert checked.returncode == 0, checked.stderr
        cluster.kill(new, old)
        damage_submit(cluster, new, 3)
        cluster.start(new)
        wait_for("it goes on with the rest", lambda: cluster.leader() == new, 60)
        cluster.start(old)
        cluster.wait_in_sync(2)
        cluster.submit(spec, "name=four")
        assert names_at(cluster, old) == names_at(cluster, new) == [(1, "one"), (2, "two"), (3, "lost"), (4, "four")]


def takes_over_without_what_is_lost():
    """who was not in sync takes over as it is told to: workers that know of what it lacks end, and say why; new ones go on from what it has"""
    with Court(1) as cluster:
        job = cluster.submit(cluster.gpt(**STEPS), "checkpoint.keep=1000")
        wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"] >= 100)
        old = cluster.reigning()
        new = cluster.other(old)
        cluster.kill(new)
        wait_for("it is out", lambda: cluster.registered_in_sync() == 1)
        for name in ("w1", "w2"):  # what they say at first waits in the line to the dead one
            cluster.start_worker(name)
        cluster.wait_members(job, 3)
        cluster.wait_step(job, cluster.status(job)["step"] + 50)
        cluster.kill(old)
        cluster.start(new, "--take-over")
        for name, worker in cluster.workers.items():
            assert worker.wait(30) == 65 and cluster.says(name, "--take-over was said", "start it anew"), name
        assert any(e["event"] == "reign" and "without what is lost" in e["text"] for e in cluster.events(new))
        cluster.start_worker("w0")
        cluster.wait_step(job, cluster.status(job)["step"] + 50)
        shutil.rmtree(stored(cluster, old))
        cluster.start(old)
        cluster.wait_in_sync(2)
        cluster.same_as_calm(job, **STEPS)


def bad_usage():
    """a standby without a register, a register without a place to meet, addresses that nobody can be told: refused with a sentence"""
    with Court(0) as cluster:
        leader = cluster.reigning()
        other = cluster.other(leader)
        for options, word in (((), "--register"), (("--register", "file:/tmp/x"), "--peer-listen")):
            process = cluster.spawn("wrong", "muster-coordinator", "--dir", cluster.dir + "/wrong", "--standby", *options)
            assert process.wait(30) == 64
            with open(cluster.dir + "/wrong.log", encoding="utf-8") as log:
                assert word in log.read()
        for listen, peer_listen in (("tcp://*:1", "tcp://127.0.0.1:1"), ("tcp://127.0.0.1:1", "tcp://0.0.0.0:1"),
                                    ("tcp://127.0.0.1:1", "tcp://[::]:1"), ("tcp://lo:1", "tcp://127.0.0.1:1")):
            process = cluster.spawn("untold", "muster-coordinator", "--dir", cluster.dir + "/wrong", "--listen", listen, "--peer-listen",
                                    peer_listen, "--register", f"file:{cluster.dir}/register/reign", "--allow-unauthenticated")
            assert process.wait(30) == 78, (listen, peer_listen)
        process = cluster.spawn("both", "muster-coordinator", "--dir", cluster.dir + "/wrong", "--witness", "--standby")
        assert process.wait(30) == 64 and not os.path.exists(cluster.dir + "/wrong")
        refused = cluster.ask(other, "drain", "x")
        assert refused.returncode == 75 and cluster.endpoints[leader] in refused.stderr, refused.stderr


def standby_alone_answers():
    """of several that are named only a standby is there, and cannot reign: it answers, and who wants a change hears why it is not made"""
    with Court(0) as cluster:
        leader = cluster.reigning()
        cluster.wait_in_sync(2)
        other = cluster.other(leader)
        named = ("-c", "tcp://127.0.0.1:1")  # where nobody is
        known = cluster.ask(other, *named, "jobs", "-o", "json")
        assert known.returncode == 0, known.stderr
        refused = cluster.ask(other, *named, "drain", "x")
        assert refused.returncode == 75 and cluster.endpoints[leader] in refused.stderr, refused.stderr


sys.exit(Tap().run(leaders_die, leader_stands_still, standby_loses_its_disk, standby_disk_is_full, register_is_full, leader_disk_is_full, both_die, majority_with_witness, hands_over, standby_is_told_to_stop, async_loses_only_answers, folds_while_leading, forgets_while_killed, copies_do_not_reign, snapshots_ask_first, standbys_snapshot_is_sent_away, register_goes_back, damaged_rows_are_got_back, takes_over_without_what_is_lost, standby_alone_answers, bad_usage))
