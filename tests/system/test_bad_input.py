#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input: every mistake ends with one sentence that tells what to do, the right exit code, and nothing lost."""
import json
import os
import re
import subprocess
import sys
import time

from cluster import BUILD, ENDLESS, ENDS, Cluster, PatientCluster, Tap, ends_by_signals, wait_for


def says(text, *words):
    """The sentence holds all the words."""
    for word in words:
        assert re.search(word, text, re.IGNORECASE), f"{word!r} is not in: {text}"
    print(f"# {text.strip()[:400]}")


def fails(cluster, spec, *words, code=100, sets=()):
    """The job fails with a reason that holds these words, and muster wait says so."""
    job = cluster.submit(spec, *sets)
    status = cluster.wait_end(job)
    assert status["state"] == "failed", f"job {job} is {status['state']}"
    says(status["reason"], *words)
    run = cluster.try_muster("wait", job)
    assert run.returncode == code, (run.returncode, run.stderr)
    return job


def bystander(cluster):
    """Another job, which must not notice anything."""
    return cluster.submit(cluster.gpt("bystander", steps=100, workers=(1, 1)))


def need_root():
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        raise Tap.Skip("only root may mount")


def elsewhere(cluster, name, script):
    """A worker that sees its own mounts: script runs first, in a private mount namespace."""
    command = ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh", os.path.join(BUILD, "muster-worker"),
               "--coordinator", cluster.endpoint, "--name", name, "--dir", os.path.join(cluster.dir, name),
               "--threads", "1", "--interface", "lo"]
    log = open(os.path.join(cluster.dir, f"{name}.log"), "ab")
    cluster.logs.append(log)
    cluster.workers[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True)


