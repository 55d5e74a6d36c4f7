#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs as people use them: submit, wait, pause, cancel, several at once; what dies in between."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from cluster import BUILD, ENDLESS, LIMIT_S, Cluster, PatientCluster, Tap, child_ids, children, wait_for


def events(cluster, job, *kinds):
    """What `muster events` says of those kinds."""
    lines = map(json.loads, cluster.muster("-o", "json", "events", "--job", job).splitlines())
    return [line["text"] for line in lines if line["event"] in kinds]


def submit_and_wait():
    """submit --wait prints the id, shows progress and exits with 0"""
    with Cluster(2) as cluster:
        run = cluster.try_muster("submit", cluster.gpt(steps=30), "--wait")
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip() == "1", run.stdout
        assert "step 30/30  loss " in run.stderr, run.stderr
        status = cluster.status("1")
        for key in ("id", "name", "state", "reason", "step", "steps", "epoch", "loss", "tokens_per_second",
                    "eta_seconds", "generation", "workers", "restarts", "weights_hash", "weights_step", "checkpoint"):
            assert key in status, key
        assert status["checkpoint"] and os.path.isdir(status["checkpoint"]), status
        assert cluster.status("gpt")["id"] == 1
        assert [job["id"] for job in cluster.json("jobs")] == [1]


def idempotent():
    """the same key twice is one job"""
    with Cluster() as cluster:
        spec = cluster.gpt()
        first = cluster.muster("submit", spec, "--key", "once")
        second = cluster.muster("submit", spec, "--key", "once")
        cluster.kill_coordinator()
        cluster.start_coordinator()
        third = cluster.muster("submit", spec, "--key", "once")
        other = cluster.muster("submit", spec, "--key", "twice")
        assert first == second == third != other, (first, second, third, other)
        assert len(cluster.json("jobs")) == 2


def exit_codes():
    """exit codes tell scripts what happened"""
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        assert cluster.try_muster("status", "nothing").returncode == 102
        assert cluster.try_muster("cancel", "99").returncode == 102
        waiting = subprocess.Popen([os.path.join(BUILD, "muster"), "--coordinator", cluster.endpoint, "wait", job])
        cluster.muster("cancel", job)
        assert waiting.wait(60) == 103
        assert cluster.try_muster("status", job).returncode == 103
        assert cluster.try_muster("submit", "/nonexistent.yaml").returncode == 66
        assert cluster.try_muster("submit").returncode == 64
        assert cluster.try_muster("frobnicate").returncode == 64
        cluster.kill_coordinator()
        assert cluster.try_muster("--timeout", "1", "jobs").returncode == 69


def pending_says_why():
    """a pending job says what it waits for, and starts when it comes"""
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), steps=20))
        status = wait_for("a reason", lambda: (s := cluster.status(job))["reason"] and s)
        assert status["state"] == "pending" and "2 workers" in status["reason"], status
        cluster.start_worker("late")
        cluster.wait_done(job)


def two_jobs():
    """two jobs train at once on one roster; a higher priority goes first"""
    with Cluster(2) as cluster:
        both = [cluster.submit(cluster.gpt(name, workers=(1, 1), **ENDLESS), "checkpoint.keep=1000") for name in ("first", "second")]
        wait_for("both train", lambda: all(cluster.status(job)["weights_step"] >= 50 for job in both))
        saved = [cluster.json("checkpoints", job)[0] for job in both]
        assert saved[0]["step"] == saved[1]["step"] == 50
        assert saved[0]["weights_hash"] == saved[1]["weights_hash"], "equal jobs give equal weights"
        low = cluster.submit(cluster.gpt("low", steps=10, workers=(2, 2)))
        high = cluster.submit(cluster.gpt("high", steps=10, workers=(2, 2), priority=5))
        for job in both:
            cluster.muster("cancel", job)
        for job in (low, high):
            cluster.wait_done(job)
        ends = {job["name"]: job["ended_ms"] for job in cluster.json("jobs")}
        assert ends["high"] < ends["low"], ends


def pause_and_resume():
    """pause saves where it is; resume goes on from there with the same answer"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        at = cluster.wait_step(job, 60)["step"]
        cluster.muster("pause", job)
        status = wait_for("it is paused", lambda: (s := cluster.status(job))["state"] == "paused" and s)
        assert status["weights_step"] >= at, status
        wait_for("its workers are free", lambda: all(worker["state"] == "free" for worker in cluster.json("workers")))
        cluster.muster("resume", job)
        cluster.wait_step(job, status["weights_step"] + 50)
        cluster.same_as_calm(job, **ENDLESS)


def one_is_left():
    """who is left of two that must be two saves what it holds while it waits: when it dies, too, nothing is done again"""
    with PatientCluster(2) as cluster:
        spec = dict(ENDLESS, every=1000)
        job = cluster.submit(cluster.gpt(workers=(2, 2), **spec))
        at = cluster.wait_step(job, 60)["step"]
        cluster.kill_worker("w0")
        status = wait_for("it is saved", lambda: (s := cluster.status(job))["weights_step"] >= at and s)
        assert status["state"] in ("preparing", "pending"), status
        cluster.kill_worker("w1")
        for name in ("w2", "w3"):
            cluster.start_worker(name)
        cluster.wait_step(job, status["weights_step"] + 50)
        cluster.same_as_calm(job, **spec)


def coordinator_dies():
    """kill -9 of the coordinator disturbs no step"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        before = cluster.wait_members(job, 2)
        for _ in range(3):
            cluster.wait_step(job, cluster.status(job)["step"] + 50)
            cluster.kill_coordinator()
            cluster.start_coordinator()
        status = cluster.wait_step(job, cluster.status(job)["step"] + 50)
        assert status["generation"] == before["generation"], (before, status)
        assert status["restarts"] == 0, status
        cluster.same_as_calm(job, **ENDLESS)


