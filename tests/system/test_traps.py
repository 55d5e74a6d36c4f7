#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_traps.py - the traps of elastic MPI worlds, each sprung on real processes; docs/faults.md has the table

What a collective itself must never do is in test_collective_faults.c. Some of these run the collective through a
script of the test's (muster-worker --collective), because the moment of a fault is then exact, not likely.
"""
import json
import os
import re
import signal
import sys

from cluster import BUILD, ENDLESS, Cluster, PatientCluster, Tap, children, process_stat, processor_seconds, wait_for

COLLECTIVE = os.path.join(BUILD, "muster-collective")
KEEP_ALL = ("--quarantine-failures", "0")
LAUNCHERS = {"PMI_FD": "777", "PMI_RANK": "3", "PMI_SIZE": "9", "PMI_PORT": "127.0.0.1:1", "PMI_ID": "3", "PMIX_RANK": "3",
             "PMIX_NAMESPACE": "x", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "9", "OMPI_MCA_btl": "self",
             "HYDI_CONTROL_FD": "778", "MPI_LOCALNRANKS": "9", "MPI_LOCALRANKID": "3", "SLURM_JOBID": "1",
             "SLURM_PROCID": "3", "SLURM_NTASKS": "9", "SLURM_NODELIST": "nowhere"}


def processes():
    """{pid: (parent, session, state, name)} of all there are."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = process_stat(pid)
        if stat:
            state, parent, _, session = stat[1][:4]
            found[int(pid)] = (int(parent), int(session), state, stat[0])
    return found


def kin(session):
    """Living processes of that session, by pid. The writer of a checkpoint may finish: its end is near."""
    return {pid: name for pid, (_, of, state, name) in processes().items()
            if of == session and state not in "ZX" and name not in ("muster-save", "muster-remove")}


def below(pid):
    """Living processes under this one, at any depth: {pid: name}."""
    everybody, found, more = processes(), {}, {pid}
    while more:
        more = {child for child, (parent, _, state, _) in everybody.items() if parent in more and state not in "ZX"}
        found.update({child: everybody[child][3] for child in more})
    return found


def is_alive(pid):
    return processes().get(pid, (0, 0, "X", ""))[2] not in "ZX"


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def events(cluster, job, kind):
    lines = map(json.loads, cluster.muster("-o", "json", "events", "--job", job).splitlines())
    return [line for line in lines if line["event"] == kind]


def worker_state(cluster, name):
    return {worker["name"]: worker["state"] for worker in cluster.json("workers")}.get(name)


def goes_on(cluster, job, steps=20):
    cluster.wait_step(job, cluster.status(job)["step"] + steps)


def script(cluster, name, text):
    """A collective program of the test's own."""
    path = cluster.write(name, f"#!/bin/sh\n{text}")
    os.chmod(path, 0o755)
    return path


def two_generations():
    """two generations alive at once: the older one wakes up while the newer trains, and changes nothing"""
    with Cluster(3, KEEP_ALL) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 3)
        agent = cluster.workers["w1"].pid
        old = children(agent, "muster-collective") + children(agent, "muster-trainer")
        signal_all([*old, agent], signal.SIGSTOP)
        wait_for("w1 is lost", lambda: worker_state(cluster, "w1") == "lost")
        goes_on(cluster, job)  # in a generation without it
        assert len(old) >= 2 and all(map(is_alive, old)), old
        signal_all(old, signal.SIGCONT)  # its agent still sleeps: nobody tells them
        goes_on(cluster, job)
        signal_all([agent], signal.SIGCONT)
        cluster.wait_members(job, 3)
        goes_on(cluster, job)
        cluster.same_as_calm(job, **ENDLESS)


def fence_never_completes():
    """a fence that never completes: who does not reach it is named, and left out the second time"""
    with PatientCluster(2, "--form-limit-ms", "4000", *KEEP_ALL) as cluster:
        spins = script(cluster, "spins", "while kill -0 $PPID; do sleep 0.002; done\n")
        cluster.start_worker("odd", "--collective", spins, "--spare", "no")
        wait_for("three workers", lambda: len(cluster.json("workers")) == 3)
        job = cluster.submit(cluster.gpt(workers=(2, 3), **ENDLESS))
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        reasons = [event["text"] for event in events(cluster, job, "BROKEN") if not event["planned"]]
        assert len(reasons) >= 2 and all("1 of 3 workers were not ready in time: odd" in reason for reason in reasons), reasons
        cluster.same_as_calm(job, **ENDLESS)


def killer(cluster, delays, victim):
    """A collective that kills `victim` ($$ itself, $4 its agent) after the next of the delays, while there is one; and
    the file that lists those to come."""
    listed = cluster.write("delays", "\n".join(delays) + "\n")
    return script(cluster, "dies", f"""
delay=$(head -n 1 {listed})
sed -i 1d {listed}
if [ "$delay" ]; then ([ $delay = 0 ] || sleep $delay; kill -9 {victim}) <&- >&- 2>&- & fi
exec {COLLECTIVE} "$@"
"""), listed