class Tmpfs:
    """A small disk."""

    def __init__(self, path, size):
        self.path, self.size = path, size

    def __enter__(self):
        need_root()
        os.makedirs(self.path, exist_ok=True)
        run = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path], check=False,
                             stderr=subprocess.PIPE, text=True)
        if run.returncode:
            raise Tap.Skip(f"tmpfs cannot be mounted: {run.stderr.strip()}")
        return self

    def __exit__(self, kind, value, trace):
        subprocess.run(["umount", "-l", self.path], check=False)

    def fill(self):
        """Takes all the space there is, and what became free since; returns the file to remove."""
        path = os.path.join(self.path, "filler")
        with open(path, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        return path


# --- data -------------------------------------------------------------------------------------------


def data_missing():
    """a data file that is not there: the job fails and names it; other jobs go on"""
    with PatientCluster(2) as cluster:
        other = bystander(cluster)
        spec = cluster.gpt("missing", workers=(1, 1)).replace("text.txt", "text.txt")
        run = cluster.try_muster("submit", spec, "--wait", "--set", "data.path=/nonexistent/book.txt")
        assert run.returncode == 100, run
        says(run.stderr, "/nonexistent/book.txt", "no such file")
        assert run.stderr.count("/nonexistent/book.txt") == 1, run.stderr  # told once
        says(cluster.status("missing")["reason"], "/nonexistent/book.txt", "no such file")
        assert cluster.wait_done(other)["restarts"] == 0


def turned_away(cluster):
    lines = [json.loads(line) for line in cluster.muster("-o", "json", "events").splitlines()]
    return "\n".join(line["text"] for line in lines if line["event"] == "TURNED_AWAY")


def data_gone_later():
    """a worker that has no data file cannot join a job that trains, and does it no harm; a lone one waits for it"""
    with PatientCluster(1) as cluster:
        spec = cluster.gpt("later", steps=100_000, every=20)
        job = cluster.submit(spec)
        cluster.wait_step(job, 20)
        data = cluster.text()
        os.rename(data, f"{data}.away")
        cluster.start_worker("w1")
        wait_for("w1 says what it lacks", lambda: cluster.says("w1", '"failed"', data))
        wait_for("w1 is let go", lambda: cluster.says("w1", '"released"'))
        status = cluster.status(job)
        assert status["state"] == "running" and status["restarts"] == 0, status
        says(turned_away(cluster), r"worker w1 is not given the job for 60 s: .*" + data)
        says(cluster.muster("workers"), r"w1 +1 +.*" + data)
        assert cluster.says("coordinator", '"event":"turned_away"', '"worker":"w1"')
        cluster.kill_worker("w0")
        cluster.start_worker("w0")
        waits = wait_for("the job waits", lambda: (s := cluster.status(job)) and s["state"] == "pending"
                         and "not taken for a moment" in s["reason"] and s)
        says(waits["reason"], "waits for 1 worker", rf"as w[01]: cannot open {data}")
        os.rename(f"{data}.away", data)
        cluster.start_worker("w2")
        cluster.wait_step(job, waits["step"] + 1)
        cluster.same_as_calm(job, name="later", steps=100_000)


def data_small():
    """data that is empty, smaller than one record, smaller than one batch, or a folder"""
    with Cluster(1) as cluster:
        spec = cluster.gpt("small")
        empty = cluster.write("empty.txt", "")
        fails(cluster, spec, "empty.txt", "empty", sets=[f"data.path={empty}"])
        short = cluster.write("short.txt", "too short")
        fails(cluster, spec, "short.txt", "9", "33", sets=[f"data.path={short}"])
        few = cluster.write("few.txt", "word " * 40)
        fails(cluster, spec, "few.txt", "batch", "6 records", sets=[f"data.path={few}"])
        folder = os.path.join(cluster.dir, "void")
        os.mkdir(folder)
        fails(cluster, spec, "void", "no text file", sets=[f"data.path={folder}"])
        header = cluster.write("header.csv", "a,b,label\n")
        fails(cluster, cluster.mlp("rows"), "header.csv", sets=[f"data.path={header}"])
        crooked = cluster.write("crooked.csv", "a,b,label\n" + "1,2,0\n" * 50 + "1,2\n" + "1,2,1\n" * 50)
        fails(cluster, cluster.mlp("rows"), "crooked.csv", "52", sets=[f"data.path={crooked}"])
        words = cluster.write("words.csv", "a,b,label\n" + "1,2,0\n" * 50 + "1,two,1\n")
        fails(cluster, cluster.mlp("rows"), "words.csv", "two", sets=[f"data.path={words}"])
        odd = cluster.write("odd.csv", "a,b,label\n" + "1,2,0\n" * 50 + "1,nan,1\n")
        fails(cluster, cluster.mlp("rows"), "odd.csv", "nan", sets=[f"data.path={odd}"])
        torn = os.path.join(cluster.dir, "torn.gz")
        import gzip
        with open(torn, "wb") as file:
            file.write(gzip.compress(os.urandom(5000))[:3000])
        fails(cluster, spec, "torn.gz", sets=[f"data.path={torn}"])
        cluster.wait_done(bystander(cluster))


def data_differs():
    """a file that differs between two workers is named before step 1, with both workers"""
    need_root()
    with Cluster(1) as cluster:
        path = cluster.text()
        other = cluster.write("other.txt", open(path, encoding="ascii").read()[:-500] + "!" * 500)
        elsewhere(cluster, "w1", f"mount --bind {other} {path}")
        wait_for("two workers", lambda: len(cluster.json("workers")) == 2)
        job = cluster.submit(cluster.gpt("differs", workers=(2, 2)))
        status = cluster.wait_end(job)
        assert status["state"] == "failed" and status["step"] == 0, status
        says(status["reason"], r"\bw0\b", r"\bw1\b", "data")
        assert len(set(re.findall(r"[0-9a-f]{8,}", status["reason"]))) >= 2, status["reason"]
        cluster.wait_done(bystander(cluster))
        cluster.kill_worker("w1")
        going_on = cluster.submit(cluster.gpt("alone", steps=100_000))
        cluster.wait_step(going_on, 5)
        elsewhere(cluster, "w1", f"mount --bind {other} {path}")
        wait_for("it is told why w1 stays free", lambda: "any more: Worker w1 has other data" in turned_away(cluster))
        says(cluster.muster("workers"), rf"w1 +{going_on} +Worker w1 has other data")
        assert cluster.status(going_on)["state"] == "running"


def another_build():
    """a plug-in that was built anew under a running job does not mix with the old one; before step 1 it is named"""
    with Cluster(2) as cluster:
        path = cluster.bad_trainer("mine")
        spec, sets = job_with(cluster, path, steps=100_000, workers=(1, 2))
        job = cluster.submit(spec, *sets, "checkpoint.every=50")
        cluster.wait_members(job, 2)
        os.unlink(path)  # as linkers do: who trains keeps the old one
        cluster.bad_trainer("mine", "-O0", "-DANOTHER_BUILD")
        cluster.kill_worker("w1")
        cluster.start_worker("w1")
        says(wait_for("w1 is not taken", lambda: turned_away(cluster)), "Worker w1 has another build of the trainer than w[01] ",
             "checkpoint.resume")
        at = cluster.status(job)["step"]
        cluster.wait_step(job, at + 20)
        assert cluster.status(job)["workers"] == 1 and "w1" not in cluster.members(job).values()
        cluster.muster("cancel", job)
        cluster.wait_end(job)
        need_root()
        old = cluster.bad_trainer("old")
        cluster.kill_worker("w1")
        elsewhere(cluster, "w1", f"mount --bind {old} {path}")
        wait_for("two workers", lambda: len(cluster.json("workers")) == 2)
        spec, sets = job_with(cluster, path, workers=(2, 2))
        fresh = f"checkpoint.dir={cluster.dir}/fresh"
        fails(cluster, spec, "another build of the trainer", r"\bw0\b", r"\bw1\b", sets=[*sets, fresh])
        cluster.wait_done(bystander(cluster))


# --- job files --------------------------------------------------------------------------------------


def job_files():
    """mistakes of a job file are found before it is a job, all at once: exit 65, 66"""
    with Cluster() as cluster:
        many = cluster.write("many.yaml", """
name: many mistakes
trainer: gtp
model: {layers: 4}
data: {path: [], contxt: 12}
batch: {global: ten, micro: 3}
steps: -5
learning_rate: 3
workers: {min: 4, max: 2}
""")
        for command in (("validate", many), ("submit", many)):
            run = cluster.try_muster(*command)
            assert run.returncode == 65, run
            says(run.stderr, "many.yaml:3:", "gtp", "context", "global", "steps", "learning_rate")
            assert len(run.stderr.splitlines()) >= 6, run.stderr
        crowd = cluster.try_muster("submit", cluster.gpt("crowd"), "--set", "workers.max=65536")
        assert crowd.returncode == 65 and cluster.coordinator.poll() is None, crowd
        says(crowd.stderr, "workers.max", "65535")
        for spec, code, words in (
                ("/nonexistent.yaml", 66, ("/nonexistent.yaml", "no such file")),
                (cluster.dir, 66, (cluster.dir, "folder|directory")),
                (cluster.write("huge.yaml", "name: x\n" + "# filler\n" * 2_000_000), 65, ("huge.yaml", "bytes|large")),
                (cluster.write("long.yaml", "name: " + "x" * 60000), 65, ("long.yaml:1:", "name")),
                (cluster.write("list.yaml", "[1, 2, 3]"), 65, ("list.yaml:1:",)),
                (cluster.write("void.yaml", ""), 65, ("void.yaml", "empty")),
                (cluster.write("torn.yaml", "name: [1, 2"), 65, ("torn.yaml:",)),
                (cluster.write("bomb.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nname: *b\n"), 65, ("bomb.yaml:",))):
            for command in ("validate", "submit"):
                run = cluster.try_muster(command, spec)
                assert run.returncode == code, (command, spec, run.returncode, run.stderr[:500])
                says(run.stderr, *words)
        run = cluster.try_muster("submit", cluster.gpt("many", batch=4096))
        assert run.returncode == 65, run
        says(run.stderr, "2047", "micro")
        assert cluster.json("jobs") == []


def job_against_model():
    """what only the trainer can know is wrong fails the job with the trainer's sentence"""
    with Cluster(1) as cluster:
        spec = cluster.gpt("model", steps=20)
        fails(cluster, spec, "channels", "heads", "33", sets=["model.channels=33"])
        fails(cluster, spec, "layrs", "layers", sets=["model.layrs=2"])
        fails(cluster, spec, "layers", "many", sets=["model.layers=many"])
        fails(cluster, cluster.mlp("features"), "gpt", "tokens", sets=["trainer=gpt", "model={}"])
        fails(cluster, cluster.gpt("tokens"), "mlp", "tokens", sets=["trainer=mlp", "model={hidden: [4]}"])
        import struct
        header = [20240520, 1, 5000] + [0] * 253
        shard = os.path.join(cluster.dir, "tokens.bin")
        with open(shard, "wb") as file:
            file.write(struct.pack("<256i", *header) + struct.pack("<5000H", *[i % 600 for i in range(5000)]))
        fails(cluster, spec, "tokens.bin", "vocabulary", "255",
              sets=["data.format=llmc", "data.vocabulary=256", f"data.path={shard}"])
        cluster.wait_done(cluster.submit(spec, "data.format=llmc", f"data.path={shard}"))
        saved = cluster.status("model")["checkpoint"]
        fails(cluster, spec, "context|position|wpe", "32", "16",
              sets=["data.format=llmc", f"data.path={shard}", "data.context=16", f"checkpoint.init={saved}"])
        fails(cluster, spec, "wte|vocabulary", "600", "256", sets=[f"checkpoint.init={saved}"])
        fails(cluster, spec, "nowhere", sets=["checkpoint.init=/nowhere"])
        fails(cluster, spec, "nowhere", sets=["checkpoint.resume=/nowhere"])
        fails(cluster, spec, "77", sets=["checkpoint.resume=77"])
        cluster.wait_done(bystander(cluster))


def too_few_workers():
    """a job that wants more workers than there are waits, and says for what"""
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt("greedy", batch=600, workers=(500, 600)))
        status = wait_for("a reason that counts the worker",  # which may come after the job
                          lambda: re.search(r"\b1\b", (s := cluster.status(job))["reason"]) and s)
        assert status["state"] == "pending", status
        says(status["reason"], "500 workers")
        cluster.wait_done(bystander(cluster))