def kill(pids):
    """kill -9 of those that have not ended by themselves."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def worker_dies():
    """kill -9 of workers: the others finish the step, the weights are the same"""
    with Cluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        cluster.kill_worker("w1")
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 50)
        told = events(cluster, job, "BROKEN", "LOST")
        assert any("worker w1" in text and "gone" in text for text in told), told  # who died, and not only who noticed
        cluster.start_worker("w1")
        cluster.wait_step(job, cluster.wait_members(job, 3)["step"] + 20)
        cluster.kill_worker("w0")
        status = cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        assert status["restarts"] >= 2, status
        cluster.same_as_calm(job, **ENDLESS)


def children_die():
    """kill -9 of trainers and collectives: the same"""
    with Cluster(2, ("--quarantine-failures", "0")) as cluster:  # three of one worker's, and it would get no more work
        job = cluster.submit(cluster.gpt(**ENDLESS))
        for program in ("muster-collective", "muster-trainer", "muster-collective"):
            cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 100)
            kill(wait_for(f"there is a {program}", lambda: next(  # pylint: disable=cell-var-from-loop
                filter(None, (children(agent.pid, program) for agent in cluster.workers.values())), None))[:1])  # pylint: disable=cell-var-from-loop
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 100)
        cluster.same_as_calm(job, **ENDLESS)


def collective_dies_unseen():
    """a collective is killed while its agent stands still: the others notice, and whose it was is told when the agent is told to end it"""
    with PatientCluster(3, "--quarantine-failures", "0") as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_step(job, cluster.wait_members(job, 3)["step"] + 20)
        agent = cluster.workers["w1"].pid
        os.kill(agent, signal.SIGSTOP)
        kill(children(agent, "muster-collective"))
        wait_for("the others notice", lambda: events(cluster, job, "BROKEN"))
        os.kill(agent, signal.SIGCONT)
        told = wait_for("who died is told", lambda: events(cluster, job, "LOST"))
        assert "the collective of worker w1" in told[0] and "signal 9" in told[0], told
        cluster.wait_step(job, cluster.wait_members(job, 3)["step"] + 20)
        cluster.same_as_calm(job, **ENDLESS)


def told_to_stop():
    """SIGTERM of all processes of a worker, as service managers send it: it leaves as planned, and is not said to be lost"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        worker = cluster.workers.pop("w1")
        for pid in child_ids(worker.pid):
            os.kill(pid, signal.SIGTERM)
        worker.terminate()
        assert worker.wait(60) == 0
        states = {worker["name"]: worker["state"] for worker in cluster.json("workers")}
        assert states["w1"] == "left", states
        status = cluster.wait_step(job, cluster.wait_members(job, 1)["step"] + 20)
        assert status["restarts"] == 0, status
        assert not events(cluster, job, "CRASH", "LOST")


def one_more_begun(folder, seen):
    """Wait for a checkpoint that is being written, and is none of those: looked for more often than wait_for () would, as it
    takes some milliseconds. What dead writers have left is among those that were seen."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        begun = {name for name in os.listdir(folder) if name.startswith(".step")} - seen
        if begun:
            return begun
        time.sleep(0.0005)
    raise AssertionError("no checkpoint is begun")


def writers_die():
    """kill -9 of processes that write a checkpoint: nothing of it counts, the job says so and goes on; the same answer"""
    spec = {"name": "killed", "steps": 1_000_000, "every": 10, "batch": 24}
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"] >= 10)
        trainer = children(cluster.workers["w0"].pid, "muster-trainer")[0]
        seen = set()
        for _ in range(3):
            # The writer is a child of the trainer. It writes for some milliseconds, into a folder of its own, and may have finished
            # when the signal comes.
            def killed_and_told():
                seen.update(one_more_begun(f"{cluster.dir}/checkpoints-killed", seen))
                kill(children(trainer, "muster-trainer"))
                return "killed by signal 9" in cluster.status(job)["reason"]
            wait_for("it says that a writer was killed", killed_and_told)
            there = cluster.status(job)["weights_step"]
            wait_for("the next one is committed", lambda: cluster.status(job)["weights_step"] > there)  # pylint: disable=cell-var-from-loop
        assert children(cluster.workers["w0"].pid, "muster-trainer") == [trainer]
        cluster.same_as_calm(job, **spec)


def all_trainers_die():
    """kill -9 of all trainers at once is one blow: training goes back to the last checkpoint, with the same answer"""
    with Cluster(3) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 50)
        kill([pid for agent in cluster.workers.values() for pid in children(agent.pid, "muster-trainer")])
        wait_for("that is noticed", lambda: cluster.status(job)["restarts"] >= 1)
        cluster.wait_members(job, 3)
        cluster.same_as_calm(job, **ENDLESS)


def all_workers_die():
    """all workers die: training resumes from the committed checkpoint, with the same answer"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        wait_for("a checkpoint is committed", lambda: cluster.status(job)["weights_step"] >= 50)
        cluster.kill_all_workers()
        cluster.start_worker("w2")
        wait_for("w2 has it", lambda: list(cluster.members(job).values()) == ["w2"])
        cluster.wait_step(job, cluster.status(job)["step"] + 50)
        cluster.same_as_calm(job, **ENDLESS)


