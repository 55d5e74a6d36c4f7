# SPDX-License-Identifier: Apache-2.0
"""crew.py - a cluster with several coordinators and a register that says which of them reigns"""
import os
import re
import signal
import subprocess

from cluster import BUILD, Cluster, free_port, wait_for


class Crew(Cluster):
    """Coordinators by name: each has a folder, an endpoint for workers and clients, and one for the others."""

    peer_lost_ms = 1500  # on a full machine one that lives may get no turn for a second, and is to stay in sync

    def __init__(self, workers=0, names=("a", "b"), register="file", witnesses=(), **keywords):
        self.names, self.register_kind, self.witnesses = list(names), register, list(witnesses)
        everyone = [*names, *witnesses]
        self.endpoints = {name: f"tcp://127.0.0.1:{free_port()}" for name in everyone}
        self.peer_endpoints = {name: f"tcp://127.0.0.1:{free_port()}" for name in everyone}
        self.processes = {}
        super().__init__(workers, **keywords)

    def __exit__(self, kind, value, trace):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        super().__exit__(kind, value, trace)

    def register_options(self):
        if self.register_kind == "file":
            folder = os.path.join(self.dir, "register")
            os.makedirs(folder, exist_ok=True)
            return ["--register", f"file:{folder}/reign"]
        return ["--register", "majority:", *(word for peer in self.peer_endpoints.values() for word in ("--peers", peer))]

    def start(self, name, *options):
        if name in self.witnesses:
            own = ["--witness"]
        else:
            own = ["--listen", self.endpoints[name], "--peer-lost-ms", str(self.peer_lost_ms), *self.register_options()]
            own += [] if name == self.names[0] else ["--standby"]
        self.processes[name] = self.spawn(f"coordinator-{name}", "muster-coordinator", "--dir", os.path.join(self.dir, f"state-{name}"),
                                          "--peer-listen", self.peer_endpoints[name], *own, *self.coordinator_options, *options)

    def start_coordinator(self, *options):
        for name in [*self.witnesses, *self.names]:
            self.start(name, *options)
        self.reigning()
        self.wait_in_sync(len(self.names))

    def kill(self, *names):
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].wait()

    def ask(self, name, *arguments, limit_s=30, patience_s=8):
        """That coordinator alone."""
        return subprocess.run([os.path.join(BUILD, "muster"), "--coordinator", self.endpoints[name], "--timeout", str(patience_s), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit_s,
                              env=dict(os.environ, HOME=self.dir), check=False)

    def alive(self):
        return [name for name in self.names if self.processes[name].poll() is None]

    def leader(self):
        """Who answers as the one that reigns: a change of nothing is refused by the others (exit 75)."""
        leaders = [name for name in self.alive() if self.ask(name, "drain", "nobody-of-this-name", patience_s=3).returncode == 102]
        return leaders[0] if len(leaders) == 1 else None

    def reigning(self):
        """Who reigns: on a full machine nobody may, for a moment."""
        return wait_for("a coordinator reigns", self.leader, 60)

    def other(self, name):
        """Of two."""
        return next(other for other in self.names if other != name)

    def events(self, name):
        return self.log_lines(f"coordinator-{name}")

    def in_sync(self):
        """How many are, the leader with them, by its last word about it; 0 before its first in this term."""
        leader = self.leader()
        told = {name: self.told_in_sync(name) for name in self.names}
        if not leader or told[leader] != max(told.values()):
            return 0
        return told[leader][1]

    def told_in_sync(self, name):
        """What it said last: (term, how many)."""
        texts = [event["text"] for event in self.events(name) if event["event"] in ("in_sync", "alone")]
        found = re.match(r"term (\d+): (\d+|no) other", texts[-1]) if texts else None
        return (int(found[1]), 1 if found[2] == "no" else 1 + int(found[2])) if found else (0, 0)

    def registered_in_sync(self):
        """How many are, by the file register: who was killed cannot swap it any more."""
        folder = os.path.join(self.dir, "register")
        newest = max((name for name in os.listdir(folder) if re.fullmatch(r"reign\.\d+", name)), key=lambda name: int(name[6:]))
        with open(os.path.join(folder, newest), encoding="utf-8") as register:
            words = next(line for line in register if line.startswith("in-sync ")).split()
        return len(words) - 1

    def wait_in_sync(self, count):
        wait_for(f"{count} coordinators are in sync", lambda: self.in_sync() == count, 60)

    def all_endpoints(self):
        return [word for name in self.names for word in ("--coordinator", self.endpoints[name])]

    def start_worker(self, name, *options, threads=1, isa="auto", env=None):
        self.workers[name] = self.spawn(name, "muster-worker", *self.all_endpoints(), "--name", name, "--dir",
                                        os.path.join(self.dir, name), "--threads", str(threads), "--isa", isa,
                                        *self.network_options, *options, env=env)

    def command(self, *arguments):
        return [os.path.join(BUILD, "muster"), *self.all_endpoints(), *arguments]