# --- trainers ---------------------------------------------------------------------------------------


def job_with(cluster, path, fault="", **more):
    spec = cluster.mlp(os.path.basename(path).split(".")[0], **more)
    return spec, [f"trainer={path}", f"model={{fault: '{fault}'}}"]


def plug_ins():
    """a trainer that is not there, not a library, of another ABI, without its symbol, or unwilling"""
    with Cluster(1) as cluster:
        good, sets = job_with(cluster, cluster.bad_trainer("good"), steps=20)
        cluster.wait_done(cluster.submit(good, *sets))
        for path, words in (
                ("/nonexistent/mine.so", ("/nonexistent/mine.so", "no such file")),
                (cluster.write("text.so", "this is no library\n"), ("text.so", "ELF|header")),
                (cluster.bad_trainer("abi", "-DABI=99"), ("abi.so", "99", r"\b1\b", "build|compile")),
                (cluster.bad_trainer("symbol", "-DNO_SYMBOL"), ("symbol.so", "muster_trainer"))):
            spec, sets = job_with(cluster, path)
            fails(cluster, spec, *words, sets=sets)
        spec, sets = job_with(cluster, cluster.bad_trainer(), "open@0.0")
        fails(cluster, spec, "does not want to open", sets=sets)
        spec, sets = job_with(cluster, cluster.bad_trainer(), "problem@3.2")
        fails(cluster, spec, "taste", "step 3|step 4", sets=sets)
        spec, sets = job_with(cluster, cluster.bad_trainer(), "silent@3.2")
        fails(cluster, spec, "micro-batch 2", "gives no reason", "problem->text", sets=sets)
        spec, sets = job_with(cluster, cluster.bad_trainer(), "garbled@3.2")
        fails(cluster, spec, "micro-batch 2", r"so bad\?\?\?", sets=sets)
        spec, sets = job_with(cluster, cluster.bad_trainer(), "beginnan@0.0")
        fails(cluster, spec, "initial weights of tensor weight are not all finite", sets=sets)
        cluster.wait_done(bystander(cluster))


