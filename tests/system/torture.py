#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torture.py - a seeded schedule of faults over one gpt job; the weights must be those of a calm run

usage: torture.py [--faults N] [--seed S] [--coordinator [--kills N] [--standby]] [--by-command] [--steps N]
default: 20 faults, seed 1; the job is trained until it was saved after the last fault (with --steps: to its end)

One gpt job trains on 2 to 6 workers that come and go while processes are killed and stopped: agents, trainers,
collectives. With --coordinator every other fault is the coordinator's: it is killed at work, with a submit on its
way, while it starts, after it stood still; it goes on until that happened --kills times (default: half the faults). With
--standby there are two coordinators, and it is the leader, the standby or both (torture_standby.py).
What happens and to whom is drawn from the seed; when, is
the job's own progress: each fault waits for the step drawn for it. Afterwards the weights hash must equal that of
one worker that nobody disturbed at that step, every submit that was acknowledged must be there once, and the journal must prove
that each micro-batch was trained exactly once (muster ledger verify). With --by-command everything is broken by
`muster fault`, which can also slow a worker, cut it off, lose its words and spoil a result. Prints TAP and, on failure, how to replay."""
import argparse
import os
import random
import signal
import subprocess
import sys
import time

from cluster import ENDS, Cluster, calm_weights, child_ids, stop_on_signals, wait_for
from crew import Crew
from torture_standby import Pair

WORKERS_MAX, WORKERS_MIN = 6, 2
ENDLESS = 100_000_000


def below(parent):
    """Processes right under this one: {program: pid}."""
    found = {}
    for pid in sorted(child_ids(parent)):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                command = os.path.basename(line.read().split(b"\0")[0].decode())
        except OSError:
            continue
        found.setdefault(command, pid)
    return found


class Rivals(Crew):
    """Whom they think lost they need not be right about."""

    peer_lost_ms = 500


class Coordinator:
    """One coordinator's process; a cluster may have several."""

    def __init__(self, cluster):
        self.cluster = cluster

    def signal(self, number):
        self.cluster.coordinator.send_signal(number)

    def kill(self):
        self.cluster.kill_coordinator()

    def spawn(self):
        self.cluster.spawn_coordinator()

    def start(self):
        self.cluster.start_coordinator()


