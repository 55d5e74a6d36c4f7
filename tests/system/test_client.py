#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The muster command where things are not as they should be: dead coordinators, terminals, up on taken ground."""
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from cluster import BUILD, LIMIT_S, Cluster, Tap, free_port, wait_for

MUSTER = os.path.join(BUILD, "muster")


class Up:
    """`muster up` in a folder of its own, with a blank in its name."""

    def __init__(self, *options, dir=None, port=None, program=MUSTER, **environment):
        self.keep = dir is not None
        self.dir = dir or os.path.join(tempfile.mkdtemp(prefix="muster-up-"), "state of mine")
        self.endpoint = f"tcp://127.0.0.1:{port or free_port()}"
        self.process = subprocess.Popen([program, "up", "--dir", self.dir, "--listen", self.endpoint, *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, env=dict(os.environ, **environment), start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if not self.keep:
            shutil.rmtree(os.path.dirname(self.dir), ignore_errors=True)

    def await_ready(self):
        for line in self.process.stderr:
            if line.startswith("ready"):
                return
        raise AssertionError("it ended before it was ready")

    def end(self):
        """Exit status and the rest of what it says."""
        text = self.process.communicate(timeout=60)[1]
        return self.process.returncode, text

    def children(self):
        return pids_of(self.dir)


def pids_of(word):
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                arguments = line.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if word in arguments or any(argument.startswith(word + "/") for argument in arguments):
            found[int(pid)] = arguments
    return found


def up_and_down():
    """up starts all, starts again what dies, and leaves nothing behind"""
    with Up("-n", "1") as up:
        up.await_ready()
        worker = next(pid for pid, line in up.children().items() if line[0].endswith("muster-worker"))
        os.kill(worker, signal.SIGKILL)
        wait_for("another worker", lambda: any(pid != worker and line[0].endswith("muster-worker")
                                               for pid, line in up.children().items()))
        up.process.send_signal(signal.SIGINT)
        status, text = up.end()
        assert status == 0, text
        assert "signal 9" in text and "stopping" in text, text
        wait_for("all are gone", lambda: not up.children(), 20)


def up_killed():
    """kill -9 of up takes its children along"""
    with Up("-n", "1") as up:
        up.await_ready()
        up.process.kill()
        wait_for("all are gone", lambda: not up.children(), 30)


def up_port_in_use():
    """up on a port that another program has: a sentence, status 69, no loop"""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with Up(port=other.getsockname()[1]) as up:
            status, text = up.end()
            assert status == 69 and "is in use" in text, (status, text)


def up_taken():
    """up where a coordinator answers, or in its folder: a sentence, status 69, and it goes on"""
    with Cluster() as cluster:
        with Up(port=cluster.endpoint.rsplit(":", 1)[1]) as up:
            status, text = up.end()
            assert status == 69 and "answers at" in text, (status, text)
        with Up(dir=os.path.join(cluster.dir, "state")) as up:
            status, text = up.end()
            assert status == 69 and "another coordinator uses" in text, (status, text)
        assert cluster.json("workers") == []


def up_half_installed():
    """up without its programs says which is missing"""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(MUSTER, folder)
        with Up(program=os.path.join(folder, "muster"), PATH="/nonexistent") as up:
            status, text = up.end()
            assert status == 69 and "muster-coordinator" in text, (status, text)
        assert not os.path.exists(up.dir)


def up_beyond_loopback():
    """up refuses to serve strangers, and says how it would"""
    with Up("--listen", f"tcp://0.0.0.0:{free_port()}") as up:
        status, text = up.end()
        assert status in (69, 77) and "ALLOW_UNAUTHENTICATED" in text, (status, text)


def one_json_document():
    """submit --wait and wait give one JSON document each: the job at its end"""
    with Cluster() as cluster:
        spec = cluster.gpt()
        submitted = cluster.json("submit", spec)
        assert submitted == {"id": 1, "repeated": False}, submitted
        waiting = subprocess.Popen([MUSTER, "-c", cluster.endpoint, "-o", "json", "submit", spec, "--wait"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("the second job", lambda: len(cluster.json("jobs")) == 2)
        cluster.muster("cancel", "2")
        out, err = waiting.communicate(timeout=60)
        assert waiting.returncode == 103, err
        job = json.loads(out)
        assert job["id"] == 2 and job["state"] == "cancelled", job
        run = cluster.try_muster("-o", "json", "wait", "2")
        assert run.returncode == 103 and json.loads(run.stdout) == job, run


def mistakes_at_once():
    """mistakes of the file and of --set are told at once"""
    with Cluster() as cluster:
        spec = cluster.write("bad.yaml", "name: x\ntrainer: gpt\nsteps: none\n")
        run = cluster.try_muster("submit", spec, "--set", "batch.global=0", "--set", "nonsense=1")
        assert run.returncode == 65, run
        for word in ("steps", "batch.global", "nonsense"):
            assert word in run.stderr, run.stderr
        assert run.stdout == "" and cluster.json("jobs") == []


def nobody_there():
    """nobody at the address, and a name that does not resolve: 69 and 68"""
    run = subprocess.run([MUSTER, "-c", f"tcp://127.0.0.1:{free_port()}", "--timeout", "1", "jobs"],
                         stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert run.returncode == 69 and "muster up" in run.stderr, run
    run = subprocess.run([MUSTER, "-c", "tcp://no.such.name.invalid:7600", "--timeout", "1", "jobs"],
                         stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert run.returncode == 68 and "no.such.name.invalid" in run.stderr, run


def wrong_words():
    """words that name nothing: a sentence that says which and where to look, and the status that the manual promises"""
    with Cluster() as cluster:
        for status, words, *arguments in (
                (102, ("no job 99", "muster jobs"), "wait", "99"),
                (102, ("no job -1", "muster jobs"), "cancel", "--", "-1"),
                (64, ("job", '"xxx', "63 bytes"), "status", "x" * 300),
                (64, ("worker", '"äää', "63 bytes"), "drain", "ä" * 32),
                (64, ("word is empty",), "status", ""),
                (102, ("no worker w9", "muster workers"), "drain", "w9"),
                (64, ("'1.5'", "1 to 65535"), "scale", "1", "1.5"),
                (102, ("/nonexistent", "muster checkpoints JOB"), "sample", "/nonexistent"),
                (66, (cluster.dir, "directory"), "submit", cluster.dir),
                (64, ("--output", '"yaml"', "json"), "jobs", "-o", "yaml"),
                (64, ("--workers", "-1", "1 to 256"), "up", "-n", "-1"),
                (65, ('--set "workers.min=abc"', "whole number"), "validate", cluster.gpt(), "--set", "workers.min=abc")):
            run = cluster.try_muster(*arguments)
            assert run.returncode == status and run.stdout == "", (arguments, run)
            for word in words:
                assert word in run.stderr, (arguments, word, run.stderr)
        utf16 = os.path.join(cluster.dir, "utf16.yaml")
        for content, word in (("name: x\n".encode("utf-16"), "UTF-8"), (b"name: x\0y\n", "U+0000"), (b"#" * (100 << 20), "65536")):
            with open(utf16, "wb") as file:
                file.write(content)
            run = cluster.try_muster("submit", utf16)
            assert run.returncode == 65 and word in run.stderr and utf16 in run.stderr, run


def several():
    """of several coordinators the one that is there is found and alone asked; a wrong one is named"""
    dead = [word for _ in range(2) for word in ("-c", f"tcp://127.0.0.1:{free_port()}")]
    with Cluster() as cluster:
        def ask(*endpoints, command=("jobs",)):
            return subprocess.run([MUSTER, *endpoints, "--timeout", "20", *command], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        run = ask(*dead, "-c", cluster.endpoint, "-c", "tcp://no.such.name.invalid:7600")
        assert run.returncode == 0, run
        run = ask(*dead, "-c", cluster.endpoint, command=("submit", cluster.gpt()))
        assert run.returncode == 0 and len(cluster.json("jobs")) == 1, run
        run = ask("-c", cluster.endpoint, "-c", "nonsense")
        assert run.returncode == 64 and "nonsense" in run.stderr, run
    run = subprocess.run([MUSTER, *dead, "--timeout", "1", "jobs"], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert run.returncode == 69 and "none of 2" in run.stderr, run


def pressed(watching, terminal, times):
    """Ctrl-C so often, again as soon as it was heard: of two at once a process that gets no turn would hear one. What it
    exits with."""
    shown = b""
    for heard in (b"gpt", b"press Ctrl-C again")[:times]:
        while heard not in shown:
            shown += os.read(terminal, 4096)
        watching.send_signal(signal.SIGINT)
    return watching.wait(60)


def interrupts():
    """Ctrl-C detaches from a job, twice cancels it, also on a terminal"""
    def watch(times):
        parent, terminal = pty.openpty()
        with subprocess.Popen([MUSTER, "-c", cluster.endpoint, "watch", job], stdout=subprocess.PIPE, stderr=terminal) as watching:
            os.close(terminal)
            status = pressed(watching, parent, times)
        os.close(parent)
        return status
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        assert watch(1) == 101
        # Who gets no turn for 2 s detaches.
        assert next(filter(lambda status: status != 101, (watch(2) for _ in range(5))), None) == 103
        assert cluster.status(job)["state"] == "cancelled"


def detach_from_the_dead():
    """Ctrl-C detaches though no coordinator answers, and waits for none as long as was asked for before"""
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        watching = subprocess.Popen([MUSTER, "-c", cluster.endpoint, "--timeout", "3600", "watch", job], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE)
        os.set_blocking(watching.stderr.fileno(), True)
        watching.stderr.read(1)
        cluster.kill_coordinator()
        time.sleep(0.5)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(LIMIT_S) == 101
        watching.stderr.close()


def connections(endpoint):
    """How many stand at that port."""
    port = f":{int(endpoint.rsplit(':', 1)[1]):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        return sum(line.split()[1].endswith(port) and line.split()[3] == "01" for line in table)


def followers_wait():
    """watch, logs -f and events -f outlive a coordinator"""
    with Cluster() as cluster:
        job = cluster.submit(cluster.gpt())
        follow = {arguments: subprocess.Popen([MUSTER, "-c", cluster.endpoint, "--timeout", "1", *arguments],
                                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                  for arguments in (("watch", job), ("logs", "-f", job), ("events", "-f"))}
        wait_for("all three are connected", lambda: connections(cluster.endpoint) == len(follow))
        time.sleep(2)
        cluster.kill_coordinator()
        time.sleep(2.5)
        cluster.start_coordinator()
        cluster.muster("cancel", job)
        assert follow["watch", job].wait(30) == 103
        assert follow["logs", "-f", job].wait(30) == 0
        events = follow["events", "-f"]
        for line in events.stdout:
            if "cancelled" in line:
                break
        events.kill()
        for process in follow.values():
            process.communicate()


def broken_pipe():
    """a reader that leaves ends the command, a full disk is an error"""
    with Cluster() as cluster:
        cluster.submit(cluster.gpt())
        with open("/dev/full", "w", encoding="ascii") as full:
            run = subprocess.run([MUSTER, "-c", cluster.endpoint, "jobs"], stdout=full, stderr=subprocess.PIPE,
                                 text=True, check=False)
        assert run.returncode == 74, run
        run = subprocess.run(f"'{MUSTER}' -c {cluster.endpoint} -o json events | head -1", shell=True, timeout=LIMIT_S,
                             stdout=subprocess.PIPE, text=True, check=True)
        assert json.loads(run.stdout)["event"] == "REIGN", run


def data_of_a_job():
    """data inspect is told what a job file would tell: files of labels, the label's column, the text's member"""
    with tempfile.TemporaryDirectory() as folder:
        def write(name, content):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
            return file.name

        def inspect(*arguments):
            run = subprocess.run([MUSTER, "-o", "json", "data", "inspect", *arguments], check=False, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, HOME=folder))
            return json.loads(run.stdout) if run.returncode == 0 else (run.returncode, run.stderr)

        images = write("pictures", b"\0\0\x08\x02" + struct.pack(">2I", 4, 3) + bytes(12))
        labels = write("kinds", b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes([0, 2, 1, 0]))
        status, text = inspect(images)
        assert status == 78 and "labels" in text, (status, text)
        assert inspect(images, "--labels", labels)["records_by_label"] == [2, 1, 1]
        table = write("table.csv", b"kind,size\n1,7\n0,9\n")
        assert inspect(table, "--label-column", "kind")["first_label"] == 1
        status, text = inspect(table, "--header", "no")
        assert status == 65 and ":1:1:" in text, (status, text)
        lines = write("lines.jsonl", b'{"body": "words and words"}\n')
        assert inspect(lines, "--field", "body", "--context", "4")["first_text"] == "words"
        out = os.path.join(folder, "lines.bin")
        subprocess.run([MUSTER, "data", "tokenize", lines, "--field", "body", "--out", out], check=True,
                       env=dict(os.environ, HOME=folder))
        assert inspect(out, "--context", "4")["tokens"] == 16


def no_rank():
    """a worker without a rank is not said to have rank 0"""
    with Cluster() as cluster:
        cluster.start_worker("alone")
        worker = wait_for("the worker is there", lambda: next(iter(cluster.json("workers")), None))
        assert worker["rank"] is None and "ranked" not in worker, worker
        line = cluster.muster("workers").splitlines()[1].split()
        assert line[4:6] == ["-", "-"], line


if __name__ == "__main__":
    sys.exit(Tap().run(up_and_down, up_killed, up_port_in_use, up_taken, up_half_installed, up_beyond_loopback,
                       one_json_document, mistakes_at_once, nobody_there, wrong_words, several, interrupts, detach_from_the_dead,
                       followers_wait, broken_pipe, data_of_a_job, no_rank))
