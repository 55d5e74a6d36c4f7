# SPDX-License-Identifier: Apache-2.0
"""torture_standby.py - what can happen to a coordinator and its standby: torture.py --coordinator --standby draws from it

Each kind of fault has its turn, in an order that the seed shuffles; half of them meet a submit on its way. None waits
until the two are in sync unless it must, so the next fault also meets a standby that still catches up. Whoever was
killed is started again, for a leader that is alone must come back before anything can go on."""
import json
import signal
import subprocess
import time

from cluster import wait_for


class Pair:
    def __init__(self, torture):
        self.torture, self.cluster, self.random = torture, torture.cluster, torture.random
        self.turn = []

    # --- who is who -----------------------------------------------------------------------------------

    def leader(self):
        return wait_for("one of the coordinators reigns", self.cluster.leader, 60)

    def other(self, name):
        return next(one for one in self.cluster.names if one != name)

    def jobs(self):
        """As the leader knows them; a standby may be a moment behind."""
        run = wait_for("the leader lists its jobs",
                       lambda: (run := self.cluster.ask(self.leader(), "-o", "json", "jobs")).returncode == 0 and run, 60)
        return json.loads(run.stdout)

    # --- deaths and stops -----------------------------------------------------------------------------

    def pause(self):
        self.torture.pause(self.random.choice([0.005, 0.05, 0.3]))

    def kill(self, name):
        self.pause()
        self.cluster.kill(name)
        self.torture.kills += 1

    def start(self, name):
        time.sleep(self.random.choice([0, 0, 0.3, 2]))
        self.cluster.start(name)

    def stop(self, *names):
        for name in names:
            self.pause()
            self.cluster.processes[name].send_signal(signal.SIGSTOP)
        self.torture.pause(3)
        for name in names:
            self.cluster.processes[name].send_signal(signal.SIGCONT)

    def leader_dies(self, leader):
        self.kill(leader)
        self.start(leader)

    def leader_dies_and_another_reigns(self, leader):
        self.cluster.wait_in_sync(2)
        leader = self.leader()
        self.kill(leader)
        if self.cluster.registered_in_sync() == 2:  # on a busy machine it may have been too silent for that meanwhile
            wait_for("the standby reigns", lambda: self.cluster.leader() == self.other(leader), 60)
        self.start(leader)

    def terminate(self, name):
        self.pause()
        self.cluster.processes[name].send_signal(signal.SIGTERM)
        self.cluster.processes[name].wait(60)

    def leader_is_told_to_stop(self, leader):
        self.terminate(leader)
        self.start(leader)

    def standby_is_told_to_stop(self, leader):
        self.terminate(self.other(leader))
        self.start(self.other(leader))

    def leader_is_told_to_stop_while_the_standby_catches_up(self, leader):
        self.standby_dies(leader)
        self.terminate(leader)
        self.start(leader)

    def standby_dies(self, leader):
        self.kill(self.other(leader))
        self.start(self.other(leader))

    def both_die(self, leader):
        for name in self.either_first():
            self.kill(name)
        for name in self.either_first():
            self.start(name)

    def leader_dies_before_the_standby_is_in_sync(self, leader):
        self.standby_dies(leader)
        self.kill(leader)
        self.start(leader)

    def starting_one_dies(self, leader):
        self.kill(leader)
        for _ in range(self.random.randint(1, 2)):
            self.start(leader)
            self.kill(leader)
        self.start(leader)

    def leader_stands_still(self, leader):
        self.stop(leader)

    def standby_stands_still(self, leader):
        self.stop(self.other(leader))

    def both_stand_still(self, leader):
        self.stop(*self.either_first())

    def leader_dies_after_the_standby(self, leader):
        """The standby is back first, and alone: if the leader promised anything without it, that would be gone."""
        self.cluster.kill(self.other(leader))
        self.torture.pause(self.random.choice([0.2, 1]))
        self.kill(leader)
        self.torture.kills += 1
        self.cluster.start(self.other(leader))
        self.torture.pause(4)
        self.cluster.start(leader)

    def either_first(self):
        return self.random.sample(self.cluster.names, 2)

    # --- one of them ----------------------------------------------------------------------------------

    def trouble(self):
        if not self.turn:
            self.turn = [self.leader_dies, self.leader_dies_and_another_reigns, self.standby_dies, self.both_die,
                         self.leader_dies_before_the_standby_is_in_sync, self.starting_one_dies, self.leader_stands_still,
                         self.standby_stands_still, self.both_stand_still, self.leader_dies_after_the_standby,
                         self.leader_is_told_to_stop, self.standby_is_told_to_stop,
                         self.leader_is_told_to_stop_while_the_standby_catches_up]
            self.random.shuffle(self.turn)
        fault = self.turn.pop()
        if fault == self.leader_dies_after_the_standby or self.random.random() < 0.5:
            self.with_submit(fault)
        else:
            fault(self.leader())
        self.leader()
        return fault.__name__.replace("_", " ")

    def with_submit(self, fault):
        """A submit is on its way: what was acknowledged is there, and asked for again it is the same job."""
        leader = self.leader()
        key, spec = self.torture.new_submit()
        with subprocess.Popen(self.cluster.command("--timeout", "5", "submit", spec, "--key", key), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as client:
            fault(leader)
            told = client.communicate(timeout=60)[0].strip() if client.wait(60) == 0 else ""
        self.torture.settle(key, spec, told, self.jobs())

    def end(self, numbers):
        """Both have every job, and the one that is left when the leader dies at last has them too."""
        self.cluster.wait_in_sync(2)
        self.cluster.kill(leader := self.leader())
        wait_for("the last one reigns", lambda: self.cluster.leader() == self.other(leader), 60)
        return sorted(str(info["id"]) for info in self.jobs() if info["name"] == "never") == sorted(numbers)