class Torture:
    def __init__(self, cluster, job, options):
        self.cluster, self.job, self.options = cluster, job, options
        self.coordinators = [Coordinator(cluster)]
        self.kills = 0  # of coordinators
        self.random = random.Random(options.seed)
        self.pair = Pair(self) if options.standby else None
        self.next_worker = 0
        self.stopped = []  # (when to go on, pid)
        self.acknowledged = []
        self.count = {}
        self.waits = []  # (seconds until the next fault's step was reached, faults before)

    def say(self, text):
        print(f"# {text}", flush=True)

    # --- what can happen, by command ------------------------------------------------------------------

    def order(self, kind, name, *more):
        """What it says was done; None where it could not be: the worker is lost, or has no such process now."""
        run = self.cluster.try_muster("fault", kind, name, *more)
        if run.returncode in (69, 75):
            return None
        if run.returncode:
            raise AssertionError(f"fault {kind} {name} {more} exits with {run.returncode}: {run.stderr}")
        return f"{kind}: {run.stderr.strip()}"

    def order_death(self):
        name = self.some_worker()
        text = self.order("kill", name)
        if text:
            self.cluster.workers.pop(name).wait(60)
        return text

    def order_death_of_coordinator(self):
        text = self.order("kill", "coordinator")
        self.cluster.coordinator.wait(60)
        self.kills += 1
        time.sleep(self.random.choice([0, 0.3, 2]))
        self.cluster.start_coordinator()
        return text

    def order_anything(self):
        for_ = ("--for", f"{self.random.choice([100, 500, 1500, 3000])}ms")
        direction = ("--direction", self.random.choice(["both", "in", "out"]))
        process = ("--process", self.random.choice(["trainer", "collective"]))
        return self.random.choice([
            lambda: self.order("kill", self.some_worker(), *process),
            lambda: self.order("kill", self.some_worker(), *process),
            lambda: self.order("stop", self.some_worker(), *process, *for_),
            lambda: self.order("stop", self.some_worker(), "--process", "agent", *for_),
            lambda: self.order("slow", self.some_worker(), "--factor", "4", *for_),
            lambda: self.order("corrupt", self.some_worker(), "--what", "result"),
            lambda: self.order("partition", self.some_worker(), *for_, *direction),
            lambda: self.order("partition", self.some_worker(), *for_, "--peers"),
            lambda: self.order("drop", self.some_worker(), "--percent", "30", *for_, *direction)])()

    # --- what can happen ------------------------------------------------------------------------------

    def add_worker(self):
        faults = ["--enable-faults"] if self.options.by_command else []
        self.cluster.start_worker(f"t{self.next_worker}", *faults, isa=self.random.choice(["auto", "auto", "avx2"]))
        self.next_worker += 1
        return f"t{self.next_worker - 1} joins"

    def some_worker(self):
        return self.random.choice(sorted(self.cluster.workers))

    def kill_worker(self):
        name = self.some_worker()
        self.cluster.kill_worker(name)
        return f"kill -9 of worker {name}"

    def child(self, program):
        name = self.some_worker()
        return name, below(self.cluster.workers[name].pid).get(program)

    def kill_child(self, program):
        name, pid = self.child(program)
        if not pid:
            return None
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return f"kill -9 of {program} of {name}"

    def stop_for_a_while(self, name, what, pid):
        seconds = self.random.choice([0.1, 0.5, 1.5, 3.0])
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return None
        self.stopped.append((time.monotonic() + seconds, pid))
        return f"{what} of {name} is stopped for {seconds} s"

    def stop_worker(self):
        name = self.some_worker()
        return self.stop_for_a_while(name, "the agent", self.cluster.workers[name].pid)

    def stop_child(self, program):
        name, pid = self.child(program)
        return self.stop_for_a_while(name, program, pid) if pid else None

    def drain_worker(self):
        name = self.some_worker()
        self.cluster.workers.pop(name).send_signal(signal.SIGTERM)
        return f"worker {name} is told to leave"

    # --- a coordinator's deaths -----------------------------------------------------------------------

    def pause(self, most_s):
        time.sleep(self.random.uniform(0, most_s))

    def die(self, coordinator):
        """At any moment between two steps of what it does."""
        self.pause(0.05)
        coordinator.kill()
        self.kills += 1

    def kill_coordinator(self, coordinator):
        self.die(coordinator)
        time.sleep(self.random.choice([0, 0, 0.3, 2]))
        coordinator.start()
        return "kill -9 of the coordinator"

    def kill_starting_coordinator(self, coordinator):
        self.die(coordinator)
        for _ in range(self.random.randint(1, 3)):
            coordinator.spawn()
            self.pause(0.1)
            self.die(coordinator)
        coordinator.start()
        return "kill -9 again and again of the starting coordinator"

    def kill_stopped_coordinator(self, coordinator):
        coordinator.signal(signal.SIGSTOP)
        self.pause(3)
        self.die(coordinator)
        coordinator.start()
        return "kill -9 after a SIGSTOP of the coordinator"

    def stop_coordinator(self, coordinator):
        coordinator.signal(signal.SIGSTOP)
        self.pause(3)
        coordinator.signal(signal.SIGCONT)
        return "SIGSTOP and SIGCONT of the coordinator"

    def kill_coordinator_that_hears(self, coordinator):
        """A submit is on its way when it dies: afterwards it is there once, whatever its client was told."""
        key, spec = self.new_submit()
        client = subprocess.Popen(self.cluster.command("--timeout", "1", "submit", spec, "--key", key), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        self.die(coordinator)
        coordinator.start()
        told = client.communicate(timeout=60)[0].strip() if client.wait(60) == 0 else ""
        self.settle(key, spec, told, self.cluster.jobs())
        return "kill -9 with a submit on its way of the coordinator"

    def settle(self, key, spec, told, jobs):
        """It was acknowledged as job `told`, or not (""): it is looked for first, since a lost one's number is given again."""
        if told and told not in (str(info["id"]) for info in jobs):
            raise AssertionError(f"the submit {key} was acknowledged as job {told}, which is not there")
        number = self.cluster.muster("submit", spec, "--key", key).strip()
        if told not in ("", number):
            raise AssertionError(f"the submit {key} was acknowledged as job {told} and is job {number} now")
        self.acknowledged.append((key, number))

    def trouble_coordinator(self):
        coordinator = self.random.choice(self.coordinators)
        return self.random.choice([self.kill_coordinator, self.kill_coordinator, self.kill_starting_coordinator,
                                   self.kill_stopped_coordinator, self.stop_coordinator,
                                   self.kill_coordinator_that_hears, self.kill_coordinator_that_hears])(coordinator)

    def trouble_pair(self):
        text = self.pair.trouble()
        self.count[text] = self.count.get(text, 0) + 1
        return text

    # --- one of them ----------------------------------------------------------------------------------

    def new_submit(self):
        return f"key-{len(self.acknowledged)}", self.cluster.gpt("never", steps=10, workers=(200, 200), batch=400)

    def submit(self):
        key, spec = self.new_submit()
        number = self.cluster.muster("submit", spec, "--key", key).strip()
        self.acknowledged.append((key, number))
        return f"submit of job {number}"

    def note(self, text):
        """Counts it by its kind, which stands before what `muster fault` said."""
        kind = (text.split(": ")[0] if ": " in text else
                text.split(" of ")[0].split(" is ")[0] if " of " in text else text.split(" ", 1)[1])
        if text.endswith("coordinator"):
            kind += ": coordinator"
        self.count[kind] = self.count.get(kind, 0) + 1
        return text

    def happen(self, number):
        if self.options.coordinator and number % 2 and not self.options.by_command:
            return self.trouble_pair() if self.pair else self.note(self.trouble_coordinator())
        living = len(self.cluster.workers)
        choices = [(3, lambda: self.kill_child("muster-trainer")), (4, lambda: self.kill_child("muster-collective")),
                   (1, self.submit), (2, lambda: self.stop_child("muster-collective")),
                   (2, lambda: self.stop_child("muster-trainer")), (2, self.stop_worker)]
        if self.options.by_command:
            choices = [(9, self.order_anything), (1, self.submit)]
        if living > WORKERS_MIN:
            choices += [(4, self.order_death if self.options.by_command else self.kill_worker), (1, self.drain_worker)]
        if living < WORKERS_MAX:
            choices += [(5, self.add_worker)]
        if self.options.coordinator and self.options.by_command:
            choices += [(5, self.order_death_of_coordinator)]
        weights, actions = zip(*choices)
        text = self.random.choices(actions, weights)[0]()
        return self.note(text) if text else None

    # --- the run --------------------------------------------------------------------------------------

    def wake(self, everybody=False):
        now = time.monotonic()
        for when, pid in list(self.stopped):
            if everybody or now >= when:
                self.stopped.remove((when, pid))
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def status(self):
        self.wake()
        return self.cluster.status(self.job)

    def run(self):
        done, at = 0, 5
        while done < self.options.faults or self.kills < self.options.kills:
            began = time.monotonic()
            status = wait_for(f"step {at}", lambda: ((s := self.status())["step"] >= at or s["state"] in ENDS) and s, 300)
            self.waits.append((time.monotonic() - began, done))
            if status["state"] in ENDS:
                raise AssertionError(f"the job is {status['state']} after {done} faults (more --steps?): {status['reason']}")
            text = self.happen(done)
            if text:
                done += 1
                self.say(f"{done}: step {status['step']}, generation {status['generation']}: {text}")
            at = status["step"] + self.random.randint(0, self.options.gap)
        self.wake(everybody=True)
        while len(self.cluster.workers) < WORKERS_MIN:
            self.add_worker()
        return self.cluster.wait_done(self.job, 600) if self.options.steps else self.stop()

    def attempt(self, again, *claims):
        """What run () says, and a summary; None: it failed, so none of these claims holds."""
        began = time.monotonic()
        try:
            result = self.run()
        except Exception as why:  # pylint: disable=broad-except
            self.cluster.show_logs()
            print("\n".join([f"# {why}", f"# again: {again}", *(f"not ok {number} - {claim}" for number, claim in enumerate(claims, 1))]))
            return None
        finally:
            self.wake(everybody=True)
        print(f"# {sum(self.count.values())} faults, {self.kills} deaths of the coordinator, in {time.monotonic() - began:.0f} s: "
              + ", ".join(f"{count} {kind}" for kind, count in sorted(self.count.items())))
        return result

    def stop(self):
        """The job's newest checkpoint, which has seen all faults; it is trained no further."""
        end = self.status()["step"]
        saved = wait_for("a checkpoint after the last fault", lambda: (s := self.status())["weights_step"] >= end and s, 300)
        self.cluster.muster("cancel", self.job)
        return saved


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0,
                        help="of the job, which is trained to its end; default: until it was saved after the last fault")
    parser.add_argument("--gap", type=int, default=60, help="steps between faults, at most")
    parser.add_argument("--coordinator", action="store_true", help="kill the coordinator too")
    parser.add_argument("--standby", action="store_true", help="with --coordinator: two of them, and either can be hit")
    parser.add_argument("--by-command", action="store_true", help="break things with `muster fault`")
    parser.add_argument("--kills", type=int, help="of the coordinator at least; default: half the faults")
    options = parser.parse_args(arguments)
    if options.kills is None:
        options.kills = options.faults // 2 if options.coordinator and not options.by_command else 0
    if options.kills and not options.coordinator:
        parser.error("--kills is about --coordinator")
    if options.standby and (options.by_command or not options.coordinator):
        parser.error("--standby is about --coordinator, and not about --by-command")
    spec = {"steps": options.steps or ENDLESS, "workers": (1, WORKERS_MAX), "every": 200}
    replay = f"scripts/torture --faults {options.faults} --seed {options.seed} --gap {options.gap}"
    replay += f" --steps {options.steps}" if options.steps else ""
    replay += f" --coordinator --kills {options.kills}" if options.coordinator else ""
    replay += " --standby" if options.standby else ""
    replay += " --by-command" if options.by_command else ""
    stop_on_signals()
    print("1..4", flush=True)
    quiet = ("--quarantine-failures", "0")  # or hardly any worker would be left
    with (Rivals if options.standby else Cluster)(coordinator_options=(*quiet, "--enable-faults") if options.by_command else quiet) as cluster:
        job = cluster.submit(cluster.gpt("torture", **spec))
        torture = Torture(cluster, job, options)
        torture.add_worker()
        torture.add_worker()
        status = torture.attempt(replay, "the job goes on", "weights", "submits", "ledger")
        if not status:
            return 1
        print(f"# {status['generation']} generations, {status['restarts']} not planned; longest waits for a step: "
              + ", ".join(f"{seconds:.1f} s after fault {number}" for seconds, number in sorted(torture.waits)[:-4:-1]))
        jobs = [info for info in (torture.pair or cluster).jobs() if info["name"] == "never"]
        ledger = cluster.try_muster("ledger", "verify", job)
        numbers = [number for _, number in torture.acknowledged]
        once = sorted(str(info["id"]) for info in jobs) == sorted(numbers) and (not torture.pair or torture.pair.end(numbers))
    print("ok 1 - the job goes on until it has seen all faults and was saved")
    same = status["weights_hash"] == calm_weights(status["weights_step"], **spec)
    print(f"{'ok' if same else 'not ok'} 2 - the weights are those of one undisturbed worker")
    print(f"{'ok' if once else 'not ok'} 3 - every acknowledged submit is there once")
    proven = ledger.returncode == 0
    for line in (ledger.stdout + ledger.stderr).splitlines():
        print(f"# {line.rstrip()}")
    print(f"{'ok' if proven else 'not ok'} 4 - the ledger proves that each micro-batch was trained exactly once")
    if not (same and once and proven):
        print(f"# again: {replay}")
    return 0 if same and once and proven else 1


if __name__ == "__main__":
    sys.exit(main())
