#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that neither die nor work: named, ended and replaced within seconds; who is slow is left alone."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from cluster import ENDLESS, PatientCluster, Tap, children, wait_for


def submit(cluster, path, name, fault, least=1):
    """A job whose trainer misbehaves once, in one process."""
    model = f"{{fault: '{fault}', once: '{cluster.dir}/once-{name}', fifo: '{cluster.dir}/fifo'}}"
    return cluster.submit(cluster.mlp(name, steps=30, workers=(least, 2)), f"trainer={path}", f"model={model}")


def events(cluster, job, kind):
    lines = cluster.muster("-o", "json", "events", "--job", job).splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def hangs(cluster, job, count=1, limit_s=60):
    return wait_for(f"{count} hangs are noticed", lambda: (s := cluster.status(job)).get("hangs", 0) >= count and s, limit_s)


def stop(cluster, worker, program):
    found = children(cluster.workers[worker].pid, program)
    assert found, f"there is no {program}"
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    return found


def check_named(cluster, job, worker, process, phases):
    """Status, workers, events and the coordinator's log say which worker, which process, in which phase."""
    status = cluster.status(job)
    assert f"worker {worker}:" in status["hung"] and f"its {process}" in status["hung"], status
    assert any(f"phase {phase}" in status["hung"] for phase in phases), status
    shown = cluster.muster("status", job)
    assert "hung" in shown and status["hung"] in shown, shown
    told = events(cluster, job, "HUNG")[-1]
    assert told["worker"] == worker and told["text"] == status["hung"], told
    assert 0 < told["since_ms"] < told["time_ms"], told
    lines = cluster.log_lines("coordinator")
    line = [line for line in lines if line["event"] == "hung"][-1]
    assert line["worker"] == worker and line.get("generation", 0) == told["generation"], line
    assert line.get("rank", -1) == told["rank"] - 1, line
    assert line["level"] == "warn" and line["text"] == status["hung"], line
    named = {w["name"]: w["hung"] for w in cluster.json("workers") if w["hung"]}
    assert list(named) == [worker], named


def trainer_stopped():
    """a trainer that is stopped is named and replaced; the others go on with their sums, to the same answer"""
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        cluster.wait_step(job, 60)
        old = stop(cluster, "w1", "muster-trainer")
        step = hangs(cluster, job)["step"]
        check_named(cluster, job, "w1", "trainer (stopped)", ("computing", "reducing", "updating"))
        cluster.wait_step(job, step + 20)
        wait_for("w1 has another trainer", lambda: (new := children(cluster.workers["w1"].pid, "muster-trainer")) and new != old)
        assert cluster.wait_members(job, 3)["hangs"] == 1, cluster.status(job)
        assert not events(cluster, job, "REWIND") and not events(cluster, job, "CRASH")
        cluster.same_as_calm(job, **ENDLESS)


def collectives_stopped():
    """a collective that is stopped breaks its generation; a stopped spare is found before it joins the next"""
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        cluster.wait_step(job, 60)
        wait_for("w2 has a spare", lambda: len(children(cluster.workers["w2"].pid, "muster-collective")) == 2)
        trainers = [children(agent.pid, "muster-trainer") for agent in cluster.workers.values()]
        stop(cluster, "w2", "muster-collective")
        step = hangs(cluster, job, 2)["step"]
        first, second = [event["phase"] for event in events(cluster, job, "HUNG")]
        assert first == 6 and second in (3, 4), "reducing, then connecting or, if one was a step behind, receiving"
        check_named(cluster, job, "w2", "collective (stopped)", ("connecting", "receiving"))
        cluster.wait_step(job, step + 20)
        assert [children(agent.pid, "muster-trainer") for agent in cluster.workers.values()] == trainers
        cluster.same_as_calm(job, **ENDLESS)


def only_trainer_stopped():
    """where nobody else holds the state there is more patience; then training goes back to the checkpoint"""
    with PatientCluster(1, "--hang-ms", "1500") as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 50)
        stop(cluster, "w0", "muster-trainer")
        wait_for("status says who stands", lambda: "worker w0: its trainer (stopped) hangs" in cluster.status(job)["reason"])
        assert not events(cluster, job, "HUNG")
        hangs(cluster, job)
        told = events(cluster, job, "HUNG")[0]
        assert told["time_ms"] - told["since_ms"] >= 6000, told
        cluster.wait_members(job, 1)
        cluster.same_as_calm(job, **ENDLESS)


