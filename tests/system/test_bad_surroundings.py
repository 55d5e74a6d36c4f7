#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad surroundings: disks, ports, names, strangers and twins. One sentence, the right exit code, nothing lost."""
import os
import re
import resource
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

from cluster import BUILD, ENDLESS, LIMIT_S, Cluster, PatientCluster, Tap, free_port, wait_for
from fault_points import build, preload
from test_bad_input import Tmpfs, need_root, says


def run(program, *arguments, limit_s=LIMIT_S, **environment):
    """A program that is expected to end by itself: (exit code, what it said)."""
    done = subprocess.run([os.path.join(BUILD, program), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=limit_s, check=False,
                          env=dict(os.environ, **environment))
    return done.returncode, done.stdout


def log_of(cluster, name):
    with open(os.path.join(cluster.dir, f"{name}.log"), encoding="utf-8", errors="replace") as log:
        return log.read()


def logged(cluster, name, word):
    return wait_for(f"{name} says {word}", lambda: [line for line in log_of(cluster, name).splitlines() if word in line])[-1]


# --- the coordinator's own ground -------------------------------------------------------------------


def databases():
    """a database of a newer version, of another program, or no database: the coordinator refuses and leaves it alone"""
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        cluster.coordinator.terminate()
        assert cluster.coordinator.wait(30) == 0
        state = os.path.join(cluster.dir, "state")
        path = os.path.join(state, "muster.db")

        def pragma(name, value):
            database = sqlite3.connect(path)
            before = database.execute(f"PRAGMA {name}").fetchone()[0]
            database.execute(f"PRAGMA {name} = {value}")
            database.close()
            return before

        def refused(*words):
            code, said = run("muster-coordinator", "--dir", state, "--listen", cluster.endpoint)
            says(said, *words)
            return code

        version = pragma("user_version", 99)
        assert refused("muster.db", "99", "newer", "version") == 65
        pragma("user_version", version)
        owner = pragma("application_id", 4711)
        assert refused("muster.db", "another program") == 65
        pragma("application_id", owner)
        cluster.start_coordinator()
        assert cluster.status(job)["state"] == "pending"
        cluster.coordinator.terminate()
        cluster.coordinator.wait(30)
        with open(path, "r+b") as file:
            file.write(b"this is no database at all" * 40)
        assert refused("muster.db", "not a database|malformed", "admin restore") == 65
        os.remove(path)
        os.mkdir(path)
        assert refused("muster.db", "unable to open", "--dir") == 71


def two_coordinators():
    """a second coordinator on one folder, or on one port, says so and ends; the first goes on"""
    with PatientCluster(1) as cluster:
        job = cluster.submit(cluster.gpt(steps=300))
        state = os.path.join(cluster.dir, "state")
        code, said = run("muster-coordinator", "--dir", state, "--listen", f"tcp://127.0.0.1:{free_port()}")
        says(said, state, "another coordinator|in use|locked")
        assert code in (69, 75), code
        code, said = run("muster-coordinator", "--dir", state + "-2", "--listen", cluster.endpoint)
        says(said, cluster.endpoint, "in use", "--listen")
        assert code == 69, code
        assert cluster.wait_done(job)["restarts"] == 0


def socket_of_another():
    """a coordinator takes no socket that another listens at, and no file for its own; a dead one's socket it does"""
    with Cluster() as cluster:
        path = os.path.join(cluster.dir, "coordinator.sock")
        first = os.path.join(cluster.dir, "first")

        def start(dir, limit_s=2):
            try:
                return run("muster-coordinator", "--dir", dir, "--listen", f"ipc://{path}", limit_s=limit_s)
            except subprocess.TimeoutExpired:
                return None, ""

        living = subprocess.Popen([os.path.join(BUILD, "muster-coordinator"), "--dir", first, "--listen", f"ipc://{path}"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            asked = ("-c", f"ipc://{path}", "coordinators")
            wait_for("it answers", lambda: run("muster", *asked)[0] == 0)
            code, said = start(first + "-2", LIMIT_S)
            says(said, path, "in use", "--listen")
            assert code == 69, code
            assert run("muster", *asked)[0] == 0, "the first is not reached any more"
        finally:
            living.kill()
            living.wait()
        assert os.path.exists(path)
        assert start(first)[0] is None, "a dead one's socket is in the way"
        if os.path.exists(path):
            os.remove(path)
        cluster.write("coordinator.sock", "precious")
        code, said = start(first, LIMIT_S)
        says(said, path, "no socket", "--listen")
        assert code == 73 and open(path, encoding="ascii").read() == "precious", code


def folders():
    """a state folder that cannot be made: exit 73, for coordinator and worker"""
    for program, more in (("muster-coordinator", ("--listen", f"tcp://127.0.0.1:{free_port()}")), ("muster-worker", ())):
        code, said = run(program, "--dir", "/proc/nothing", *more)
        says(said, "/proc/nothing", "--dir")
        assert code == 73, code
    with tempfile.TemporaryDirectory() as folder:
        code, said = run("muster-coordinator", "--listen", "tcp://0.0.0.0:7600", "--dir", folder)
        says(said, "--allow-unauthenticated")
        assert code == 77, code
        code, said = run("muster-coordinator", "--listen", "7600", "--dir", folder)
        says(said, "7600", "tcp://")
        assert code == 64, code


def database_disk_full():
    """a full disk under the database: nothing acknowledged is lost, training goes on, all recovers when there is room"""
    with PatientCluster(1) as cluster:
        cluster.coordinator.terminate()
        cluster.coordinator.wait(30)
        with Tmpfs(os.path.join(cluster.dir, "state"), "6m") as disk:
            cluster.start_coordinator()
            acknowledged = [cluster.submit(cluster.gpt("before", steps=100000, batch=2))]
            cluster.wait_step(acknowledged[0], 10)
            filler = disk.fill()
            spec = cluster.gpt("during", steps=20)
            refused = None
            for _ in range(60):
                submitted = cluster.try_muster("--timeout", "5", "submit", spec, "--key", f"try-{len(acknowledged)}")
                if submitted.returncode:
                    refused = submitted
                    break
                acknowledged.append(submitted.stdout.strip())
            assert refused, "the disk is never full"
            says(refused.stderr, "cannot write its database", "make room", "goes on")
            assert refused.returncode == 74, refused.returncode
            says(logged(cluster, "coordinator", "store_failed"), "full", "training goes on")
            shown = cluster.try_muster("jobs")  # it could be unsaid; what is stored can be read
            says(shown.stderr, "muster events", "not shown")
            assert shown.returncode == 74, shown
            assert "SUBMIT" in cluster.muster("-o", "json", "events")
            assert cluster.try_muster("metrics").returncode == 0
            assert cluster.coordinator.poll() is None
            os.remove(filler)
            late = wait_for("it recovers", lambda: (s := cluster.try_muster(
                "submit", spec, "--key", f"try-{len(acknowledged)}")).returncode == 0 and s.stdout.strip())
            assert late not in acknowledged, (late, acknowledged)
            cluster.kill_coordinator()
            cluster.start_coordinator()
            assert [job["id"] for job in cluster.json("jobs")] == [int(job) for job in [*acknowledged, late]]
            status = cluster.wait_step(acknowledged[0], 50)
            assert status["restarts"] == 0, status
            cluster.kill_coordinator()


# --- names and addresses ----------------------------------------------------------------------------


def names():
    """a coordinator's name that does not resolve, or an address where nobody is: client and worker say so, and wait for nothing else"""
    patient = ("--timeout", "3600")
    code, said = run("muster", *patient, "--coordinator", "tcp://no-such-host.invalid:7600", "jobs")
    says(said, "no-such-host.invalid", "resolve", "--coordinator")
    assert code == 68, code
    for bad, word in (("tcp://127.0.0.1", "port"), ("carrier-pigeon://x", "tcp://"), ("tcp://127.0.0.1:99999", "port")):
        code, said = run("muster", *patient, "--coordinator", bad, "jobs")
        says(said, bad, word)
        assert code == 64, code
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    asked = ["--coordinator", endpoint, "jobs"]
    waiting = subprocess.Popen([os.path.join(BUILD, "muster"), *patient, *asked], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        code, said = run("muster", "--timeout", "1", *asked)
        says(said, endpoint, "is it running")
        assert code == 69, code
        assert waiting.poll() is None, "one that is to wait for an hour does not"
    finally:
        waiting.kill()
        waiting.wait()


def worker_alone():
    """a worker without a coordinator, or with a name that does not resolve, says so and keeps trying"""
    with Cluster() as cluster:
        cluster.kill_coordinator()
        cluster.start_worker("early")
        says(logged(cluster, "early", "no_coordinator"), cluster.endpoint, "is one running", "trying")
        lost = cluster.spawn("lost", "muster-worker", "--coordinator", "tcp://no-such-host.invalid:7600", "--name", "lost",
                             "--dir", os.path.join(cluster.dir, "lost"))
        try:
            says(logged(cluster, "lost", "no_host"), "no-such-host.invalid", "resolve", "trying")
            logged(cluster, "lost", '"started"')
            lost.send_signal(signal.SIGTERM)
            assert lost.wait(LIMIT_S) == 0
        finally:
            lost.kill()
        cluster.start_coordinator()
        cluster.wait_done(cluster.submit(cluster.gpt(steps=20)))


def name_service_dead():
    """a name service that does not answer holds nothing up: the client ends, the worker can be stopped, while it would be asked on"""
    need_root()
    with Cluster() as cluster, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        try:
            service.bind(("127.0.0.1", 53))  # asked three times, each for 30 s and five times: for longer than anybody waits here
        except OSError as why:
            raise Tap.Skip(f"there is a name service here: {why}") from why
        deaf = cluster.write("resolv.conf", "nameserver 127.0.0.1\n" * 3 + "options timeout:30 attempts:5\n")
        own = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', deaf]
        client = subprocess.run([*own, os.path.join(BUILD, "muster"), "--coordinator", "tcp://far.example.org:7600", "jobs"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S)
        says(client.stderr, "far.example.org", "resolve")
        assert client.returncode == 68, client
        log = open(os.path.join(cluster.dir, "deaf.log"), "ab")
        cluster.logs.append(log)
        worker = subprocess.Popen([*own, os.path.join(BUILD, "muster-worker"), "--name", "deaf", "--dir",
                                   os.path.join(cluster.dir, "deaf"), "--coordinator", "tcp://far.example.org:7600",
                                   "--coordinator", cluster.endpoint, "--interface", "lo"], stdout=log, stderr=log)
        cluster.workers["deaf"] = worker
        cluster.wait_done(cluster.submit(cluster.gpt(steps=20)))
        says(logged(cluster, "deaf", "no_host"), "far.example.org", "trying")
        worker.terminate()
        assert worker.wait(LIMIT_S) == 0


# --- twins and sleepers -----------------------------------------------------------------------------


def one_name():
    """two workers with one name: in one folder the second ends at once; elsewhere the first is told and ends, started anew too"""
    with Cluster(1) as cluster:
        wait_for("w0 is here", lambda: cluster.json("workers"))
        folder = os.path.join(cluster.dir, "w0")
        code, said = run("muster-worker", "--coordinator", cluster.endpoint, "--name", "w0", "--dir", folder)
        says(said, "w0", folder, "--name")
        assert code == 65, code
        job = cluster.submit(cluster.gpt(steps=1500))
        cluster.wait_step(job, 20)
        first = cluster.workers["w0"]
        cluster.workers["twin"] = cluster.spawn("twin", "muster-worker", "--coordinator", cluster.endpoint, "--name", "w0",
                                                "--dir", os.path.join(cluster.dir, "twin"), "--interface", "lo")
        assert first.wait(LIMIT_S) == 65, first.returncode
        says(logged(cluster, "w0", "refused"), "w0", "another", "--name")
        for _ in range(2):
            cluster.start_worker("w0")
            assert cluster.workers["w0"].wait(LIMIT_S) == 65, cluster.workers["w0"].returncode
        cluster.wait_done(job)
        assert cluster.workers["twin"].poll() is None
        assert [worker["name"] for worker in cluster.json("workers")] == ["w0"]


def clocks_apart():
    """a worker dies, or stands still, whose host's clock is ahead: it is taken from another host, and stays there"""
    with Cluster(1) as cluster:
        folder = os.path.join(cluster.dir, "w1")

        def start(years_ahead):
            os.makedirs(os.path.join(folder, "workers"))
            with open(os.path.join(folder, "workers", "w1.lock"), "w", encoding="ascii") as file:
                print(int((time.time() + years_ahead * 31_536_000) * 1_000_000), file=file)
            cluster.start_worker("w1")

        def train_together():
            cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)

        def leave(how):
            worker = cluster.workers.pop("w1")
            os.killpg(worker.pid, how)
            os.rename(folder, f"{folder}-{how}")
            return worker

        start(2)
        job = cluster.submit(cluster.gpt(**ENDLESS))
        train_together()
        stopped = leave(signal.SIGSTOP)
        cluster.wait_members(job, 1)
        start(1)
        train_together()
        os.killpg(stopped.pid, signal.SIGCONT)
        assert stopped.wait(LIMIT_S) == 65, stopped.returncode
        train_together()
        leave(signal.SIGKILL).wait()
        start(0)
        train_together()
        assert cluster.workers["w1"].poll() is None
        assert sorted(worker["name"] for worker in cluster.json("workers")) == ["w0", "w1"]
        cluster.same_as_calm(job, **ENDLESS)


class SetClockCluster(Cluster):
    """A cluster whose coordinator's clock is set by a file."""

    def spawn(self, name, *arguments, env=None):
        if arguments[0] == "muster-coordinator":
            env = {**preload(build(self.dir, "clock_points")), "CLOCK_FILE": os.path.join(self.dir, "clock")}
        return super().spawn(name, *arguments, env=env)

    def set_clock(self, days):
        self.write("clock", str(days * 86400))


def clock_set():
    """the coordinator's clock is set forty days ahead, and back: it says so, folds and forgets nothing for it, and jobs train on"""
    with SetClockCluster(1, coordinator_options=("--keep-jobs", "1")) as cluster:
        ended = [cluster.submit(cluster.mlp(f"ended-{number}", steps=20)) for number in range(4)]
        cluster.wait_done(ended[-1])
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_step(job, 20)
        cluster.set_clock(40)
        wait_for("it says that it is ahead", lambda: cluster.says("coordinator", '"clock_jumped"', "ahead by 40 days 0 h 0 min"))
        for number in range(2):
            cluster.muster("cancel", cluster.submit(cluster.mlp(f"later-{number}", workers=(8, 8))))
        cluster.kill_coordinator()
        cluster.start_coordinator()
        time.sleep(5)  # it looks once after 3 s, and says nothing if there is nothing to do
        for old in ended:
            cluster.muster("ledger", "verify", old)
        cluster.set_clock(0)
        wait_for("it says that it is back", lambda: cluster.says("coordinator", '"clock_jumped"', "back by 40 days 0 h 0 min"))
        cluster.wait_step(job, cluster.wait_members(job, 1)["step"] + 20)
        assert cluster.status(job)["restarts"] == 0
        cluster.same_as_calm(job, **ENDLESS)


def no_files_to_open():
    """a worker on which no trainer can start (no descriptors are left) joins a job that trains: it does the job no harm"""
    with PatientCluster(2) as cluster:
        wait_for("w1 takes no work", lambda: cluster.try_muster("drain", "w1").returncode == 0)
        job = cluster.submit(cluster.gpt("files", steps=100_000, every=20))
        cluster.wait_step(job, 20)
        agent = cluster.workers["w1"].pid
        none = max(map(int, os.listdir(f"/proc/{agent}/fd"))) + 1
        resource.prlimit(agent, resource.RLIMIT_NOFILE, (none, none))
        cluster.muster("drain", "--undo", "w1")
        wait_for("no trainer starts on w1", lambda: cluster.says("w1", '"crashed"', "Too many open files"))
        wait_for("w1 is let go", lambda: cluster.says("w1", '"released"'))
        status = cluster.status(job)
        assert status["state"] == "running" and status["restarts"] == 0, status
        cluster.wait_step(job, status["step"] + 20)
        cluster.same_as_calm(job, name="files", steps=100_000)


def no_memory_for_threads():
    """a worker that may not have the memory for its threads says so and ends: exit 71, and no core"""
    with Cluster(0) as cluster:
        command = ["sh", "-c", 'ulimit -v 40000; exec "$@"', "sh", os.path.join(BUILD, "muster-worker"), "--coordinator",
                   cluster.endpoint, "--name", "small", "--dir", os.path.join(cluster.dir, "small")]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
        if "error while loading shared libraries" in run.stdout or "AddressSanitizer" in run.stdout:
            raise Tap.Skip("with so little memory the program does not even load here")
        assert run.returncode == 71 and "threads can be started here" in run.stdout, (run.returncode, run.stdout)


def stopped_worker():
    """a worker that stands still is lost for its silence; the job goes on; woken up it is a worker again, once"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(**ENDLESS))
        cluster.wait_members(job, 2)
        group = cluster.workers["w1"].pid
        os.killpg(group, signal.SIGSTOP)
        state = lambda: {w["name"]: w["state"] for w in cluster.json("workers")}
        wait_for("w1 is lost", lambda: state()["w1"] == "lost")
        broken = cluster.muster("events", "--job", job)
        assert int(re.search(r"worker w1 was silent for (\d+) ms", broken)[1]) >= 1000, broken
        cluster.wait_step(job, cluster.wait_members(job, 1)["step"] + 20)
        os.killpg(group, signal.SIGCONT)
        cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
        assert sorted(state()) == ["w0", "w1"]
        cluster.same_as_calm(job, **ENDLESS)


# --- strangers --------------------------------------------------------------------------------------


class Stranger:
    """Speaks ZMTP 3.0 by hand, so that it can say anything."""

    def __init__(self, endpoint, identity=b""):
        host, port = endpoint.removeprefix("tcp://").split(":")
        self.line = socket.create_connection((host, int(port)), 5)
        self.line.settimeout(5)
        self.line.sendall(b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
        self.take(64)
        ready = b"\x05READY" + self.property(b"Socket-Type", b"DEALER") + self.property(b"Identity", identity)
        self.line.sendall(b"\x04" + bytes([len(ready)]) + ready)
        self.frame()

    @staticmethod
    def property(name, value):
        return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.line.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def frame(self):
        flags = self.take(1)[0]
        size = struct.unpack(">Q", self.take(8))[0] if flags & 2 else self.take(1)[0]
        return self.take(size)

    def say(self, *frames):
        for number, data in enumerate(frames):
            more = 1 if number + 1 < len(frames) else 0
            self.line.sendall(bytes([more | 2]) + struct.pack(">Q", len(data)) + data)

    def close(self):
        self.line.close()


def pack(major, message, body=b"\x81\x01\x07"):
    """[major, minor 0, message, term 0, {1: 7}]"""
    return b"\x95" + bytes([major, 0, message, 0]) + body


PING = 58


def strangers():
    """noise on the port, random frames, another version: refused with a sentence where there is one to tell; others go on"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(steps=1500))
        host, port = cluster.endpoint.removeprefix("tcp://").split(":")
        noise = bytes((i * 197 + 13) % 256 for i in range(70000))
        for size in (0, 1, 10, 64, 4096, 70000):
            with socket.create_connection((host, int(port)), 5) as line:
                try:
                    line.sendall(noise[:size])
                except OSError:
                    pass
        stranger = Stranger(cluster.endpoint)
        stranger.say(pack(1, PING))
        assert b"0." in stranger.frame(), "PONG names the version"
        for size in (0, 1, 5, 63, 300, 5000):
            stranger.say(noise[:size])
            stranger.say(noise[:size], noise[:size], b"")
            stranger.say(b"\x95\x01\x00" + noise[:size])
        wrong = Stranger(cluster.endpoint)
        wrong.say(pack(2, PING))
        says("".join(letter for letter in wrong.frame().decode("ascii", "replace") if letter.isprintable()), r"\b1\b", r"\b2\b", "version")
        twin = Stranger(cluster.endpoint, b"w0")
        twin.say(noise[:200])
        for _ in range(200):
            vanishing = Stranger(cluster.endpoint)
            vanishing.say(pack(1, PING))
            vanishing.close()
        stranger.say(pack(1, PING))
        big = Stranger(cluster.endpoint)
        try:
            big.line.sendall(b"\x02" + struct.pack(">Q", 1 << 40) + noise)
        except OSError:
            pass
        def nonsense_heard():
            lines = cluster.muster("metrics").splitlines()
            return int(next(line for line in lines if line.startswith("muster_messages_bad_total ")).split()[1]) >= 1000
        for _ in range(2000):
            stranger.say(noise[:20])
        wait_for("that is heard", nonsense_heard)
        logged = [line for line in cluster.log_lines("coordinator") if line["event"] == "bad_message"]
        assert 10 <= len(logged) <= 60, len(logged)  # ten a minute, and then a count
        assert cluster.coordinator.poll() is None
        status = cluster.wait_done(job)
        assert status["restarts"] == 0, status
        for line in (stranger, wrong, twin, big):
            line.close()


if __name__ == "__main__":
    sys.exit(Tap().run(databases, two_coordinators, socket_of_another, folders, database_disk_full, names, worker_alone,
                       name_service_dead, one_name, clocks_apart, clock_set, no_files_to_open, no_memory_for_threads, stopped_worker,
                       strangers))
