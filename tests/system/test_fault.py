#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_fault.py - `muster fault` on a live cluster: each drill shows, and none changes the weights"""
import os
import subprocess
import sys

from cluster import BUILD, Cluster, Tap, children, process_stat, wait_for

FLAG = "--enable-faults"
NO_FAULTS = "this build has no faults: ./configure --enable-faults"


def built_in():
    with open(os.path.join(BUILD, "config.h"), encoding="utf-8") as config:
        return "#define MU_FAULTS 1" in config.read()


def need_faults():
    if not built_in():
        raise Tap.Skip(NO_FAULTS)


def cluster_of(count):
    cluster = Cluster(coordinator_options=(FLAG, "--quarantine-failures", "0"))
    for number in range(count):
        cluster.start_worker(f"w{number}", FLAG)
    return cluster


def order(cluster, *arguments):
    """Until it is carried out: a worker may be lost, or without that process, for a moment."""
    def done():
        run = cluster.try_muster("fault", *arguments)
        assert run.returncode in (0, 69, 75), f"fault {arguments} exits with {run.returncode}: {run.stderr}"
        return run.returncode == 0 and run
    return wait_for(f"fault {' '.join(arguments)}", done)


def state_of(pid):
    stat = process_stat(pid)
    return stat[1][0] if stat else "gone"


def child(cluster, name, program):
    return wait_for(f"{program} of {name}", lambda: children(cluster.workers[name].pid, program))[0]


def log_of(cluster, name):
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8", errors="replace") as log:
        return log.read()


def worker_state(cluster, name):
    return {info["name"]: info["state"] for info in cluster.json("workers")}.get(name)


def drills():
    """every drill shows on a live cluster, and the weights are those of a calm run"""
    need_faults()
    spec = {"steps": 1_000_000, "workers": (1, 3), "every": 200}  # it is never trained to its end
    with cluster_of(3) as cluster:
        job = cluster.submit(cluster.gpt(**spec))
        cluster.wait_step(job, 20)

        for program in ("trainer", "collective"):
            before = child(cluster, "w0", f"muster-{program}")
            told = order(cluster, "kill", "w0", "--process", program)
            assert "killed" in told.stderr, told.stderr
            wait_for(f"{program} {before} dies", lambda pid=before: state_of(pid) in ("gone", "Z"))
            cluster.wait_step(job, cluster.status(job)["step"] + 5)

        trainer = child(cluster, "w1", "muster-trainer")
        order(cluster, "stop", "w1", "--process", "trainer", "--for", "3s")
        wait_for("the trainer is stopped", lambda: state_of(trainer) == "T")
        wait_for("the trainer goes on", lambda: state_of(trainer) != "T")
        agent = cluster.workers["w1"].pid
        order(cluster, "stop", "w1", "--process", "agent", "--for", "5s")
        wait_for("the agent is stopped", lambda: state_of(agent) == "T")
        wait_for("w1 is lost", lambda: worker_state(cluster, "w1") == "lost")
        wait_for("w1 is back", lambda: worker_state(cluster, "w1") != "lost" and state_of(agent) != "T")

        order(cluster, "slow", "w1", "--factor", "5", "--for", "2s")
        wait_for("the slowness is over", lambda: "as fast as before" in log_of(cluster, "w1"))
        cluster.wait_step(job, cluster.status(job)["step"] + 5)

        before = cluster.status(job)["restarts"]
        order(cluster, "corrupt", "w0", "--what", "result")
        wait_for("the proof catches it", lambda: "was thrown away" in log_of(cluster, "w0")
                 or "checksums" in log_of(cluster, "w0"))
        wait_for("a generation breaks", lambda: cluster.status(job)["restarts"] > before)
        cluster.wait_step(job, cluster.status(job)["step"] + 5)

        for more in ((), ("--peers",), ("--direction", "in")):
            ended = log_of(cluster, "w2").count("is lost any more")
            order(cluster, "partition", "w2", "--for", "5s", *more)
            if more != ("--direction", "in"):  # its beats are still heard then
                wait_for("w2 is lost", lambda: worker_state(cluster, "w2") == "lost")
            wait_for("w2 hears again", lambda was=ended: log_of(cluster, "w2").count("is lost any more") > was)
            wait_for("w2 is back", lambda: worker_state(cluster, "w2") == "working")
        ended = log_of(cluster, "w2").count("is lost any more")
        order(cluster, "drop", "w2", "--percent", "30", "--for", "2s")
        cluster.wait_step(job, cluster.status(job)["step"] + 5)
        wait_for("words are lost no more", lambda: log_of(cluster, "w2").count("is lost any more") > ended)

        order(cluster, "kill", "w2")
        assert cluster.workers["w2"].wait(60) == -9
        cluster.start_worker("w2", FLAG)
        cluster.muster("fault", "kill", "coordinator")
        assert cluster.coordinator.wait(60) == -9
        cluster.start_coordinator()
        cluster.wait_step(job, cluster.status(job)["step"] + 5)
        assert '"event":"fault"' in cluster.muster("logs", job), "the job's log does not tell"
        cluster.same_as_calm(job, **spec)


def refusals():
    """without the flag on either side, or for nobody, nothing is broken and the sentence says where it lacks"""
    need_faults()
    kinds = (("kill",), ("stop",), ("slow",), ("corrupt", "--what", "sums"), ("partition",), ("drop",))
    with Cluster() as cluster:
        cluster.start_worker("w0", FLAG)
        wait_for("w0 is here", lambda: worker_state(cluster, "w0") == "free")
        for kind, *more in kinds:
            run = cluster.try_muster("fault", kind, "w0", *more)
            assert run.returncode == 77 and "coordinator was not started with --enable-faults" in run.stderr, run
        assert cluster.try_muster("fault", "kill", "coordinator").returncode == 77
        assert cluster.coordinator.poll() is None
    with Cluster(coordinator_options=(FLAG,)) as cluster:
        cluster.start_worker("w0")
        wait_for("w0 is here", lambda: worker_state(cluster, "w0") == "free")
        for kind, *more in kinds:
            run = cluster.try_muster("fault", kind, "w0", *more)
            assert run.returncode == 77 and "Worker w0" in run.stderr, run
        assert cluster.try_muster("fault", "kill", "nobody").returncode == 102
        assert cluster.try_muster("fault", "slow", "coordinator").returncode == 64
        assert cluster.try_muster("fault", "stop").returncode == 64
        assert cluster.workers["w0"].poll() is None


def idle_worker():
    """a worker without a job has no trainer to break; its agent can be killed; JSON tells what was done"""
    need_faults()
    with cluster_of(1) as cluster:
        wait_for("w0 is here", lambda: worker_state(cluster, "w0") == "free")
        run = cluster.try_muster("fault", "kill", "w0", "--process", "trainer")
        assert run.returncode == 75 and "no trainer" in run.stderr, run
        told = cluster.json("fault", "kill", "w0")
        assert told["kind"] == "kill" and "agent of w0" in told["text"], told
        assert cluster.workers["w0"].wait(60) == -9


def other_build():
    """a build without faults refuses the flag of both daemons and names the configure switch"""
    if built_in():
        raise Tap.Skip("this build has faults")
    for program in ("muster-coordinator", "muster-worker"):
        run = subprocess.run([os.path.join(BUILD, program), FLAG, "--dir", "/nonexistent"], stderr=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        assert run.returncode == 78 and "./configure --enable-faults" in run.stderr + run.stdout, run


if __name__ == "__main__":
    sys.exit(Tap().run(refusals, idle_worker, drills, other_build))