def trainers_that_crash():
    """a trainer that crashes three times fails its job with its last words; others go on"""
    with PatientCluster(3, env=ends_by_signals()) as cluster:
        other = bystander(cluster)
        path = cluster.bad_trainer()
        for fault, words in (("segv@5.1", ("segmentation|SIGSEGV|signal 11",)),
                             ("abort@5.1", ("abort|SIGABRT|signal 6", "the moon is in the wrong house")),
                             ("beyond@5.1", ("segmentation|SIGSEGV|signal 11",)),
                             ("const@5.1", ("segmentation|SIGSEGV|signal 11",)),
                             ("exit@5.1", ("ended with status 0",))):
            spec, sets = job_with(cluster, path, fault, workers=(2, 2))
            job = fails(cluster, spec, *words, "3|three", sets=sets)
            assert cluster.status(job)["step"] <= 5, cluster.status(job)
        assert cluster.wait_done(other)["restarts"] == 0
        wait_for("no worker is blamed for a trainer that kills itself everywhere",
                 lambda: all(worker["state"] != "quarantined" for worker in cluster.json("workers")), 30)
        cluster.wait_done(bystander(cluster))
        assert all(agent.poll() is None for agent in cluster.workers.values())


def beginnings_that_differ():
    """a trainer that makes other initial weights on each worker: the job fails, and says what such a trainer must do"""
    with Cluster(2) as cluster:
        spec, sets = job_with(cluster, cluster.bad_trainer(), "begin@0.0", workers=(2, 2))
        fails(cluster, spec, "w0 against w1", "different weights twice", "same seed", sets=sets)
        cluster.wait_done(bystander(cluster))