def quarantine():
    """a worker whose trainer dies three times gets no work that others can do, and is taken if nobody else is there"""
    def workers(cluster):
        return {w["name"]: w for w in cluster.json("workers")}

    def trainer(cluster, killed):
        pids = children(cluster.workers["w2"].pid, "muster-trainer")
        return pids and pids[0] not in killed and cluster.status("bad")["workers"] == 3 and pids[0]
    with PatientCluster(3) as cluster:  # who is lost has another trainer afterwards
        job = cluster.submit(cluster.gpt("bad", steps=1000000))
        killed = []
        for _ in range(3):
            killed.append(wait_for("w2 has a trainer", lambda: trainer(cluster, killed)))
            cluster.wait_step(job, cluster.status(job)["step"] + 20)
            kill(killed[-1:])
        wait_for("w2 is quarantined", lambda: workers(cluster)["w2"]["state"] == "quarantined")
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        assert "w2" not in cluster.members(job).values()
        assert "w2 is quarantined" in cluster.muster("events")
        cluster.kill_coordinator()
        cluster.start_coordinator()
        wait_for("it is still known", lambda: workers(cluster).get("w2", {}).get("state") == "quarantined")
        needy = cluster.submit(cluster.gpt("needy", steps=20, workers=(3, 3)), "priority=5")
        cluster.muster("cancel", job)
        cluster.wait_done(needy)


def drain():
    """a drained worker leaves at a step's end and takes no more work"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 2)
        assert cluster.try_muster("drain", "1abc").returncode == 102, "a number and more is no number"
        cluster.muster("drain", "w0")
        wait_for("w0 is drained", lambda: {w["name"]: w["state"] for w in cluster.json("workers")}["w0"] == "drained")
        status = cluster.wait_step(job, cluster.status(job)["step"] + 50)
        assert status["restarts"] == 0, status
        cluster.same_as_calm(job, **ENDLESS)


def logs_and_events():
    """logs are JSON lines, events tell the story"""
    with PatientCluster(1) as cluster:
        job = cluster.submit(cluster.gpt(steps=20))
        cluster.wait_done(job)
        import json
        lines = [json.loads(line) for line in cluster.muster("logs", job).splitlines()]
        assert any(line.get("event") == "form" for line in lines), lines[:5]
        ours = [line for line in lines if line["program"] == "muster-coordinator"]
        of_generations = [line for line in ours if line["event"] in ("form", "start", "broken", "commit")]
        assert len(of_generations) >= 3 and all(line.get("generation") == 1 for line in of_generations), of_generations
        assert {line.get("worker") for line in ours if line["event"] == "commit"} == {"w0"}, ours
        kinds = [json.loads(line)["event"] for line in cluster.muster("-o", "json", "events", "--job", job).splitlines()]
        assert kinds[0] == "SUBMIT" and "FORM" in kinds and "COMMIT" in kinds, kinds
        import sqlite3
        rows = sqlite3.connect(f"file:{cluster.dir}/state/muster.db?mode=ro", uri=True).execute("SELECT name, state FROM job").fetchall()
        assert rows == [("gpt", "done")], rows
        shards = cluster.json("shards", job)
        assert shards["trained"] == shards["shards"] > 0, shards
        checkpoints = cluster.json("checkpoints", job)
        assert [checkpoint["step"] for checkpoint in checkpoints] == [20], checkpoints
        waiting = cluster.submit(cluster.gpt(name="waiting", steps=20, workers=(2, 2)))
        wait_for("it is said why it waits", lambda: "waits for 2 workers" in cluster.muster("status", waiting))
        log = cluster.try_muster("logs", waiting)
        assert (log.returncode, log.stdout) == (0, "") and "nothing was done" in log.stderr, log
        assert not os.path.exists(f"{cluster.dir}/state/logs/job-{waiting}.jsonl")
        cluster.muster("cancel", waiting)
        assert '"event":"state"' in cluster.muster("logs", waiting)


if __name__ == "__main__":
    sys.exit(Tap().run(submit_and_wait, idempotent, exit_codes, pending_says_why, two_jobs, pause_and_resume, one_is_left,
                       coordinator_dies, worker_dies, children_die, collective_dies_unseen, told_to_stop, writers_die, all_trainers_die, all_workers_die, quarantine, drain, logs_and_events))
