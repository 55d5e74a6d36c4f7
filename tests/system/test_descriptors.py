#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_descriptors.py - more connections than the coordinator has file descriptors for"""
import ctypes
import os
import select
import socket
import sys
import time

from cluster import BUILD, Cluster, PatientCluster, Tap, need_no_sanitizer, process_stat, wait_for

LIMIT = 192        # of open files
CROWD = 400        # connections: the kernel's queue has room for the rest
LOOK_S = 4         # how long CPU is measured
CPU_MAX = 0.5      # libzmq alone takes 0.97 of a core at the limit


class LowCluster(PatientCluster):
    """Its coordinator may open few files."""

    def on_host(self, name, command):
        if not command[0].endswith("muster-coordinator"):
            return command
        return ["bash", "-c", f'ulimit -n {LIMIT} && exec "$@"', "low", *command]

    def events(self):
        with open(os.path.join(self.dir, "coordinator.log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def open_files(self):
        return len(os.listdir(f"/proc/{self.coordinator.pid}/fd"))


class Client:
    """One connection that is held, by libmuster."""

    def __init__(self, cluster):
        self.library = ctypes.CDLL(os.path.join(BUILD, "client", ".libs", "libmuster.so"))
        self.error = ctypes.create_string_buffer(4096)  # at least a struct muster_error
        self.muster = ctypes.c_void_p()
        assert not self.library.muster_open(ctypes.byref(self.muster), cluster.endpoint.encode(), self.error), self.error.raw
        assert not self.library.muster_ping(self.muster, ctypes.create_string_buffer(4096), self.error), self.error.raw

    def submit(self, spec):
        job = ctypes.c_uint64()
        assert not self.library.muster_submit(self.muster, spec, ctypes.c_size_t(len(spec)), None, ctypes.byref(job), ctypes.byref(ctypes.c_bool()),
                                              self.error), self.error.raw

    def close(self):
        self.library.muster_close(ctypes.byref(self.muster))


def newest(cluster):
    """Checkpoints are written by workers, and seen without another connection."""
    folder = os.path.join(cluster.dir, "checkpoints-gpt")
    return max((name for name in os.listdir(folder) if any(map(str.isdigit, name))), default="") if os.path.isdir(folder) else ""


def cpu_s(pid):
    _, fields = process_stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(pid):
    """Of a core, over some seconds."""
    began, used = time.monotonic(), cpu_s(pid)
    time.sleep(LOOK_S)
    return (cpu_s(pid) - used) / (time.monotonic() - began)


def connect(cluster):
    host, port = cluster.endpoint.removeprefix("tcp://").split(":")
    one = socket.create_connection((host, int(port)), timeout=30)
    one.setblocking(False)
    return one


def is_greeted(one):
    """libzmq speaks first to whom it has taken in."""
    return bool(select.select([one], [], [], 0)[0])


def crowd():
    """raw connections use up all descriptors: no CPU, training and submits go on, and those who wait get in afterwards"""
    need_no_sanitizer()
    with LowCluster() as cluster:
        assert '"descriptors"' in cluster.events() and "LimitNOFILE" in cluster.events(), "no warning at start"
        for name in ("w0", "w1"):
            cluster.start_worker(name)
        job = cluster.submit(cluster.gpt(steps=1_000_000, every=20))
        cluster.wait_members(job, 2)
        before = cluster.wait_step(job, 21)
        spec = cluster.muster("validate", "-o", "json", cluster.mlp("kept", steps=1_000_000)).encode()
        client = Client(cluster)
        sockets = [connect(cluster) for _ in range(CROWD)]
        wait_for("it says that none fit", lambda: "descriptors_used_up" in cluster.events())
        used = share(cluster.coordinator.pid)
        print(f"# coordinator's CPU with {CROWD} at the door: {used:.2f} of a core, {cluster.open_files()} files open")
        assert used < CPU_MAX, used
        assert not is_greeted(sockets[-1]), "all got in: nothing was tested"
        assert cluster.open_files() < LIMIT, "nothing is kept in reserve"
        assert cluster.events().count("descriptors_used_up") == 1
        client.submit(spec)
        first = newest(cluster)
        wait_for("training goes on", lambda: newest(cluster) != first)
        for one in sockets[:-1]:
            one.close()
        wait_for("who waited is let in", lambda: is_greeted(sockets[-1]))
        cluster.start_worker("w2")
        wait_for("a newcomer is let in", lambda: len(cluster.json("workers")) == 3)
        after = cluster.status(job)
        assert after["restarts"] == before["restarts"], (before, after)
        cluster.kill_coordinator()
        cluster.start_coordinator()
        assert [j["name"] for j in cluster.json("jobs")].count("kept") == 1, "a submit that was acknowledged is lost"
        client.close()


def room_for_nobody():
    """a limit that nobody could connect under: refused at start with a sentence"""
    with Cluster() as cluster:
        process = cluster.spawn("low", "/bin/sh", "-c", 'ulimit -n 64 && exec "$@"', "low", os.path.join(BUILD, "muster-coordinator"),
                                "--dir", os.path.join(cluster.dir, "low"), "--listen", cluster.choose_endpoint())
        assert process.wait(30) == 71
        assert cluster.says("low", "LimitNOFILE", "room for nobody")


if __name__ == "__main__":
    sys.exit(Tap().run(crowd, room_for_nobody))