def agent_dies_in_form():
    """an agent that dies in mid-FORM, early and late in it: the others wait for nobody, and the next generation forms"""
    delays = ("0", "0", "0.005", "0.01", "0.02", "0.03", "0.05")  # a quick machine forms one in 0.02 s
    with Cluster(2, KEEP_ALL) as cluster:
        dies, _ = killer(cluster, delays, "$4")
        job = cluster.submit(cluster.gpt(workers=(3, 3), **ENDLESS))
        for delay in delays:
            cluster.start_worker("w2", "--collective", dies, "--spare", "no")
            assert cluster.workers["w2"].wait(60) == -signal.SIGKILL, delay
        cluster.start_worker("w2", "--collective", dies, "--spare", "no")
        cluster.wait_members(job, 3)
        goes_on(cluster, job)
        started = {event["generation"] for event in events(cluster, job, "START")}
        broken = {event["generation"] for event in events(cluster, job, "BROKEN")} - started
        assert len(broken) >= 2, "it did not die while a generation formed"
        cluster.same_as_calm(job, **ENDLESS)


def base_step():
    """a joiner that does not know the base step is told it, and gets the state first"""
    with PatientCluster(1) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_step(job, 60)
        cluster.start_worker("late")
        cluster.wait_members(job, 2)
        goes_on(cluster, job)
        with open(os.path.join(cluster.dir, "late.log"), encoding="utf-8") as log:
            said = [line["text"] for line in map(json.loads, log) if line["event"] == "forming"][0]
        first = re.fullmatch(r"generation \d+: rank 1 of 2, step (\d+), state broadcast first", said)
        assert first and int(first[1]) >= 60, said
        cluster.same_as_calm(job, **ENDLESS)


def processor_time(cluster, program):
    return sum(processor_seconds(pid) for worker in cluster.workers.values() for pid in children(worker.pid, program))


def more_ranks_than_cores():
    """ranks more than cores: six workers on one core train, those that wait leave it to the others, and equal weights"""
    allowed = os.sched_getaffinity(0)
    with PatientCluster() as cluster:
        os.sched_setaffinity(0, {min(allowed)})
        try:
            for number in range(6):
                cluster.start_worker(f"w{number}")
        finally:
            os.sched_setaffinity(0, allowed)
        job = cluster.submit(cluster.gpt(**ENDLESS, workers=(6, 6)))
        cluster.wait_step(job, 20)
        before = [processor_time(cluster, f"muster-{program}") for program in ("trainer", "collective")]
        goes_on(cluster, job, 100)
        trainers, collectives = (processor_time(cluster, f"muster-{program}") - was
                                 for program, was in zip(("trainer", "collective"), before))
        print(f"# processor time: trainers {trainers:.2f} s, collectives {collectives:.2f} s")
        assert collectives < 10 * trainers, "who waits for others keeps the core from them"  # about 1; 50 if nobody sleeps
        cluster.same_as_calm(job, **ENDLESS)


def segments():
    return {name for name in os.listdir("/dev/shm") if "mpich" in name or "ucx" in name}


def shared_memory():
    """leaked shared memory: collectives that are killed while MPI starts leave nothing in /dev/shm"""
    before = segments()
    delays = ("0.002", "0.005", "0.01", "0.015", "0.02", "0.03")
    with Cluster(1, KEEP_ALL) as cluster:
        dies, listed = killer(cluster, delays, "$$")
        cluster.start_worker("w1", "--collective", dies, "--spare", "no")
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        wait_for("all of them are killed", lambda: os.path.getsize(listed) == 0)
        cluster.wait_members(job, 2)
        goes_on(cluster, job)
        cluster.same_as_calm(job, **ENDLESS)
    wait_for("nothing is left", lambda: segments() <= before, 30)  # what other tests have there for a moment goes


def orphans():
    """orphaned collectives: an agent's kill -9 leaves neither collective nor trainer, working, starting or stopped"""
    with Cluster(1, KEEP_ALL) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        for moment in ("starting", "working", "stopped"):
            cluster.start_worker("w1")
            agent = cluster.workers["w1"].pid
            trainers = wait_for("w1 has a trainer", lambda pid=agent: children(pid, "muster-trainer"))
            if moment != "starting":
                cluster.wait_members(job, 2)
                goes_on(cluster, job)
            if moment == "stopped":
                signal_all(trainers + children(agent, "muster-collective"), signal.SIGSTOP)
            assert len(kin(agent)) >= 2, kin(agent)
            cluster.kill_worker("w1")
            wait_for(f"nothing is left of w1, killed while {moment}", lambda pid=agent: not kin(pid), 20)
            goes_on(cluster, job)


def foreign(pid):
    """What a launcher left in the environment of that process."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode(errors="replace").split("\0")
    except OSError:  # it has ended, or is not for us to see
        return []
    return [entry for entry in entries if entry in {f"{name}={value}" for name, value in LAUNCHERS.items()}]


def inherited_environment():
    """an inherited PMI_FD, and all else that mpirun, Slurm and Open MPI leave: no child sees any of it"""
    with Cluster() as cluster:
        for name in ("w0", "w1"):
            cluster.start_worker(name, env=LAUNCHERS)
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        seen = set()

        def looked_at_all():
            for worker in cluster.workers.values():
                for pid, name in below(worker.pid).items():
                    if name in ("muster-trainer", "muster-collecti"):
                        assert not foreign(pid), (name, foreign(pid))
                        seen.add(name)
            return len(seen) == 2
        wait_for("trainers and collectives are there", looked_at_all)
        goes_on(cluster, job)
        cluster.same_as_calm(job, **ENDLESS)


if __name__ == "__main__":
    sys.exit(Tap().run(two_generations, fence_never_completes, agent_dies_in_form, base_step, more_ranks_than_cores,
                       shared_memory, orphans, inherited_environment))
