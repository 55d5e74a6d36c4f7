#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker's connection stands and leads to nobody: nothing ends it, and nothing comes of what is said there. The worker
makes a new one by itself. Between them stands a relay, as a router that translates addresses would."""
import select
import socket
import sys
import threading

from cluster import Cluster, Tap, wait_for

SPEC = {"name": "line", "steps": 1000000, "batch": 24, "every": 25}


class Relay:
    """Passes on what comes at its port, each connection by one of its own; those it swallows stand, and end at the relay."""

    def __init__(self, endpoint):
        host, port = endpoint.removeprefix("tcp://").split(":")
        self.to = host, int(port)
        self.listener = socket.create_server((host, 0), backlog=64)
        self.endpoint = f"tcp://{host}:{self.listener.getsockname()[1]}"
        self.lines = []  # [worker's side, coordinator's side]; None: swallowed
        self.kept = []   # coordinator's sides of those
        self.woken, self.wake = socket.socketpair()
        self.lock, self.going = threading.Lock(), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.going = False
        self.wake.send(b"x")
        self.thread.join()
        for side in [self.listener, self.woken, self.wake, *self.kept, *(side for line in self.lines for side in line if side)]:
            side.close()

    def swallow(self):
        """What stands now leads to nobody from now on, for ever, from either side: how many."""
        with self.lock:
            self.kept += [line[1] for line in self.lines]
            for line in self.lines:
                line[1] = None
            count = len(self.lines)
        self.wake.send(b"x")
        return count

    def accept(self):
        worker = self.listener.accept()[0]
        try:
            self.lines.append([worker, socket.create_connection(self.to)])
        except OSError:
            worker.close()

    def pass_on(self, line, side):
        """False: that line has ended."""
        try:
            data = side.recv(65536)
            other = line[1] if side is line[0] else line[0]
            if data and other:
                other.sendall(data)
        except OSError:
            return False
        return bool(data)

    def end(self, line):
        for side in filter(None, line):
            side.close()
        self.lines.remove(line)

    def turn(self, ready):
        if self.woken in ready:
            self.woken.recv(64)
        if self.listener in ready:
            self.accept()
        for line in list(self.lines):
            if not all(self.pass_on(line, side) for side in line if side in ready):
                self.end(line)

    def run(self):
        while self.going:
            with self.lock:
                sides = [side for line in self.lines for side in line if side]
            ready = select.select([self.listener, self.woken, *sides], [], [])[0]
            with self.lock:
                self.turn(ready)


class Relayed(Cluster):
    """w0 reaches the coordinator by the relay, w1 directly."""

    def __init__(self):
        super().__init__()
        self.relay = Relay(self.endpoint)
        self.start_worker("w1")
        self.start_worker("w0")

    def start_worker(self, name, *options, **keywords):
        direct = self.endpoint
        self.endpoint = self.relay.endpoint if name == "w0" else direct
        super().start_worker(name, *options, **keywords)
        self.endpoint = direct

    def __exit__(self, kind, value, trace):
        super().__exit__(kind, value, trace)
        self.relay.close()

    def both_train(self, job):
        return self.wait_step(job, self.wait_members(job, 2)["step"] + 5)


def swallowed():
    """all that w0 says is swallowed: it is lost, dials again by itself, and joins anew"""
    with Relayed() as cluster:
        job = cluster.submit(cluster.gpt(**SPEC))
        cluster.both_train(job)
        assert cluster.relay.swallow() >= 1
        wait_for("w0 dials again", lambda: cluster.says("w0", "redial"))
        cluster.both_train(job)
        cluster.same_as_calm(job, **SPEC)


def another_coordinator():
    """the coordinator dies behind the relay, and w0's connection stands: it finds the next one at the same address"""
    with Relayed() as cluster:
        job = cluster.submit(cluster.gpt(**SPEC))
        cluster.both_train(job)
        assert cluster.relay.swallow() >= 1
        cluster.kill_coordinator()
        cluster.start_coordinator()
        wait_for("w0 dials again", lambda: cluster.says("w0", "redial"))
        cluster.both_train(job)
        cluster.same_as_calm(job, **SPEC)


if __name__ == "__main__":
    sys.exit(Tap().run(swallowed, another_coordinator))