def names_that_are_no_text():
    """a file whose name is not UTF-8 is complained about like any other"""
    with Cluster(1) as cluster:
        folder = os.path.join(cluster.dir, "books")
        os.mkdir(folder)
        with open(os.path.join(folder.encode(), b"caf\xe9.jsonl"), "wb") as file:
            file.write(b'{"text": 5}\n')
        fails(cluster, cluster.gpt("name"), r"books/caf\?\.jsonl", "jsonl:1: ", sets=[f"data.path={folder}", "data.format=jsonl"])


def not_a_number():
    """NaN at one micro-batch: fail names it; skip skips it, alike on 1 and 3 workers"""
    with Cluster(3) as cluster:
        path = cluster.bad_trainer()
        spec, sets = job_with(cluster, path, "nan@7.5", workers=(2, 2))
        fails(cluster, spec, "step 7|step 8", "micro-batch 5", "record", "non_finite", sets=sets)
        hashes = {}
        for what, fault, count in (("calm", "", 1), ("1 worker", "nan@7.5", 1), ("3 workers", "nan@7.5", 3)):
            spec, sets = job_with(cluster, path, fault, workers=(count, count), non_finite="skip")
            sets.append(f"checkpoint.dir={cluster.dir}/{what.replace(' ', '-')}")
            hashes[what] = cluster.wait_done(cluster.submit(spec, *sets))["weights_hash"]
        assert hashes["1 worker"] == hashes["3 workers"] != hashes["calm"], hashes


# --- checkpoints ------------------------------------------------------------------------------------


def checkpoint_folder():
    """a checkpoint folder that cannot be written, or holds other work, fails the job at its start"""
    with Cluster(1) as cluster:
        spec = cluster.gpt("folder", steps=50, every=10)
        fails(cluster, spec, "/proc/nothing", "checkpoint", sets=["checkpoint.dir=/proc/nothing"])
        file = cluster.write("a-file", "")
        fails(cluster, spec, "a-file", "checkpoint", sets=[f"checkpoint.dir={file}"])
        if os.geteuid() == 0:
            fails(cluster, spec, "/proc/sys", "checkpoint", sets=["checkpoint.dir=/proc/sys"])
        shared = f"checkpoint.dir={cluster.dir}/shared"
        first = cluster.wait_done(cluster.submit(spec, shared))
        fails(cluster, spec, "shared", "other settings", "folder", sets=[shared, "seed=2"])
        again = cluster.wait_done(cluster.submit(spec, shared, "workers.max=1", "name=again"))
        assert first["weights_hash"] == again["weights_hash"]
        cluster.wait_done(bystander(cluster))