def writer_of(cluster, job):
    """The process that writes the job's checkpoints."""
    worker = cluster.members(job)[0]
    trainers = children(cluster.workers[worker].pid, "muster-trainer")
    return worker, [pid for trainer in trainers for pid in children(trainer, "muster-trainer")]


def writer_stopped():
    """a checkpoint's writer that is stopped is named, ended and replaced; training goes on without a break"""
    with PatientCluster(2, "--hang-ms", "3000") as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 50)
        worker, writers = writer_of(cluster, job)
        assert len(writers) == 1, writers
        os.kill(writers[0], signal.SIGSTOP)
        begun, over = wait_for("it is told of", lambda: len(told := events(cluster, job, "OVERDUE")) == 2 and told)
        assert begun["worker"] == worker and not begun["over"] and over["over"], (begun, over)
        assert begun["process"] == "stopped" and begun["time_ms"] - begun["since_ms"] >= 3000, begun
        assert f"worker {worker}'s writer (stopped) has not moved for" in begun["text"], begun
        assert f"the checkpoint of step {begun['step']} is overdue" in begun["text"], begun
        again = re.search(r"would go back to step (\d+) and do (\d+) steps again", begun["text"])
        assert again and 50 <= int(again[1]) < begun["step"] and int(again[2]) > 0, begun
        lines = [line for line in cluster.log_lines("coordinator") if line["event"] == "overdue"]
        assert [line["level"] for line in lines] == ["warn", "info"], lines
        assert [line["text"] for line in lines] == [begun["text"], over["text"]], lines
        assert all(line["worker"] == worker for line in lines), lines
        wait_for("a newer one is committed", lambda: cluster.status(job)["weights_step"] > begun["step"])
        wait_for("the stopped one has ended", lambda: not os.path.exists(f"/proc/{writers[0]}"))
        status = cluster.status(job)
        assert status["restarts"] == 0 and status["hangs"] == 0, status
        cluster.same_as_calm(job, **ENDLESS)


def writer_stopped_as_all_leave():
    """the only holder of the newest steps leaves, and its checkpoints' writer stands still: another writes them, and nothing is lost"""
    with PatientCluster(1, "--hang-ms", "1500") as cluster:
        job = cluster.submit(cluster.gpt(**dict(ENDLESS, every=400)))
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"])
        os.kill(writer_of(cluster, job)[1][0], signal.SIGSTOP)
        before = cluster.status(job)
        cluster.muster("drain", "w0")
        wait_for("it has left", lambda: cluster.json("workers")[0]["state"] == "drained")
        after = cluster.status(job)
        assert after["weights_step"] >= before["step"] and after["restarts"] == 0, (before, after)
        cluster.muster("drain", "--undo", "w0")
        cluster.wait_step(job, after["weights_step"] + 10)
        cluster.same_as_calm(job, **dict(ENDLESS, every=400))


