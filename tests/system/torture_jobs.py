#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torture_jobs.py - faults and commands over three gpt jobs that want the same workers; the weights of each must be those of a calm run

usage: torture_jobs.py --jobs [--faults N] [--seed S] [--standby] [--gap SECONDS]

Two to six workers, and jobs of low, middle and high priority whose maxima no roster meets, so that each takes workers
from another. Of what happens a third is what people do: jobs are paused, resumed and scaled, below their minimum and beyond all that
are here, also while they are paused; workers are drained and taken back, one or all at once, also while the processes that write
checkpoints stand still or die: then all that was trained is saved. Every other of the rest is the coordinator's death (with --standby:
one of two), and what is left is torture.py's: agents, trainers and collectives are killed and stopped, workers come and go. What
happens is drawn from the seed, when is not. Afterwards each job's weights must equal those of one worker that nobody disturbed at
that step, every submit that was acknowledged must be there once, and each ledger must be proven. Prints TAP and, on failure, how to
begin with the same seed."""
import argparse
import contextlib
import os
import signal
import sys

from cluster import Cluster, calm_weights, children, stop_on_signals, wait_for
from torture import ENDLESS, WORKERS_MAX, WORKERS_MIN, Rivals, Torture

# As the calm run has them but for workers and priority, which must not matter.
SPECS = {"low": {"steps": ENDLESS, "every": 100, "batch": 32}, "middle": {"steps": ENDLESS, "every": 80, "batch": 24, "dropout": 0.1},
         "high": {"steps": ENDLESS, "every": 60, "batch": 28}}
WORKERS = {"low": (1, 6), "middle": (2, 4), "high": (1, 3)}
PRIORITY = {"low": 0, "middle": 5, "high": 9}


class Crowd(Torture):
    def __init__(self, cluster, options):
        super().__init__(cluster, None, options)
        self.jobs, self.paused = {}, set()
        self.new_job("low")

    def new_job(self, name):
        self.jobs[name] = self.cluster.submit(self.cluster.gpt(name, **SPECS[name], workers=WORKERS[name], priority=PRIORITY[name]))
        return f"submit of {name}"

    def order(self, *words):
        """Somebody asks again until it is done: for a moment no coordinator may reign, a job be unable to, or a worker that
        has just been started, or found the coordinator so, not be known."""
        def done():
            run = self.cluster.try_muster(*words)
            if run.returncode not in (0, 69, 75, 102):
                raise AssertionError(f"muster {' '.join(words)} exits with {run.returncode}: {run.stderr}")
            return run.returncode == 0
        wait_for(f"muster {' '.join(words)}", done)

    # --- what people do -------------------------------------------------------------------------------

    def pause_job(self, name):
        self.paused.add(name)
        self.order("pause", self.jobs[name])
        return f"pause of {name}"

    def resume_job(self, name):
        self.paused.discard(name)
        self.order("resume", self.jobs[name])
        return f"resume of {name}"

    def scale_job(self, name):
        """Below its minimum, which falls with it, and beyond all that are here, too."""
        most = self.random.randint(1, WORKERS_MAX + 2)
        self.order("scale", self.jobs[name], str(most))
        return f"scale of {name} to {most}"

    def pause_scale_and_resume_job(self, name):
        """Within a second, more or less; and now and then no coordinator is there for all of it."""
        self.pause_job(name)
        self.pause(self.random.choice([0, 0.1, 1]))
        text = self.scale_job(name)
        if self.random.random() < 0.5:
            text = f"{self.trouble()} between {text}"
        self.resume_job(name)
        return f"pause, scale and resume of {name}: {text}"

    def trouble(self):
        return self.pair.trouble() if self.pair else self.trouble_coordinator()

    def drain_and_take_back(self, name):  # pylint: disable=unused-argument
        worker = self.some_worker()
        self.order("drain", worker)
        self.pause(1)
        self.order("drain", worker, "--undo")
        return f"drain of {worker}, taken back"

    def drain_all_and_take_back(self, name):  # pylint: disable=unused-argument
        for worker in self.drain_all():
            self.order("drain", worker, "--undo")
        return "drain of all, taken back"

    def drain_all(self):
        names = self.random.sample(sorted(self.cluster.workers), len(self.cluster.workers))
        for worker in names:
            self.order("drain", worker)
        self.pause(self.random.choice([0, 0.3, 3]))
        return names

    # --- a writer that stands still, or dies, while all leave -----------------------------------------

    def writers(self, *names):
        """The processes of these workers that write checkpoints; before the first of a job there is none."""
        agents = [self.cluster.workers[name].pid for name in names if name in self.cluster.workers]
        return [pid for agent in agents for trainer in children(agent, "muster-trainer") for pid in children(trainer, "muster-trainer")]

    def trains(self, job):
        """How it stands, if it trains in one generation for a moment: whatever happened before is behind it."""
        status = self.cluster.status(job)
        self.pause(0.3)
        after = self.cluster.status(job)
        return (after if status["state"] == after["state"] == "running" and status["generation"] == after["generation"]
                and status["step"] + 5 <= after["step"] else None)

    def writer_stands_while_all_leave(self, name):
        """The state of those who leave is saved though it does, and however long that takes: nothing is to be trained again."""
        job = self.jobs[name]
        self.wake(everybody=True)
        before = self.trains(job)
        if not before:
            return None
        kills = self.random.choice([0, 0, 2])
        stopped = [] if kills else self.writers(self.cluster.members(job).get(0))
        for pid in stopped:
            self.stop_for_a_while(name, "the writer", pid)
        names = self.drain_all()
        for _ in range(kills):
            self.pause(0.05)
            for pid in self.writers(*names):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.random.random() < 0.3:
            self.trouble()
        wait_for("all are drained", lambda: not any(
            worker["state"] in ("working", "draining") for worker in self.cluster.json("workers") if worker["name"] in names))
        after = self.cluster.status(job)
        if after["restarts"] == before["restarts"] and after["weights_step"] < before["step"]:
            raise AssertionError(f"all workers of {name} were only drained, and what it had trained is not saved: {before} {after}")
        for worker in names:
            self.order("drain", worker, "--undo")
        return "drain of all while writers die" if kills else f"drain of all while {len(stopped)} writer of {name} stands still"

    def command(self):
        name = self.random.choice(sorted(self.jobs))
        if name in self.paused:
            return self.resume_job(name)
        return self.random.choice([self.pause_job, self.scale_job, self.pause_scale_and_resume_job, self.drain_and_take_back,
                                   self.drain_all_and_take_back, self.writer_stands_while_all_leave])(name)

    # --- the run --------------------------------------------------------------------------------------

    def run(self):
        begin = {self.options.faults // 5: "high", self.options.faults // 3: "middle"}
        done = 0
        while done < self.options.faults:
            self.pause(self.options.gap)
            self.wake()
            if done in begin:
                self.say(self.new_job(begin.pop(done)))
            commands = self.random.random() < 1 / 3
            text = self.command() if commands else self.happen(done)
            if text and commands:
                self.note(text)
            if text:
                done += 1
                self.say(f"{done}: {text}; " + ", ".join(self.how_is(name) for name in self.jobs))
        self.wake(everybody=True)
        while len(self.cluster.workers) < sum(least for least, _ in WORKERS.values()):
            self.add_worker()
        for name in sorted(self.paused):
            self.resume_job(name)
        return {name: self.end(name) for name in ("high", "middle", "low")}

    def how_is(self, name):
        status = self.cluster.status(self.jobs[name])
        return f"{name} {status['state']} at {status['step']}, generation {status['generation']}"

    def end(self, name):
        """Its newest checkpoint, which has seen all faults: it trains on after them. (status, is its ledger proven?)"""
        job = self.jobs[name]
        end = self.cluster.status(job)["step"] + 1
        saved = wait_for(f"a checkpoint of {name} after the last fault",
                         lambda: (s := self.cluster.status(job))["weights_step"] >= end and s, 300)
        ledger = self.cluster.try_muster("ledger", "verify", job)
        self.say(f"{name}: {saved['generation']} generations, {saved['restarts']} not planned; "
                 + (ledger.stdout + ledger.stderr).strip().splitlines()[-1])
        self.order("cancel", job)
        return saved, ledger.returncode == 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", action="store_true", help="what scripts/torture chooses this by")
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--standby", action="store_true", help="two coordinators, and either can be hit")
    parser.add_argument("--gap", type=float, default=0.8, help="seconds between faults, at most")
    options = parser.parse_args(arguments)
    options.coordinator, options.by_command = True, False
    again = f"scripts/torture --jobs --faults {options.faults} --seed {options.seed} --gap {options.gap}"
    again += " --standby" if options.standby else ""
    stop_on_signals()
    print("1..4", flush=True)
    with (Rivals if options.standby else Cluster)(coordinator_options=("--quarantine-failures", "0")) as cluster:
        crowd = Crowd(cluster, options)
        for _ in range(WORKERS_MIN + 1):
            crowd.add_worker()
        ends = crowd.attempt(again, "the jobs go on", "weights", "submits", "ledgers")
        if not ends:
            return 1
        jobs = [str(info["id"]) for info in (crowd.pair or cluster).jobs() if info["name"] == "never"]
        once = sorted(jobs) == sorted(number for _, number in crowd.acknowledged)
    differ = [name for name, (saved, _) in ends.items()
              if calm_weights(saved["weights_step"], **SPECS[name]) != saved["weights_hash"]]
    proven = all(ledger for _, ledger in ends.values())
    print("ok 1 - three jobs go on until they have seen all faults and were saved")
    print(f"{'not ok' if differ else 'ok'} 2 - the weights of each are those of one undisturbed worker {' '.join(differ)}")
    print(f"{'ok' if once else 'not ok'} 3 - every acknowledged submit is there once")
    print(f"{'ok' if proven else 'not ok'} 4 - each ledger proves that each micro-batch was trained exactly once")
    if differ or not once or not proven:
        print(f"# again: {again}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
