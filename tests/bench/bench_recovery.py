#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_recovery.py - what a death, a join and a checkpoint cost a running job, in one run beside calm steps of it

usage: bench_recovery.py [--kills N] [SCENE ...]        default: 24 kills a scene, all scenes

    kill       kill -9 of one of 4 workers (its agent; its children die with it), model under 4 MB; and of a trainer,
               and of a collective alone
    kill-64    the same kill of a worker with a model of 64 MB
    silent     all processes of a worker are stopped: until it is declared lost, against the configured limit and a beat
    goodput    a worker dies every 5.6 and every 1.4 steps and is started again at once: steps done in the time,
               against calm steps of the same job (torchft's published ratios of step time to failure interval)
    goodput-long  the same with steps twelve times as long, nearer to those that are worth more than one machine; half an
               hour, so only when it is named
    join       a worker joins a running job: the longest gap between two steps of the others
    outage     no coordinator for 30 s, kill -9 and a new one: the steps of two workers meanwhile and in the 5 s afterwards,
               against those of the 30 s before
    checkpoint the steps after each checkpoint against those before it and before the next, of one job

A step counts as finished when the state in a trainer's shared memory says so; it is read there twice a millisecond,
which costs the job nothing. What a kill costs is the time from it to the first step of the next generation, less the
job's median step of before for that step and for each that was still finished between. Its parts are the coordinator's own stamps: notice (kill to BROKEN stored), abort (to the next FORM),
form (to START), redo (to the step). After each kill the worker is started again, and the next kill waits until it
trains."""
import argparse
import json
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, children, wait_for  # noqa: E402  pylint: disable=wrong-import-position

WORKERS = 4
STATE_OFFSET_AT, STEP_AT = 24, 40  # struct mu_region_control, struct mu_state
POLL_S = 0.0005
TRUSTING = ("--quarantine-failures", "0")  # the same workers die again and again


class Steps(threading.Thread):
    """Watches the state's step in every trainer; `done` holds when each was first finished by anyone."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.maps, self.done, self.going = cluster, {}, [], True
        self.newest = 0

    def look_for_trainers(self):
        for pid in [pid for pid in self.maps if not os.path.exists(f"/proc/{pid}")]:
            del self.maps[pid]
        for worker in list(self.cluster.workers.values()):
            for pid in children(worker.pid, "muster-trainer"):
                if pid not in self.maps:
                    self.attach(pid)

    def attach(self, pid):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if "/memfd:" in os.readlink(path):
                    with open(path, "rb") as file:
                        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
                    offset = struct.unpack_from("<Q", view, STATE_OFFSET_AT)[0]
                    if offset:  # else the trainer still makes it
                        self.maps[pid] = view, offset + STEP_AT
        except (OSError, ValueError, struct.error):
            pass  # it has just begun, or just died

    def step_of(self, pid):
        """The step that this trainer has finished; -1: it has no state yet."""
        if pid not in self.maps:
            return -1
        view, at = self.maps[pid]
        step = struct.unpack_from("<Q", view, at)[0]
        return step if step < 1 << 40 else -1

    def run(self):
        looked = 0.0
        while self.going:
            now = time.time()
            if now - looked > 0.2:
                self.look_for_trainers()
                looked = now
            for view, at in self.maps.values():
                step = struct.unpack_from("<Q", view, at)[0]
                if self.newest < step < 1 << 40:
                    self.newest = step
                    self.done.append((now, step))
            time.sleep(POLL_S)

    def step_seconds(self, since, until=1e18):
        """Seconds of each step finished in this time; of those that one look found together, their mean."""
        seen = [at for at in self.done if since <= at[0] <= until]
        return [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(seen, seen[1:])]


def median(values):
    return sorted(values)[len(values) // 2]


def spread(values):
    ordered = sorted(values)
    return " ".join(f"{1e3 * ordered[min(len(ordered) - 1, len(ordered) * k // 10)]:.0f}" for k in (0, 1, 5, 9, 10))


def job_file(cluster, name, layers, channels, micro_batches=8, context=32, every=10**8, hash_every=50):
    return cluster.write(f"{name}.yaml", f"""
name: {name}
trainer: gpt
model: {{layers: {layers}, channels: {channels}, heads: 4}}
data: {{path: {cluster.text()}, format: text, context: {context}}}
batch: {{global: {micro_batches}, micro: 1}}
steps: 100000000
workers: {{min: 1, max: 8}}
checkpoint: {{every: {every}, dir: {cluster.dir}/{name}}}
hash_every: {hash_every}
""")


class Scene:
    """A cluster of four workers that train one job, watched."""

    def __init__(self, cluster, calm_steps=12, **model):
        self.cluster = cluster
        self.job = cluster.submit(job_file(cluster, "recovery", **model))
        self.steps = Steps(cluster)
        self.steps.start()
        self.random = random.Random(1)
        self.settled(calm_steps)

    def settled(self, calm_steps=12):
        """All four train, and have for some steps: when that was so, and the calm step's median."""
        self.cluster.wait_members(self.job, len(self.cluster.workers))
        since, first = time.time(), self.steps.newest
        wait_for("calm steps", lambda: self.steps.newest >= first + calm_steps
                 and len(self.steps.step_seconds(since)) >= calm_steps // 2)
        return median(self.steps.step_seconds(since))

    def next_step(self):
        """When it is finished, and which it is."""
        before = self.steps.newest
        wait_for("a step", lambda: self.steps.newest > before)
        return self.steps.done[-1]

    def joins(self, name):
        """Wait until this worker trains too: its state is where the newest is. Asking the coordinator again and again
        would take the processor time that is measured."""
        def trains():
            pids = children(self.cluster.workers[name].pid, "muster-trainer")
            return any(self.steps.step_of(pid) >= self.steps.newest - 1 for pid in pids)
        wait_for(f"{name} trains", trains)
        first, calm = self.steps.newest, 12
        wait_for("steps with it", lambda: self.steps.newest >= first + calm)

    def events(self):
        return [json.loads(line) for line in
                self.cluster.muster("-o", "json", "events", "--job", self.job).splitlines()]

    def kill(self, what):
        """Kill; when it was, and a calm step's time before."""
        calm = self.settled()
        time.sleep(calm * self.random.random())
        name = self.random.choice(sorted(self.cluster.workers))
        before, worker = self.steps.newest, self.cluster.workers[name]
        pid = worker.pid if what == "worker" else children(worker.pid, what)[0]
        when = time.time()
        os.kill(pid, signal.SIGKILL)
        wait_for("three more steps", lambda: self.steps.newest >= before + 3)
        if what == "worker":
            self.cluster.workers.pop(name).wait()
            self.cluster.start_worker(name)
        return when, calm


def cost_of(kill, events, done):
    """What a kill cost beyond calm steps, and its parts: notice, abort, form, redo. None if it broke nothing.

    The clock stops at the first step of the next generation. Steps that were finished between the kill and then are
    taken off too: the death of an agent's children takes a moment."""
    when, calm = kill
    stamp = {}
    for event in events:
        at, kind = event.get("time_ms", 0) / 1e3, event["event"]
        order = ("BROKEN", "FORM", "START")
        if kind in order and kind not in stamp and at >= when - 0.002 and len(stamp) == order.index(kind):
            stamp[kind] = at
    if len(stamp) < 3 or stamp["BROKEN"] > when + 30:
        return None
    end = next(at for at, _ in done if at >= stamp["START"] - 0.001)
    between = len([at for at, _ in done if when < at < end])
    return (end - when - calm * (1 + between), stamp["BROKEN"] - when, stamp["FORM"] - stamp["BROKEN"],
            stamp["START"] - stamp["FORM"], end - stamp["START"])


def kill_scene(title, what, kills, limit, **model):
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, **model)
        all_kills = [scene.kill(what) for _ in range(kills)]
        scene.settled()
        events = scene.events()
        scene.steps.going = False
    costs = [cost for cost in (cost_of(kill, events, scene.steps.done) for kill in all_kills) if cost]
    beyond = [cost[0] for cost in costs]
    calm = median([calm for _, calm in all_kills])
    print(f"| {title}: beyond a calm step of {1e3 * calm:.0f} ms, ms | median {1e3 * median(beyond):.0f}, worst "
          f"{1e3 * max(beyond):.0f} | least, tenth, half, nine tenths, most: {spread(beyond)} | | {limit} |", flush=True)
    print("| its parts, medians, ms | " + ", ".join(
        f"{name} {1e3 * median([cost[1 + i] for cost in costs]):.0f}" for i, name in enumerate(("notice", "abort", "form", "redo")))
        + f" | of {len(costs)} of {kills} kills | | |", flush=True)


def scene_kill(kills):
    for what in ("worker", "muster-trainer", "muster-collective"):
        kill_scene(f"kill -9 of a {what.removeprefix('muster-')}, 4 workers, model of 0.8 MB", what, kills,
                   "median 100, worst 600", layers=4, channels=64)


def scene_kill_64(kills):
    kill_scene("kill -9 of a worker, 4 workers, model of 64 MB", "worker", max(kills // 3, 5), "one more calm step",
               layers=5, channels=512, context=16)


def scene_silent(kills):
    """The agent, its trainer and its collective stand still, as on a host that vanished without a FIN."""
    noticed = []
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        for _ in range(max(kills // 2, 5)):
            scene.settled()
            worker = cluster.workers[scene.random.choice(sorted(cluster.workers))]
            stopped = [worker.pid] + [pid for program in ("muster-trainer", "muster-collective")
                                      for pid in children(worker.pid, program)]
            before, when = scene.steps.newest, time.time()
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            wait_for("the others go on", lambda: scene.steps.newest >= before + 20)  # pylint: disable=cell-var-from-loop
            noticed.append(min(event["time_ms"] for event in scene.events()
                               if event["event"] == "BROKEN" and event["time_ms"] / 1e3 >= when) / 1e3 - when)
            for pid in stopped:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass  # its agent has ended it meanwhile
        scene.steps.going = False
    print(f"| a worker falls silent, 4 workers: until it is lost, ms | median {1e3 * median(noticed):.0f}, worst "
          f"{1e3 * max(noticed):.0f} | {spread(noticed)} | | <= 1250: the limit and a beat |", flush=True)


def goodput(kills, every, enough, calm_steps, micro_batches):
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, calm_steps, layers=6, channels=256, context=64, micro_batches=micro_batches)
        calm = scene.settled(calm_steps)
        start, first = scene.next_step()
        for number in range(kills):
            time.sleep(max(0.0, start + (number + 1) * every * calm - time.time()))
            name = scene.random.choice(sorted(cluster.workers))
            cluster.kill_worker(name)
            cluster.start_worker(name)
        end, last = scene.next_step()
        again = scene.settled(calm_steps)
        scene.steps.going = False
    done, took = last - first, end - start
    worth = done * (calm + again) / 2 / took
    print(f"| goodput with a death every {every:.1f} steps of {1e3 * calm:.0f} ms ({1e3 * again:.0f} ms afterwards) | "
          f"{done} steps in {took:.0f} s, {kills} deaths | calm steps | {100 * worth:.1f}% | >= {enough}% |", flush=True)


RATIOS = ((1 / 0.18, 97), (1 / 0.73, 70))


def scene_goodput(kills):
    for every, enough in RATIOS:
        goodput(kills, every, enough, 8, 32)


def scene_goodput_long(kills):
    for every, enough in RATIOS:
        goodput(kills, every, enough, 4, 32 * 12)


def scene_join(kills):
    gaps = []
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        for number in range(kills):
            calm = scene.settled()
            since = time.time()
            cluster.start_worker(f"joiner{number}")
            scene.joins(f"joiner{number}")
            gaps.append(max(scene.steps.step_seconds(since)) - calm)
            cluster.kill_worker(f"joiner{number}")
        scene.steps.going = False
    print(f"| join of a fifth worker, model of 0.8 MB: longest gap between steps beyond a calm one, ms | median "
          f"{1e3 * median(gaps):.0f}, worst {1e3 * max(gaps):.0f} | {spread(gaps)} | | 150 and the transfer |", flush=True)


OUTAGE_S, AFTER_S = 30, 5


def hundredth(values):
    """What one step in a hundred takes at least."""
    return sorted(values)[len(values) * 99 // 100]


def outage(cluster, scene):
    """The steps before and during one, in seconds."""
    began = time.time()
    time.sleep(OUTAGE_S)
    killed = time.time()
    cluster.kill_coordinator()
    time.sleep(OUTAGE_S)
    cluster.start_coordinator()
    time.sleep(AFTER_S)
    return scene.steps.step_seconds(began, killed), scene.steps.step_seconds(killed)


def scene_outage(kills):
    """Medians and hundredths are compared round by round."""
    with Cluster(2) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        began = cluster.status(scene.job)
        rounds = [outage(cluster, scene) for _ in range(max(kills // 8, 1))]
        ended = wait_for("both train", lambda: (s := cluster.status(scene.job))["workers"] == 2 and s)
        scene.steps.going = False
        silent = any(cluster.says(name, "waits-for-coordinator") for name in cluster.workers)
    same = (began["generation"], began["restarts"]) == (ended["generation"], ended["restarts"]) and not silent
    before, during = ([1e3 * pace for pair in rounds for pace in pair[side]] for side in (0, 1))
    ratios = {name: sorted(of(pair[1]) / of(pair[0]) for pair in rounds) for name, of in (("median", median), ("hundredth", hundredth))}
    print(f"| a step while there is no coordinator for {OUTAGE_S} s, 2 workers, model of 0.8 MB, {len(rounds)} outages, ms | median "
          f"{median(during):.1f}, one in a hundred {hundredth(during):.1f}, longest {max(during):.0f} | the {OUTAGE_S} s before each: "
          f"{median(before):.1f}, {hundredth(before):.1f}, {max(before):.0f} | medians {median(ratios['median']):.2f} ({ratios['median'][0]:.2f} to "
          f"{ratios['median'][-1]:.2f}), one in a hundred {median(ratios['hundredth']):.2f}; "
          f"{'generation and restarts unchanged, nobody waited' if same else 'A GENERATION ENDED, OR SOMEBODY WAITED'} | none lost or delayed |",
          flush=True)


def checkpoint_cost(title, windows, every=20, **model):
    """The steps after a checkpoint against the as many before it and before the next, of the same job.

    What the first take longer is its cost: the copy, and what its writer takes from the trainers. Saving each 20 steps
    and not each 100 gives five times as many pairs in the same time; all of the writing must fall into the first half.
    States are compared after both halves, as they are in any case where checkpoint.every is a multiple of hash_every."""
    half = every // 2
    with Cluster(2) as cluster:
        scene = Scene(cluster, every=every, hash_every=half, **model)
        first = (scene.steps.newest // every + 1) * every
        last = first + windows * every
        wait_for("steps", lambda: scene.steps.newest >= last, 900)
        scene.steps.going = False
        saved = json.loads(cluster.muster("-o", "json", "checkpoints", scene.job))
    done = iter(list(scene.steps.done))
    ends = {mark: next(at for at, step in done if step >= mark) for mark in range(first - half, last + 1, half)}
    took = [ends[mark + half] - ends[mark] for mark in sorted(ends)[:-1]]  # before, after, before, after, ..., before
    calm = median(took[::2]) / half
    costs = sorted(took[i] - (took[i - 1] + took[i + 1]) / 2 for i in range(1, len(took) - 1, 2))
    shares = [100 * cost / (100 * calm) for cost in costs]
    late = sum(row["committed_ms"] / 1e3 > ends[row["step"] + half] for row in saved if first <= row["step"] < last)
    quarter = len(costs) // 4
    print(f"| checkpoint, {title}: {len(costs)} of them, each beside {every} steps of {1e3 * calm:.1f} ms; {late} were written longer than "
          f"{half} steps | {1e3 * median(costs):.1f} ms each (half of them: {1e3 * costs[quarter]:.1f} to {1e3 * costs[-quarter - 1]:.1f}, "
          f"mean {1e3 * sum(costs) / len(costs):.1f}) | 100 steps: {100 * calm:.2f} s | {median(shares):.2f}% of the time of 100 steps "
          f"({shares[quarter]:.2f} to {shares[-quarter - 1]:.2f}, mean {sum(shares) / len(shares):.2f}) | <= 1% |", flush=True)


def scene_checkpoint(kills):
    checkpoint_cost("2 workers, model of 0.8 MB", 5 * kills, layers=4, channels=64)
    checkpoint_cost("2 workers, model of 64 MB", max(kills // 4, 5), layers=5, channels=512, context=16)


SCENES = {"kill": scene_kill, "kill-64": scene_kill_64, "silent": scene_silent, "goodput": scene_goodput, "join": scene_join,
          "outage": scene_outage, "checkpoint": scene_checkpoint}
ON_DEMAND = {"goodput-long": scene_goodput_long}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join([*SCENES, *ON_DEMAND]))
    options = parser.parse_args()
    for name in options.scenes or SCENES:
        scene = {**SCENES, **ON_DEMAND}.get(name)
        if not scene:
            sys.exit(f"there is no scene {name}: {', '.join([*SCENES, *ON_DEMAND])}")
        scene(options.kills)
    return 0


if __name__ == "__main__":
    sys.exit(main())