class Disk:
    """A file system of its own, whose storage can be made to stand still. Skips where that is not allowed."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="muster-disk-")
        self.path = os.path.join(self.dir, "mounted")
        self.frozen = False
        os.mkdir(self.path)
        image = os.path.join(self.dir, "image")
        try:
            self.run("truncate", "-s", "64M", image)
            self.run("mkfs.ext4", "-q", image)
            self.run("mount", "-o", "loop", image, self.path)
        except (OSError, subprocess.CalledProcessError) as why:
            shutil.rmtree(self.dir)
            raise Tap.Skip(f"no file system can be mounted from a file here: {getattr(why, 'output', why)}") from why

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.frozen:
            self.thaw()
        wait_for("nobody uses the disk", lambda: subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL, check=False).returncode == 0)
        shutil.rmtree(self.dir)

    def freeze(self):
        self.run("fsfreeze", "-f", self.path)
        self.frozen = True

    def thaw(self):
        self.run("fsfreeze", "-u", self.path)
        self.frozen = False


def storage_frozen():
    """checkpoints on storage that stands still are overdue, and say so; training goes on, and so do they when it answers"""
    with Disk() as disk, PatientCluster(2, "--hang-ms", "3000") as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS), f"checkpoint.dir={disk.path}/checkpoints")
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 50)
        disk.freeze()
        status = wait_for("it is overdue", lambda: (s := cluster.status(job))["overdue"] and s)
        assert re.search(r"the checkpoint of step \d+ is overdue: worker w\d's writer \(disk\) has not moved for", status["reason"]), status
        assert f"training would go back to step {status['weights_step']} and do" in status["reason"], status
        assert f'muster_job_checkpoint_overdue{{job="{job}"}} 1' in cluster.muster("metrics")
        cluster.wait_step(job, status["step"] + 200)
        disk.thaw()
        wait_for("it is over", lambda: not cluster.status(job)["overdue"])
        assert [told["over"] for told in events(cluster, job, "OVERDUE")] == [False, True]
        assert cluster.status(job)["restarts"] == 0, cluster.status(job)
        cluster.same_as_calm(job, **ENDLESS)


def user_code():
    """a plug-in that sleeps, waits for a file, or spins for ever is named and replaced; one that is busy is not"""
    with PatientCluster(2) as cluster:
        path = cluster.bad_trainer()
        os.mkfifo(os.path.join(cluster.dir, "fifo"))
        calm = cluster.wait_done(submit(cluster, path, "calm", "none"))
        busy = cluster.wait_done(submit(cluster, path, "busy", "busy@5.1", least=2))
        assert busy["hangs"] == 0 and busy["restarts"] == 0, busy
        assert os.path.exists(os.path.join(cluster.dir, "once-busy"))
        for fault in ("sleep", "read"):
            job = submit(cluster, path, fault, f"{fault}@7.2")
            hangs(cluster, job)
            told = events(cluster, job, "HUNG")[0]  # status forgets it when the job ends, which may be a moment later
            assert "trainer (sleeping)" in told["text"] and "phase computing" in told["text"], told
            assert told["worker"] in cluster.workers, told
            status = cluster.wait_done(job)
            assert status["hangs"] == 1 and status["weights_hash"] == calm["weights_hash"], (calm, status)
        cluster.kill_coordinator()
        cluster.start_coordinator("--stall-s", "3")
        job = submit(cluster, path, "spin", "spin@9.1", least=2)
        hangs(cluster, job)
        told = events(cluster, job, "HUNG")[0]
        assert "counted no work" in told["text"], told
        assert cluster.wait_done(job)["weights_hash"] == calm["weights_hash"]


def asleep_from_the_beginning():
    """a plug-in that sleeps in open () or init (): its job says at once who hangs, and why it waits; others are served"""
    with PatientCluster(1, "--hang-ms", "1000") as cluster:
        path = cluster.bad_trainer()
        for fault in ("opensleep", "initsleep"):
            job = submit(cluster, path, fault, f"{fault}@0.0")
            told = wait_for("status says who stands", lambda: (s := cluster.status(job))["reason"].startswith("worker w0") and s)
            assert told["state"] == "preparing" and told["hangs"] == 0, told
            assert "its trainer (sleeping) hangs in phase opening: it has not moved for" in told["reason"], told
            hangs(cluster, job)
            check_named(cluster, job, "w0", "trainer (sleeping)", ("opening",))
            wait_for("it waits, and says why", lambda: (s := cluster.status(job))["state"] == "pending"  # pylint: disable=cell-var-from-loop
                     and "as w0: its trainer (sleeping) hung while it opened the job" in s["reason"])
            cluster.wait_done(submit(cluster, path, "calm", "none"))
            cluster.muster("cancel", job)


def storage():
    """data that cannot be read when a job is opened costs the worker the job, and only that worker"""
    with PatientCluster(2, "--hang-ms", "1000") as cluster:
        path = cluster.bad_trainer()
        os.mkfifo(os.path.join(cluster.dir, "fifo"))
        calm = cluster.wait_done(submit(cluster, path, "calm", "none"))
        job = submit(cluster, path, "fifo", "openread@0.0")
        hangs(cluster, job)
        told = events(cluster, job, "HUNG")[0]
        check_named(cluster, job, told["worker"], "trainer (sleeping)", ("opening",))
        assert cluster.wait_done(job)["weights_hash"] == calm["weights_hash"]


if __name__ == "__main__":
    sys.exit(Tap().run(trainer_stopped, collectives_stopped, only_trainer_stopped, writer_stopped, writer_stopped_as_all_leave,
                       storage_frozen, user_code, asleep_from_the_beginning, storage))
