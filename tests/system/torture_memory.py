#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torture_memory.py - a bit of a worker's memory falls over, and something else happens at once; no weights may be wrong

usage: torture_memory.py --memory [--rounds N] [--seed S] [--config NAME] [--where WHERE] [--only WHAT[,WHAT...]]
without --rounds: those of SHORT, some seconds each; with it so many, drawn from the seed and those that follow it

Each round is a gpt job of its own, on two to four workers. At a step that is drawn from the seed one bit falls over in what a
trainer shares with its collective: a weight, a moment, a product of Adam's, a scale, a counter. Within some tenths of a second one to three
other things happen: a death, a join, a drain, a pause, a preemption, a coordinator's death, its standby's reign, another bit. Afterwards
the job must be done, with the weights of one worker that nobody disturbed, the same in all checkpoints that are left, and a
ledger that is proven; or have failed, and say why. What must not be: `done` with other weights, and a job that hangs.

--only moment is for one moment: the bit falls over, and in that very step one member is left a step behind the others, by a wrong sum or by
its death while the others have the sums and it has not.

Prints TAP, and with each round what happened, and how to have just that one again."""
import argparse
import contextlib
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time

from cluster import ENDS, PATIENT, Cluster, children, stop_on_signals, wait_for
from crew import Crew
from memory import memory_of
from test_fault import FLAG, NO_FAULTS, built_in

NEVER = 1 << 20  # no comparison is due before the job is over
EVALUATION = {"eval": "{fraction: 0.1, every: 7, batches: 4}"}
# A job, and what is set beside it. Steps of the first take some 50 ms, of `quick` 2.
CONFIGS = {
    "late": ({"steps": 24, "batch": 256, "every": 8, "hash_every": NEVER, "audit_every": NEVER}, ()),
    "late_seen": ({"steps": 24, "batch": 256, "every": 5, "hash_every": 6, "audit_every": 3, **EVALUATION}, ()),
    "seen": ({"steps": 60, "batch": 64, "every": 10, "hash_every": 8, "audit_every": 4}, ()),
    "unseen": ({"steps": 60, "batch": 64, "every": 15, "hash_every": NEVER, "audit_every": NEVER}, ()),
    "evaluated": ({"steps": 60, "batch": 64, "every": 7, "hash_every": 5, "audit_every": 3, "dropout": 0.1, **EVALUATION},
                  ("batch.micro=4",)),
    "int64": ({"steps": 60, "batch": 64, "every": 16, "hash_every": 50, "audit_every": 64, "reduce": "int64"}, ("batch.micro=2",)),
    "host": ({"steps": 120, "batch": 32, "every": 13, "hash_every": 6, "audit_every": 5, "bits": "host"}, ()),
    "quick": ({"steps": 1500, "batch": 8, "every": 50, "hash_every": 10, "audit_every": 8}, ()),
    "quick_unseen": ({"steps": 1500, "batch": 8, "every": 200, "hash_every": NEVER, "audit_every": 0}, ()),
}
TEXT = 60_000  # bytes; so
RECORDS = TEXT // 32  # an epoch, which ends in the middle of each of these jobs
WHERE = ["weights"] * 6 + ["m", "v", "v", "beta1_power", "beta2_power", "skipped", "scale", "step", "attempt"]
# With its memory goes what another's could be compared with: of all but one and the wrong one, at most.
WITNESS_DIES = ("kill_other", "trainer_other", "trainer_behind")
HEAD = ("beta1_power", "beta2_power", "skipped", "scale", "step", "attempt")  # kept twice: the trainer sees it, and ends
QUIET = (FLAG, *PATIENT, "--quarantine-failures", "0")  # who is lost by chance could not be compared with


class Round:
    """What is drawn follows from the seed and the options alone, whatever the machine does."""

    def __init__(self, seed, config=None, only=None, where=None):
        self.again = f"scripts/torture --memory --rounds 1 --seed {seed}"
        for option, value in (("config", config), ("only", only and ",".join(only)), ("where", where)):
            self.again += f" --{option} {value}" if value else ""
        self.seed, self.random = seed, random.Random(seed)
        draw = self.random
        moment = only == ["moment"]
        names = ["late", "unseen", "seen", "quick_unseen", "int64"] if moment else list(CONFIGS)
        self.config = config or draw.choice(names)
        self.spec, self.sets = CONFIGS[self.config]
        self.count = draw.choice([2, 3, 3, 4])
        self.victim = f"w{draw.randrange(self.count)}"
        self.others = [name for name in self.names() if name != self.victim]
        self.behind = draw.choice(self.names())
        self.where, self.place, self.bit = self.draw_place(where)
        self.at = self.draw_step()
        self.plan = self.draw_moment() if moment else self.draw_plan(only)
        self.memory, self.names_of_coordinators = {}, []

    def names(self):
        return [f"w{number}" for number in range(self.count)]

    def draw_place(self, only=None):
        draw = self.random
        where = draw.choice(WHERE)
        where = only or where
        if where in ("weights", "m", "v"):  # the first weight is one of each position's: all that is computed depends on it
            return where, draw.choice([0.0, draw.random()]), draw.choice([1, 16, 21, 22, 23, 27, 30])
        return where, draw.random(), draw.randrange({"skipped": 4, "scale": 5, "step": 12, "attempt": 4}.get(where, 64))

    def draw_step(self):
        """Anywhere, near the end, near a checkpoint, near an evaluation, near the end of an epoch."""
        draw, steps = self.random, self.spec["steps"]
        last = steps - 1 - draw.randrange(4)
        if self.config.startswith("late") and draw.random() < 0.6:
            return last
        epoch = RECORDS / self.spec["batch"]
        near = [draw.randrange(1, max(2, int(steps // often))) * often + draw.choice([-2, -1, 0, 1])
                for often in (self.spec["every"], 7, epoch)]
        return min(max(int(draw.choice([draw.randrange(steps), draw.randrange(steps), last, *near])), 0), steps - 1)

    def draw_plan(self, only):
        """[(seconds to wait, what)]"""
        draw = self.random
        plan = self.with_a_witness(["flip", *(only or [draw.choice(ALONE) for _ in range(draw.choice([1, 1, 2, 3]))])])
        if draw.random() < 0.35:
            draw.shuffle(plan)
        gaps = [0, 0, 0, 0.01, 0.02, 0.05] if self.config.startswith("late") else [0, 0, 0.02, 0.05, 0.1, 0.3]
        return [(draw.choice(gaps) if number else 0, what) for number, what in enumerate(plan)]

    def with_a_witness(self, plan):
        kept = []
        spared = self.count - 2
        if self.where in HEAD and "flip_other" in plan:  # two memories fail: one ends, the other is wrong
            spared -= 1
            plan = plan if spared >= 0 else [what for what in plan if what != "flip_other"]
        for what in plan:
            if what not in WITNESS_DIES or sum(name in WITNESS_DIES for name in kept) < spared:
                kept.append(what)
        return kept

    def draw_moment(self):
        draw = self.random
        plan = ["flip", draw.choice(APART if self.count > 2 else APART[:2])]
        if draw.random() < 0.3:
            plan.append(draw.choice(["join", "collective", "kill_other", "drain_other", "drain_self", "coordinator"]))
        return [(0, what) for what in self.with_a_witness(plan)]

    # --- what can happen ------------------------------------------------------------------------------

    def memory_of(self, name):
        """None: its trainer has none now."""
        memory = self.memory.get(name)
        if not memory or not memory.lives():
            memory = self.memory[name] = memory_of(self.cluster, name)
        return memory

    def nothing(self):
        return ""

    def flip(self):
        return self.flip_in(self.victim, self.where, self.place, self.bit)

    def flip_in(self, name, where, place, bit):
        if name not in self.cluster.workers:
            name = min(self.cluster.workers)
            wait_for(f"{name} has memory", lambda: self.memory_of(name) or self.ended(), 10)
        memory = self.memory_of(name)
        return f"{memory.flip(where, place, bit)} of {name} at step {memory.step()}" if memory else "no memory"

    def flip_other(self):
        return self.flip_in(self.others[0], *self.draw_place())

    def flip_twice(self):
        return self.flip_in(self.victim, *self.draw_place())

    def flip_joiner(self):
        """While it opens, waits for its state, receives it, or has it."""
        name = self.join()
        wait_for("the joiner has memory", lambda: self.memory_of(name) or self.ended(), 10)
        time.sleep(self.random.choice([0, 0.001, 0.005, 0.02]))
        return self.flip_in(name, "weights", *self.draw_place()[1:])

    def kill_child(self, name, program):
        for pid in children(self.cluster.workers[name].pid, program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return name

    def trainer_other(self):
        return self.kill_child(self.others[-1], "muster-trainer")

    def collective(self):
        return self.kill_child(self.others[0], "muster-collective")

    def collective_self(self):
        return self.kill_child(self.victim, "muster-collective")

    def kill_other(self):
        self.cluster.kill_worker(self.others[-1])
        return self.others.pop()

    def stop_other(self):
        for pid in children(self.cluster.workers[self.others[0]].pid, "muster-trainer"):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(pid, signal.SIGCONT)
        return self.others[0]

    def all_die(self):
        for name in list(self.cluster.workers):
            self.cluster.kill_worker(name)
        for number in range(self.count):
            self.cluster.start_worker(f"y{number}", FLAG)
        return ""

    def join(self):
        name = f"x{len(self.cluster.workers)}"
        self.cluster.start_worker(name, FLAG)
        return name

    def kill_joiner(self):
        name = self.join()
        time.sleep(self.random.choice([0.05, 0.1, 0.15, 0.2]))
        self.cluster.kill_worker(name)
        return name

    def order(self, *words):
        return self.cluster.try_muster(*words).stderr.strip()

    def drain_other(self):
        return self.order("drain", self.others[-1])

    def drain_self(self):
        return self.order("drain", self.victim)

    def scale(self):
        return self.order("scale", self.job, str(max(2, self.count - 1)))

    def pause_only(self):
        """It is told to go on where its end is waited for."""
        return self.order("pause", self.job)

    def pause(self):
        said = self.order("pause", self.job)
        time.sleep(self.random.choice([0, 0.2, 1]))
        return said + self.order("resume", self.job)

    def preempt(self):
        return self.cluster.submit(self.cluster.gpt("high", steps=20, workers=(1, self.count - 1)), "priority=5")

    def coordinator(self):
        for name in self.names_of_coordinators:
            self.cluster.kill(name)
        if not self.names_of_coordinators:
            self.cluster.kill_coordinator()
        self.cluster.start_coordinator()
        return ""

    def takeover(self):
        """The one that reigns dies, and its standby takes over."""
        self.cluster.kill("a")
        self.cluster.start("a")
        return ""

    def spoil_result(self):
        memory = self.memory_of(self.behind)
        if not memory:
            return "no memory"
        memory.spoil_result()
        return f"of {self.behind} at step {memory.step()}"

    def kill_behind(self, program):
        """One collective shares a processor with this process, which does not sleep, and is told to let others run first. So
        it comes to a meeting late, and leaves it before or after the others."""
        memories = {name: self.memory_of(name) for name in self.names()}
        pids = {name: children(self.cluster.workers[name].pid, program) for name in self.names()}
        if not all(memories.values()):
            return "no memory"
        processors, processor = os.sched_getaffinity(0), min(os.sched_getaffinity(0))
        for pid in children(self.cluster.workers[self.behind].pid, "muster-collective"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, {processor})
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        os.sched_setaffinity(0, {processor})
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                proven = {name: memory.proven() for name, memory in memories.items()}
                name = min(proven, key=proven.get)
                if name == self.victim and program == "muster-trainer":
                    continue  # with its memory all would be gone that could tell
                if proven[name] < max(proven.values()) and memories[name].proven() == proven[name]:
                    for pid in pids[name]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    return f"{program} of {name}, which has {proven[name]} steps of {max(proven.values())}"
        finally:
            os.sched_setaffinity(0, processors)
        return "nobody was behind"

    def collective_behind(self):
        return self.kill_behind("muster-collective")

    def trainer_behind(self):
        return self.kill_behind("muster-trainer")

    # --- a round --------------------------------------------------------------------------------------

    def wait_for_the_step(self):
        """Looks as often as it can: a step may take two milliseconds."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            memory = self.memory_of(self.victim)
            if memory and memory.step() >= self.at and (self.at or self.cluster.status(self.job)["state"] == "running"):
                return
            time.sleep(0.0005 if memory else 0.005)

    def happen(self):
        said = []
        for seconds, what in self.plan:
            time.sleep(seconds)
            try:
                text = getattr(self, what)()
            except (AssertionError, KeyError, IndexError, FileNotFoundError, ProcessLookupError) as why:  # it is over, or gone
                text = f"could not: {why!r}"
            said.append(f"{what} {str(text).splitlines()[0][:100] if text else ''}".strip())
        return said

    def ended(self):
        try:
            status, workers = self.cluster.status(self.job), json.loads(self.cluster.try_muster("-o", "json", "workers").stdout)
        except ValueError:
            return None  # no coordinator answered
        if status["state"] == "paused":
            self.order("resume", self.job)
        if status["reason"].startswith("waits for") and "spare" not in self.cluster.workers:
            self.cluster.start_worker("spare", FLAG)  # for who died, or was found wrong
        for worker in workers:
            if worker["state"] == "drained":
                self.order("drain", "--undo", worker["name"])
        return status if status["state"] in ENDS else None

    @contextlib.contextmanager
    def submitted(self):
        """The job's number, before it is told: until the command has ended, a quick one may be over. Never on one worker alone:
        that has nobody to be compared with (0017)."""
        spec, number = self.cluster.gpt("decays", **dict(self.spec, workers=(2, 5))), "1"
        sets = [word for assignment in self.sets for word in ("--set", assignment)]
        with subprocess.Popen(self.cluster.command("submit", spec, "--key", "once", *sets), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as submit:
            yield number
            told = submit.communicate(timeout=60)[0].strip()
        if told not in ("", number):  # "": no coordinator was left to answer
            raise AssertionError(f"the first job of a new cluster is {told}")

    def run(self):
        """(status at the end, what was done, what is wrong with it)"""
        self.names_of_coordinators = ["a", "b"] if any(what == "takeover" for _, what in self.plan) else []
        with (Crew if self.names_of_coordinators else Cluster)(coordinator_options=QUIET) as self.cluster:
            self.cluster.text(TEXT)
            for name in self.names():
                self.cluster.start_worker(name, FLAG)
            wait_for("all are here", lambda: sum(w["state"] == "free" for w in self.cluster.json("workers")) == self.count)
            with self.submitted() as self.job:
                self.wait_for_the_step()
                said = self.happen()
            try:
                status = wait_for("the job ends", self.ended, 90)
            except AssertionError as why:
                return self.cluster.status(self.job), said, str(why)
            return status, said, self.wrong(status)

    def wrong(self, status):
        ledger = self.cluster.try_muster("-o", "json", "ledger", "verify", self.job)
        if ledger.returncode:
            return f"the ledger is not proven: {(ledger.stdout + ledger.stderr).strip()[:300]}"
        if status["state"] == "failed":
            return "" if status["reason"] else "it failed and does not say why"
        if status["state"] != "done":
            return f"it is {status['state']}"
        right = calm(self.config)
        if status["weights_hash"] != right[status["weights_step"]]:
            return "it is done and its weights are others"
        others = [saved for saved in self.saved() if right.get(saved["step"], saved["weights_hash"]) != saved["weights_hash"]]
        if not others:
            return ""
        known = [at["step"] for at in self.cluster.json("checkpoints", self.job)]
        return "checkpoints that are left hold other weights: " + ", ".join(
            f"that of step {saved['step']}, written in generation {saved['generation']} of {status['generation']}, which the job "
            f"{'still' if saved['step'] in known else 'no longer'} knows" for saved in others)

    def saved(self):
        """The manifests of all that can be resumed from, by whoever names a step or a path."""
        found = []
        for path in glob.glob(f"{self.cluster.dir}/checkpoints-decays/step-*/muster.json"):
            with open(path, encoding="utf-8") as file:
                found.append(json.load(file))
        return found


# What is drawn from beside a flip, and what leaves one a step behind.
ALONE = ["nothing", "flip_other", "flip_twice", "flip_joiner", "trainer_other", "collective", "collective_self", "kill_other", "stop_other",
         "all_die", "join", "kill_joiner", "drain_other", "drain_self", "scale", "pause", "pause_only", "preempt", "coordinator",
         "takeover"]
APART = ["spoil_result", "collective_behind", "trainer_behind"]
# What scripts/check does: (seed, config, what else, what the bit is one of). Each is to be done, with the right weights.
SHORT = [
    (1, "unseen", ["join"], "weights"), (2, "unseen", ["drain_self"], "v"), (5, "seen", ["kill_other"], "weights"),
    (1, "unseen", ["coordinator"], "m"), (8, "seen", ["pause"], "weights"), (2, "unseen", ["all_die"], "beta1_power"),
    (1, "seen", ["preempt"], "weights"), (3, "unseen", ["flip_joiner"], "scale"), (35, "unseen", ["nothing"], "step"),
    (2, "seen", ["takeover"], "weights"), (43, "unseen", ["moment"], "weights")]
CALM = {}


def calm(config):
    """{step: hash} of the checkpoints of one worker that nobody disturbs, with the last step's."""
    if config not in CALM:
        spec, sets = CONFIGS[config]
        with Cluster(1) as cluster:
            cluster.text(TEXT)
            job = cluster.submit(cluster.gpt("calm", **spec), *sets, "checkpoint.keep=1000")
            end = cluster.wait_done(job, 600)
            CALM[config] = {at["step"]: at["weights_hash"] for at in cluster.json("checkpoints", job)}
            assert end["weights_step"] == spec["steps"]
            CALM[config][spec["steps"]] = end["weights_hash"]
    return CALM[config]


def flipped(said):
    return any(text.startswith("flip bit") for text in said)


def good(number, drawn, must_be_done):
    """Runs it and tells."""
    one = Round(*drawn)
    calm(one.config)
    began = time.monotonic()
    status, said, wrong = one.run()
    for _ in range(3 if must_be_done else 0):
        if wrong or flipped(said):
            break
        print(f"# once more, for it was over too soon: {'; '.join(said)}")
        status, said, wrong = Round(*drawn).run()
    if must_be_done and not wrong:
        wrong = "it is not done" if status["state"] != "done" else "" if flipped(said) else "no bit was flipped"
    print(f"# {time.monotonic() - began:.1f} s, {one.config}, {one.count} workers: {'; '.join(said)}; {status['state']}, "
          f"{status['restarts']} restarts {status['reason'][:200] if status['state'] != 'done' else ''}")
    print(f"{'not ok' if wrong else 'ok'} {number} - seed {one.seed} {wrong}", flush=True)
    if wrong:
        print(f"# again: {one.again}", flush=True)
    return not wrong


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="what scripts/torture chooses this by")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", choices=CONFIGS)
    parser.add_argument("--only", type=lambda text: text.split(","), help="what happens beside the flip; or: moment")
    parser.add_argument("--where", choices=[*dict.fromkeys(WHERE)], help="what the bit is one of")
    options = parser.parse_args(arguments)
    unknown = [what for what in options.only or [] if what not in ("moment", *ALONE, *APART)]
    if unknown:
        parser.error(f"--only knows moment, {', '.join(ALONE + APART)}; not {', '.join(unknown)}")
    if not built_in():
        print(f"1..0 # SKIP {NO_FAULTS}")
        return 0
    stop_on_signals()
    rounds = [(seed, options.config, options.only, options.where)
              for seed in range(options.seed, options.seed + (options.rounds or 0))] or SHORT
    print(f"1..{len(rounds)}", flush=True)
    results = [good(number, drawn, must_be_done=not options.rounds) for number, drawn in enumerate(rounds, 1)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
