#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_recovery.py - what a death, a join and a checkpoint cost a running job, in one run beside calm steps of it

usage: bench_recovery.py [--kills N] [--longer N] [SCENE ...]        default: 24 kills a scene, all scenes

    kill       kill -9 of one of 4 workers (its agent; its children die with it), model under 4 MB; and of a trainer,
               and of a collective alone
    kill-64    the same kill of a worker with a model of 64 MB
    silent     all processes of a worker are stopped: until it is declared lost, against the configured limit and a beat
    goodput    a worker dies every 5.6 and every 1.4 steps and is started again at once: what each death cost in
               steps, by calm steps of the same minute (torchft's published ratios of step time to failure interval)
    goodput-long  a death every 5.6 steps, each twelve times as long (--longer), nearer to those that are worth more than
               one machine; half an hour, five minutes with --kills 5 --longer 8, so only when it is named
    join       a worker joins a running job: the longest gap between two steps of the others
    outage     no coordinator for 30 s, kill -9 and a new one: the steps of two workers meanwhile and in the 5 s afterwards,
               against those of the 30 s before
    checkpoint the steps after each checkpoint against those before it and before the next, of one job; model of 0.8 MB
    checkpoint-64  the same with a model of 64 MB

A step counts as finished when the state in a trainer's shared memory says so; it is read there twice a millisecond,
which costs the job nothing. What a kill costs is the time from it to the first step of the next generation, less the
job's median step of before for that step and for each that was still finished between. Its parts are the coordinator's own stamps: notice (kill to BROKEN stored), abort (to the next FORM),
form (to START), redo (to the step). After each kill the worker is started again, and the next kill waits until it
trains.

Goodput: calm steps take a tenth more or less from minute to minute, as much as deaths cost, so six deaths at a time
stand between two pauses in which nobody dies. From the first death until all train again as before, T seconds and n
steps, T / c - n steps were lost, c being a calm step: for each death those right before and right after it, where
steps lie between two deaths that begin a second after the newest generation began, which has all workers, and after a
step of it; or those of both pauses; or, as before, of the calm steps before all deaths and after them. All that a death
costs is in T: goodput is 1 - lost steps / (deaths x steps between them). The same in processor time of all processes.
If steps between deaths still paid for one, they would take more processor time than those in pauses: that is told."""
import argparse
import ctypes
import json
import math
import mmap
import os
import random
import resource
import signal
import struct
import sys
import threading
import time
import typing

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, child_ids, children, process_stat, processor_seconds, wait_for  # noqa: E402  pylint: disable=wrong-import-position

WORKERS = 4
STATE_OFFSET_AT, STEP_AT = 24, 40  # struct mu_region_control, struct mu_state
POLL_S = 0.0005
TRUSTING = ("--quarantine-failures", "0")  # the same workers die again and again


class Spent:
    """Processor time of this process's children and all under them, living and dead.

    What an agent leaves behind when it is killed becomes a child of this process, and is waited for here: so nobody's time
    is lost."""

    PR_SET_CHILD_SUBREAPER = 36
    ORPHANS = ("muster-trainer", "muster-collecti", "muster-save")

    def __init__(self):
        if ctypes.CDLL(None, use_errno=True).prctl(self.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "prctl")

    def of_child(self, pid):
        stat = process_stat(pid)
        if stat and stat[0] in self.ORPHANS and stat[1][0] == "Z":
            os.waitpid(pid, os.WNOHANG)
            return 0  # it is counted with the dead
        return processor_seconds(pid)

    def now(self):
        living = sum(map(self.of_child, child_ids(os.getpid())))
        dead = resource.getrusage(resource.RUSAGE_CHILDREN)
        return living + dead.ru_utime + dead.ru_stime


class Done(typing.NamedTuple):
    """A step that was finished: when, which, and the processor time that all had taken by then."""
    at: float
    step: int
    spent: float


class Steps(threading.Thread):
    """Watches the state's step in every trainer; `done` holds when each was first finished by anyone, and with `spent` how
    much processor time all had taken by then, each `spent_every` steps: to ask costs a millisecond."""

    def __init__(self, cluster, spent=None, spent_every=1):
        super().__init__(daemon=True)
        self.cluster, self.maps, self.done, self.going = cluster, {}, [], True
        self.newest, self.spent, self.spent_every = 0, spent, spent_every
        self.trainers = {}  # of each worker, as last looked
        self.condemned = set()  # trainers: a look into their memory would keep it from who takes their place

    def look_for_trainers(self):
        for pid in [pid for pid in self.maps if not os.path.exists(f"/proc/{pid}")]:
            del self.maps[pid]
        for name, worker in list(self.cluster.workers.items()):
            self.trainers[name] = children(worker.pid, "muster-trainer")
            for pid in self.trainers[name]:
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
        view, at = self.maps.get(pid, (None, 0))
        if not view:
            return -1
        step = struct.unpack_from("<Q", view, at)[0]
        return step if step < 1 << 40 else -1

    def run(self):
        looked = 0.0
        while self.going:
            now = time.time()
            if now - looked > 0.2:
                self.look_for_trainers()
                looked = now
            while self.condemned:
                self.maps.pop(self.condemned.pop(), None)
            for view, at in self.maps.values():
                step = struct.unpack_from("<Q", view, at)[0]
                if self.newest < step < 1 << 40:
                    asks = self.spent and step // self.spent_every > self.newest // self.spent_every
                    self.done.append(Done(now, step, self.spent.now() if asks else math.nan))
                    self.newest = step
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

    def __init__(self, cluster, calm_steps=12, spent=None, spent_every=1, **model):
        self.cluster = cluster
        self.job = cluster.submit(job_file(cluster, "recovery", **model))
        self.steps = Steps(cluster, spent, spent_every)
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

    def trains(self, name):
        """Asked fifty times a second while all wait for it, which looking at processes would take a twentieth of a core for."""
        return any(self.steps.step_of(pid) >= self.steps.newest - 1 for pid in self.steps.trainers.get(name, ()))

    def joins(self, name):
        """Wait until this worker trains too: its state is where the newest is. Asking the coordinator again and again
        would take the processor time that is measured."""
        wait_for(f"{name} trains", lambda: self.trains(name))
        first, calm = self.steps.newest, 12
        wait_for("steps with it", lambda: self.steps.newest >= first + calm)

    def pause(self, steps):
        """All train, and have for so many steps since what it cost is paid: a step's seconds."""
        wait_for("all train", lambda: all(self.trains(name) for name in self.cluster.workers))
        time.sleep(SETTLED_S)
        first = self.next_step()
        wait_for("calm steps", lambda: self.steps.newest >= first.step + steps)
        return (self.steps.done[-1].at - first.at) / (self.steps.done[-1].step - first.step)

    def dies_at(self, when):
        """A worker dies then, or as soon as that can be, and is started again: when it was."""
        time.sleep(max(0.0, when - time.time()))
        name, now = self.random.choice(sorted(self.cluster.workers)), time.time()
        self.steps.condemned.update(self.steps.trainers.get(name, ()))
        self.cluster.kill_worker(name)
        self.cluster.start_worker(name)
        return now

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
    end = next(at for at, *_ in done if at >= stamp["START"] - 0.001)
    between = len([at for at, *_ in done if when < at < end])
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


def scene_kill(options):
    for what in ("worker", "muster-trainer", "muster-collective"):
        kill_scene(f"kill -9 of a {what.removeprefix('muster-')}, 4 workers, model of 0.8 MB", what, options.kills,
                   "median 100, worst 600", layers=4, channels=64)


def scene_kill_64(options):
    kill_scene("kill -9 of a worker, 4 workers, model of 64 MB", "worker", max(options.kills // 3, 5), "one more calm step",
               layers=5, channels=512, context=16)


def scene_silent(options):
    """The agent, its trainer and its collective stand still, as on a host that vanished without a FIN."""
    noticed = []
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        for _ in range(max(options.kills // 2, 5)):
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


SETTLED_S = 1.0  # after a generation's start its spares are started (AGENT_SPARE_MS) and what was left is tidied up
DEATHS_AT_A_TIME = 6
BESIDE = 4  # so many steps of a pause are as near to a death as those between two deaths


def calm_steps(done, events, deaths):
    """Steps of a generation with all workers, from a second after its start on and not its first, that ended before anybody
    died: as (what was done before it, what with it)."""
    sizes = {event["generation"]: len(event["members"]) for event in events if event["event"] == "FORM"}
    changes = [(event["time_ms"] / 1e3, event) for event in events if event["event"] in ("FORM", "START", "BROKEN")]
    found = []
    for before, after in zip(done, done[1:]):
        when, last = max(((at, event) for at, event in changes if at <= after.at), key=lambda change: change[0])
        if (last["event"] == "START" and sizes[last["generation"]] == WORKERS and when + SETTLED_S <= before.at
                and after.step == before.step + 1 and not any(when <= death <= after.at for death in deaths)):
            found.append((before, after))
    return found


def mean_of(calm, unit):
    """Seconds, or seconds of processor time, of a calm step."""
    return sum(getattr(after, unit) - getattr(before, unit) for before, after in calm) / len(calm)


class Stretch:
    """Some deaths, from the last calm step before them to the first after them."""

    def __init__(self, deaths, done, calm, before, after):
        self.deaths, self.around = deaths, before + after
        begin = [pair[1] for pair in calm if pair[1].at <= deaths[0]][-1]
        end = [pair[0] for pair in calm if pair[0].at >= deaths[-1]][0]
        self.marks = [begin, *([it for it in done if it.at < death][-1] for death in deaths[1:]), end]
        self.between = [[pair for pair in calm if pair[0].at > death and pair[1].at <= until]
                        for death, until in zip(deaths, deaths[1:])]
        self.beside = [before[-BESIDE:], *self.between, after[:BESIDE]]  # before the first death, after it, after the second, ...

    def lost(self, unit, calm=None):
        """Steps that the deaths cost, by the calm steps of the pauses around them, or these."""
        begin, end = self.marks[0], self.marks[-1]
        took = getattr(end, unit) - getattr(begin, unit)
        return took / mean_of(calm or self.around, unit) - (end.step - begin.step)

    def lost_between(self, unit):
        """The same, for each death by the calm steps right before and right after it: what a death costs lies between the
        two, so that a pace that changes all the time favours nobody."""
        lost = 0
        for begin, end, *beside in zip(self.marks, self.marks[1:], self.beside, self.beside[1:]):
            calm = [mean_of(some or self.around, unit) for some in beside]
            lost += (getattr(end, unit) - getattr(begin, unit)) / (sum(calm) / 2) - (end.step - begin.step)
        return lost


def goodput_row(every, enough, stretches, pauses):
    """One row; each share with the least and the most of the stretches, or of before and after."""
    deaths = sum(len(stretch.deaths) for stretch in stretches)

    def share(lost, of_deaths=deaths):
        return 100 * (1 - lost / (of_deaths * every))

    def told(lost):
        shares = [share(it, len(stretch.deaths)) for it, stretch in zip(lost, stretches)]
        return f"{share(sum(lost)):.1f}%" + (f" ({min(shares):.1f} to {max(shares):.1f})" if len(shares) > 1 else "")

    between = [sum(stretch.between, []) for stretch in stretches]
    had = sum(bool(some) for stretch in stretches for some in stretch.between)
    lost = {(by, unit): [getattr(stretch, by)(unit) for stretch in stretches] for by in ("lost", "lost_between") for unit in ("at", "spent")}
    best = "lost_between" if had else "lost"
    spent = sum(it * mean_of(stretch.around, "spent") for it, stretch in zip(lost[best, "spent"], stretches)) / deaths
    whole = [share(sum(stretch.lost("at", calm) for stretch in stretches)) for calm in (pauses[0] + pauses[-1], pauses[0], pauses[-1])]
    paces = [round(1e3 * mean_of(pause, "at")) for pause in pauses]
    by_between = ""
    if had:
        paid = sum(mean_of(some, "spent") for some in between if some) / sum(mean_of(it.around, "spent") for it, some in zip(stretches, between) if some)
        by_between = (f"by the calm steps between deaths, which there were {had} of {deaths - len(stretches)} times and which took {paid:.2f} of the "
                      f"pauses' in processor time, {told(lost['lost_between', 'at'])}, in processor time {told(lost['lost_between', 'spent'])}; ")
    print(f"| goodput with a death every {every:.1f} steps of {sum(paces) / len(paces):.0f} ms (in pauses "
          f"{', '.join(map(str, paces))}) | {deaths} deaths, each {sum(lost[best, 'at']) / deaths:.2f} steps, {spent:.2f} s of processor time | calm "
          f"steps | {by_between}by the pauses around each {len(stretches[0].deaths)} deaths {told(lost['lost', 'at'])}, in processor time "
          f"{told(lost['lost', 'spent'])}; by those before and after all {whole[0]:.1f}% ({min(whole):.1f} to {max(whole):.1f}) | >= {enough}% |",
          flush=True)


def goodput(kills, every, enough, steps_of_calm, micro_batches):
    spent = Spent()
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, steps_of_calm, spent, layers=6, channels=256, context=64, micro_batches=micro_batches)
        deaths = []
        for at_a_time in [DEATHS_AT_A_TIME] * (kills // DEATHS_AT_A_TIME) or [kills]:
            calm = scene.pause(steps_of_calm)
            first = scene.next_step().at + calm * scene.random.random()
            deaths.append([scene.dies_at(first + number * every * calm) for number in range(at_a_time)])
        scene.pause(steps_of_calm)
        events = scene.events()
        scene.steps.going = False
    done = list(scene.steps.done)
    calm = calm_steps(done, events, sum(deaths, []))
    edges = [0.0, *(edge for these in deaths for edge in (these[0], these[-1])), 1e18]
    pauses = [[pair for pair in calm if since <= pair[0].at and pair[1].at <= until] for since, until in zip(edges[::2], edges[1::2])]
    goodput_row(every, enough, [Stretch(these, done, calm, before, after) for these, before, after in zip(deaths, pauses, pauses[1:])], pauses)


RATIOS = ((1 / 0.18, 97), (1 / 0.73, 70))


def scene_goodput(options):
    for every, enough in RATIOS:
        goodput(options.kills, every, enough, 8, 32)


def scene_goodput_long(options):
    every, enough = RATIOS[0]
    goodput(options.kills, every, enough, 3, 32 * options.longer)


def scene_join(options):
    gaps = []
    with Cluster(WORKERS, TRUSTING) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        for number in range(options.kills):
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


def scene_outage(options):
    """Medians and hundredths are compared round by round."""
    with Cluster(2) as cluster:
        scene = Scene(cluster, layers=4, channels=64)
        began = cluster.status(scene.job)
        rounds = [outage(cluster, scene) for _ in range(max(options.kills // 8, 1))]
        ended = wait_for("both train", lambda: (s := cluster.status(scene.job))["workers"] == 2 and s)
        scene.steps.going = False
        silent = any(cluster.says(name, "waits_for_coordinator") for name in cluster.workers)
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
    spent = Spent()
    with Cluster(2) as cluster:
        scene = Scene(cluster, spent=spent, spent_every=half, every=every, hash_every=half, **model)
        first = (scene.steps.newest // every + 1) * every
        last = first + windows * every
        wait_for("steps", lambda: scene.steps.newest >= last, 900)
        scene.steps.going = False
        saved = json.loads(cluster.muster("-o", "json", "checkpoints", scene.job))
    done = iter(list(scene.steps.done))
    ends = {mark: next(it for it in done if it.step >= mark) for mark in range(first - half, last + 1, half)}

    def costs_in(unit):
        took = [getattr(ends[mark + half], unit) - getattr(ends[mark], unit) for mark in sorted(ends)[:-1]]
        calm = median(took[::2]) / half  # before, after, before, after, ..., before
        return calm, sorted(took[i] - (took[i - 1] + took[i + 1]) / 2 for i in range(1, len(took) - 1, 2))

    calm, costs = costs_in("at")
    _, of_processors = costs_in("spent")
    shares = [100 * cost / (100 * calm) for cost in costs]
    late = sum(row["committed_ms"] / 1e3 > ends[row["step"] + half].at for row in saved if first <= row["step"] < last)
    quarter = len(costs) // 4
    print(f"| checkpoint, {title}: {len(costs)} of them, each beside {every} steps of {1e3 * calm:.1f} ms; {late} were written longer than "
          f"{half} steps | {1e3 * median(costs):.1f} ms each (half of them: {1e3 * costs[quarter]:.1f} to {1e3 * costs[-quarter - 1]:.1f}, "
          f"mean {1e3 * sum(costs) / len(costs):.1f}), {1e3 * median(of_processors):.1f} of processor time (half: {1e3 * of_processors[quarter]:.1f} to "
          f"{1e3 * of_processors[-quarter - 1]:.1f}) | 100 steps: {100 * calm:.2f} s | {median(shares):.2f}% of the time of 100 steps "
          f"({shares[quarter]:.2f} to {shares[-quarter - 1]:.2f}, mean {sum(shares) / len(shares):.2f}) | <= 1% |", flush=True)


def scene_checkpoint(options):
    checkpoint_cost("2 workers, model of 0.8 MB", 5 * options.kills, layers=4, channels=64)


def scene_checkpoint_64(options):
    checkpoint_cost("2 workers, model of 64 MB", options.kills, layers=5, channels=512, context=16)


SCENES = {"kill": scene_kill, "kill-64": scene_kill_64, "silent": scene_silent, "goodput": scene_goodput, "join": scene_join,
          "outage": scene_outage, "checkpoint": scene_checkpoint, "checkpoint-64": scene_checkpoint_64}
ON_DEMAND = {"goodput-long": scene_goodput_long}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--longer", type=int, default=12)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join([*SCENES, *ON_DEMAND]))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # no cluster stays behind
    for name in options.scenes or SCENES:
        scene = {**SCENES, **ON_DEMAND}.get(name)
        if not scene:
            sys.exit(f"there is no scene {name}: {', '.join([*SCENES, *ON_DEMAND])}")
        scene(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