def checkpoint_disk_read_only():
    """a checkpoint folder that is not there, on a disk that cannot be written: the sentence says that, not that it is missing"""
    with Cluster(1) as cluster, Tmpfs(os.path.join(cluster.dir, "disk"), "8m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        fails(cluster, cluster.gpt("folder"), "checkpoint", "read-only", disk.path, sets=[f"checkpoint.dir={disk.path}/here"])


def checkpoint_disk_full():
    """a full disk: training goes on and says so; when there is room the next checkpoint succeeds"""
    with PatientCluster(1) as cluster, Tmpfs(os.path.join(cluster.dir, "disk"), "8m") as disk:
        filler = disk.fill()
        job = cluster.submit(cluster.gpt(**ENDLESS), f"checkpoint.dir={disk.path}/here")
        status = wait_for("it says so", lambda: "space" in (s := cluster.status(job))["reason"] and s)
        assert status["state"] == "running", status
        says(status["reason"], "checkpoint", "no space left", disk.path)
        cluster.wait_step(job, status["step"] + 20)
        os.remove(filler)
        status = wait_for("a checkpoint", lambda: (s := cluster.status(job))["weights_step"] and s)
        assert "space" not in status["reason"], status
        cluster.muster("pause", job)
        wait_for("it is paused", lambda: cluster.status(job)["state"] == "paused")
        # What had no room is gone, and what is not needed any more, though the trainer is.
        wait_for("nothing is left half removed",
                 lambda: all(name.startswith("step-") for name in os.listdir(f"{disk.path}/here")))


def pause_disk_full():
    """a pause on a full disk waits for room, until the limit; then it says which steps are done again"""
    with PatientCluster(1) as cluster, Tmpfs(os.path.join(cluster.dir, "disk"), "8m") as disk:
        room = os.path.join(disk.path, "room")
        with open(room, "wb") as file:
            file.write(b"x" * (3 << 20))
        job = cluster.submit(cluster.gpt(**ENDLESS), f"checkpoint.dir={disk.path}/here", "checkpoint.keep=1000")

        def fail(times):
            def failures():
                return sum(line["event"] == "save_failed" for line in cluster.log_lines("w0"))
            before = failures()
            wait_for("some fail", lambda: failures() >= before + times)

        def pause_without_room():
            wait_for("a checkpoint", lambda: cluster.status(job)["weights_step"])
            disk.fill()
            fail(2)
            cluster.muster("pause", job)

        pause_without_room()
        fail(3)
        status = cluster.status(job)
        assert status["state"] != "paused", status
        says(status["reason"], "no space left")
        os.remove(room)
        status = wait_for("it is paused", lambda: (s := cluster.status(job))["state"] == "paused" and s)
        assert status["weights_step"] == status["step"] and status["reason"] == "paused on request", status
        cluster.kill_coordinator()
        cluster.start_coordinator("--save-try-s", "2")
        cluster.muster("resume", job)
        cluster.wait_step(job, status["step"] + 1)
        pause_without_room()
        status = wait_for("it is paused", lambda: (s := cluster.status(job))["state"] == "paused" and s)
        says(status["reason"], "paused on request", f"what came after step {status['weights_step']} was not saved", "no space left")


def last_checkpoint_disk_full():
    """the last checkpoint on a full disk is tried until there is room, or until the limit: then the job fails and says why"""
    with Cluster(2) as cluster, Tmpfs(os.path.join(cluster.dir, "disk"), "8m") as disk:
        filler = disk.fill()
        job = cluster.submit(cluster.gpt("late", steps=100, workers=(1, 1)), f"checkpoint.dir={disk.path}/late")
        status = wait_for("it says so", lambda: (s := cluster.status(job))["step"] == 100
                          and all(word in s["reason"] for word in ("No space left", "make room")) and s)
        assert status["state"] not in ENDS, status
        time.sleep(2)
        os.remove(filler)
        assert cluster.wait_done(job)["weights_step"] == 100
        cluster.kill_coordinator()
        cluster.start_coordinator("--save-try-s", "2")
        disk.fill()
        other = bystander(cluster)
        fails(cluster, cluster.gpt("last", steps=100, workers=(1, 1)), "checkpoint", "no space left",
              sets=[f"checkpoint.dir={disk.path}/here"])
        cluster.wait_done(other)


if __name__ == "__main__":
    sys.exit(Tap().run(data_missing, data_gone_later, data_small, data_differs, job_files, job_against_model, too_few_workers,
                       plug_ins, another_build, trainers_that_crash, beginnings_that_differ, names_that_are_no_text, not_a_number, checkpoint_folder, checkpoint_disk_read_only, checkpoint_disk_full,
                       pause_disk_full, last_checkpoint_disk_full))
