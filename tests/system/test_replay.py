#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_replay.py - an incident is recorded, and played again: real processes, kill -9, full disks, other files"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import BUILD, ENDLESS, PatientCluster, Tap, wait_for  # noqa: E402

FACTS = ("id", "name", "state", "step", "steps", "generation", "workers", "workers_min", "workers_max", "restarts",
         "weights_hash", "weights_step", "checkpoint", "submitted_ms", "started_ms", "ended_ms", "micro_batches",
         "parameters", "code", "hangs", "skipped", "reason")


def replay(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return subprocess.run([os.path.join(BUILD, "muster-replay"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, env=environment, check=False)


def state_of(path, *arguments, status=0):
    run = replay("-o", "json", path, *arguments)
    assert run.returncode == status, f"{path}: exit {run.returncode}: {run.stderr}"
    return json.loads(run.stdout)


def events_of(path, *arguments):
    run = replay("-o", "json", "--show", "events", path, *arguments)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def recordings(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".rec")]


def same_facts(played, told):
    for fact in FACTS:
        key = "job" if fact == "id" else fact
        assert played[key] == told[fact], f"{fact}: {played[key]} when played, {told[fact]} was told"


class Recorded(PatientCluster):
    """A cluster whose coordinators record into a folder of its own."""

    def start_coordinator(self, *options):
        self.recordings = os.path.join(self.dir, "recordings")
        super().start_coordinator("--record", self.recordings, *options)


def incident():
    """a worker and the coordinator are killed: each reign is played, and ends in what `muster status` said"""
    with Recorded(3) as cluster:
        job = cluster.submit(cluster.gpt(workers=(1, 3), **ENDLESS))
        cluster.wait_members(job, 3)
        cluster.kill_worker("w1")
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        cluster.kill_coordinator()
        first = recordings(cluster.recordings)
        assert len(first) == 1, first
        state = state_of(first[0])
        assert state["term"] == 1 and state["difference"] == 0 and not state["stopped"]
        played = state["jobs"][0]
        assert played["generation"] >= 2 and len(played["members"]) == 2 and "w1" not in played["members"], played
        lost = [worker["name"] for worker in state["workers"] if worker["state"] == "lost"]
        assert lost == ["w1"], state["workers"]
        begin = state_of(first[0], "--until", "1")
        assert not begin["jobs"] and not begin["workers"] and begin["event"] == 1
        gone = [event for event in events_of(first[0]) if event["kind"] == "gone" and event["from"] == "w1"]
        assert len(gone) == 1, gone
        before = state_of(first[0], "--until", str(gone[0]["event"] - 1))
        assert len(before["jobs"][0]["members"]) == 3, before["jobs"]

        cluster.start_coordinator()
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        cluster.muster("cancel", job)
        told = cluster.wait_end(job)
        second = recordings(cluster.recordings)
        assert len(second) == 2 and second[0] == first[0], second
        wait_for("the end is on disk", lambda: state_of(second[1])["jobs"][0]["state"] == "cancelled")
        state = state_of(second[1], "--job", job)
        assert state["term"] == 2 and state["replayed"] > 5
        same_facts(state["jobs"][0], told)
        cluster.coordinator.terminate()
        assert cluster.coordinator.wait(30) == 0
        state = state_of(second[1])
        assert state["stopped"] and state["complete"] and not state["torn"]
        same_facts(state["jobs"][0], told)


def many_files():
    """a small limit: files follow each other, the oldest go, and the newest is played alone"""
    with Recorded(2) as cluster:
        cluster.coordinator.terminate()
        cluster.coordinator.wait(30)
        cluster.start_coordinator("--record-max", "256KiB", "--beat-ms", "10")
        job = cluster.submit(cluster.gpt(steps=100000, workers=(1, 2)))
        cluster.wait_step(job, 10)
        first = recordings(cluster.recordings)[:3]
        wait_for("the oldest have made room", lambda: not any(map(os.path.exists, first)))
        cluster.kill_worker("w0")
        wait_for("the other goes on alone", lambda: cluster.status(job)["workers"] == 1)

        def is_on_disk():  # it is written some milliseconds after it is told; a file may have just begun
            run = replay("-o", "json", recordings(cluster.recordings)[-1])
            return run.returncode == 0 and json.loads(run.stdout)["jobs"][0]["workers"] == 1

        wait_for("that is on disk", is_on_disk)
        cluster.kill_coordinator()
        for path in recordings(cluster.recordings):
            state = state_of(path)
            assert state["difference"] == 0 and state["term"] == 2, state
        newest = state_of(recordings(cluster.recordings)[-1])
        assert newest["jobs"][0]["members"] == ["w1"] or newest["jobs"][0]["workers"] == 1, newest["jobs"]
        assert sum(map(os.path.getsize, recordings(cluster.recordings))) < 2 * 2**18


def bad_recordings():
    """other files, damage and wrong words are refused with a sentence"""
    with Recorded(1) as cluster:
        cluster.coordinator.terminate()
        cluster.coordinator.wait(30)
        path = recordings(cluster.recordings)[0]
        with open(path, "rb") as file:
            data = file.read()
        for name, content, status, words in (
                ("other", b"SQLite format 3\0", 65, "no recording"), ("empty", b"", 66, "empty"),
                ("newer", data.replace(b"muster-recording 1", b"muster-recording 9", 1), 65, "newer version"),
                ("head", data[:19], 65, "nothing in it"), ("half a head", data[:18], 65, "nothing in it"),
                ("bent", data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:], 65, "damaged"),
                ("torn", data[:-5], 0, "killed")):
            file_name = os.path.join(cluster.dir, name)
            with open(file_name, "wb") as file:
                file.write(content)
            run = replay(file_name)
            assert run.returncode == status and words in run.stderr, (name, run.returncode, run.stderr)
        for arguments, status, words in (((cluster.dir,), 66, "folder"), (("/no/such/file",), 66, "/no/such/file"), ((), 64, "RECORDING"),
                                         ((path, path), 64, "also"), ((path, "--until", "later"), 64, "HH:MM:SS"),
                                         ((path, "--job", "7"), 102, "no job 7"),
                                         ((path, "--show", "events", "--from", "5", "--until", "2"), 64, "--until"),
                                         ((path, "--show", "events", "--from", "+2", "--until", "+1.5"), 64, "--until")):
            run = replay(*arguments)
            assert run.returncode == status and words in run.stderr, (arguments, run.returncode, run.stderr)
        assert "Examples:" in replay("--help").stdout
        whole = state_of(path)
        assert state_of(path, "--until", "+100000")["event"] == whole["event"]
        assert state_of(path, "--until", "+0")["event"] >= 1
        assert state_of(path, "--until", "2001-01-01T00:00:00")["event"] == 0
        assert "coordinator starts" in replay(path, "--show", "actions").stdout


def nowhere_to_record():
    """a folder that cannot be, or a full disk, costs the recording and nothing else"""
    with PatientCluster(1, "--record", "/proc/no/such/folder") as cluster:
        job = cluster.submit(cluster.gpt(steps=20, workers=(1, 1)))
        cluster.wait_done(job)
        with open(os.path.join(cluster.dir, "coordinator.log"), encoding="utf-8") as log:
            assert "goes on without a recording" in log.read()


if __name__ == "__main__":
    sys.exit(Tap().run(incident, many_files, bad_recordings, nowhere_to_record))
