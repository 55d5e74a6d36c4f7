#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a job file and the command line can ask for, each asked for once on the whole system."""
import contextlib
import gzip
import json
import os
import re
import pty
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

from cluster import BUILD, ENDLESS, LIMIT_S, SOURCE, Cluster, PatientCluster, Tap, children, wait_for


def resume():
    """a new job goes on from another's checkpoint, by path, with the answer of one long job"""
    with Cluster(2) as cluster:
        long = cluster.wait_done(cluster.submit(cluster.gpt("long", steps=80, every=40), "optimizer.schedule=constant"))
        short = cluster.wait_done(cluster.submit(cluster.gpt("short", steps=40), "optimizer.schedule=constant"))
        assert short["weights_hash"] != long["weights_hash"]
        spec = cluster.gpt("on", steps=80)
        on = cluster.wait_done(cluster.submit(spec, "optimizer.schedule=constant",
                                              f"checkpoint.resume={short['checkpoint']}"))
        assert on["weights_hash"] == long["weights_hash"], (on, long)
        assert on["weights_step"] == 80


def resume_newest():
    """resume: newest goes on from the newest checkpoint in the job's folder"""
    with Cluster(1) as cluster:
        spec = cluster.gpt("again", steps=40)
        cluster.wait_done(cluster.submit(spec, "optimizer.schedule=constant"))
        longer = cluster.wait_done(cluster.submit(spec, "steps=80", "optimizer.schedule=constant",
                                                  "checkpoint.resume=newest"))
        calm = cluster.wait_done(cluster.submit(cluster.gpt("calm", steps=80), "optimizer.schedule=constant"))
        assert longer["weights_hash"] == calm["weights_hash"], (longer, calm)


def resume_by_id():
    """resume: an id is a step of the job's folder; what lies beyond the job's end, is of another model or had another seed fails the job"""
    with Cluster(1) as cluster:
        spec = cluster.gpt("again", steps=40, every=20)
        steady = ("optimizer.schedule=constant", f"checkpoint.dir={cluster.dir}/kept")
        calm = cluster.wait_done(cluster.submit(spec, *steady))
        paths = {item["step"]: item["path"] for item in cluster.json("checkpoints", "again")}
        assert sorted(paths) == [20, 40], paths
        elsewhere = os.path.join(cluster.dir, "moved")
        shutil.copytree(paths[20], os.path.join(elsewhere, os.path.basename(paths[20])))
        for id in ("20", os.path.basename(paths[20])):
            job = cluster.submit(spec, "optimizer.schedule=constant", f"checkpoint.dir={elsewhere}", f"checkpoint.resume={id}")
            assert cluster.wait_done(job)["weights_hash"] == calm["weights_hash"], id
            assert "at step 20" in cluster.muster("logs", job), id
            proof = cluster.json("ledger", "verify", job)
            assert proof["proven"] and proof["steps_before"] == 20 and proof["steps_trained"] == 40, proof
            assert "steps 0 to 19 are the checkpoint's" in cluster.muster("ledger", "verify", job)
            before = cluster.try_muster("ledger", "show", job, "--step", "19")
            assert before.returncode == 101 and "is the checkpoint's that the job file" in before.stderr, before
        for sets, words in ((["steps=30"], ("of step 40", "ends with step 30")),
                            (["steps=60", "model.heads=1"], ("n_head is 2 there and 1",)),
                            (["steps=60", "seed=12"], ("trained with seed 1,", "has seed 12,", "`seed: 1`", "checkpoint.init"))):
            job = cluster.submit(spec, f"checkpoint.resume={paths[40]}", *sets)
            status = cluster.wait_end(job)
            assert status["state"] == "failed" and all(word in status["reason"] for word in words), status


def init_from_weights():
    """init takes weights alone, from a folder as Hugging Face writes it, and starts at step 0"""
    with Cluster(1) as cluster:
        first = cluster.wait_done(cluster.submit(cluster.gpt("first", steps=30)))
        folder = os.path.join(cluster.dir, "hf")
        os.mkdir(folder)
        for name in ("model.safetensors", "config.json"):
            shutil.copy(os.path.join(first["checkpoint"], name), folder)
        runs = [cluster.wait_done(cluster.submit(cluster.gpt(name, steps=20), f"checkpoint.init={folder}"))
                for name in ("second", "third")]
        assert runs[0]["step"] == 20 and runs[0]["weights_hash"] == runs[1]["weights_hash"]
        assert runs[0]["loss"] < first["loss"] + 0.5, (runs[0]["loss"], first["loss"])


def writers(agent):
    """The processes that write checkpoints of that worker."""
    return [pid for trainer in children(agent, "muster-trainer") for pid in children(trainer, "muster-trainer")]


def left_out():
    """that checkpoints were left out is told a few times, however many were"""
    with PatientCluster(1, "--hang-ms", "600000") as cluster:
        job = cluster.submit(cluster.gpt("left", steps=1_000_000, every=1))

        def told():
            texts = [e["text"] for e in cluster.log_lines("w0") if e["event"] == "save" and "still being written" in e["text"]]
            return [int(re.search(r"\((\d+) left out", text)[1]) for text in texts]
        for pid in wait_for("a writer", lambda: writers(cluster.workers["w0"].pid)):
            os.kill(pid, signal.SIGSTOP)
        wait_for("eight are left out", lambda: len(told()) >= 4)
        counts = told()
        assert counts == [1 << i for i in range(len(counts))], counts
        cluster.muster("cancel", job)


def keep():
    """only the newest checkpoints stay, and what is listed is there"""
    with PatientCluster(1) as cluster:
        job = cluster.submit(cluster.gpt("keep", steps=1000, every=1))
        cluster.wait_done(job)
        folder = os.path.join(cluster.dir, "checkpoints-keep")
        wait_for("two checkpoints stay", lambda: len([n for n in os.listdir(folder) if n.startswith("step-")]) == 2)
        listed = cluster.json("checkpoints", job)
        assert listed[-1]["step"] == 1000, listed
        there = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("step-"))
        assert sorted(os.path.realpath(entry["path"]) for entry in listed) == list(map(os.path.realpath, there)), (listed, there)


def keep_at_the_end():
    """the writer gets no turn any more when the last checkpoint has its name: what that makes room of is removed all the same"""
    for steps in (400, 401, 402):
        with PatientCluster(1) as cluster:
            job = cluster.submit(cluster.gpt("keep", steps=steps, every=1))
            folder, agent, found = os.path.join(cluster.dir, "checkpoints-keep"), cluster.workers["w0"].pid, []
            last, end = os.path.join(folder, f"step-{steps:08}"), time.monotonic() + LIMIT_S
            while not os.path.exists(last) and time.monotonic() < end:  # more often than wait_for () would
                found = found or writers(agent)
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            cluster.wait_done(job)
            wait_for("two stay", lambda path=folder: sum(name.startswith("step-") for name in os.listdir(path)) == 2)
            assert os.path.exists(last), os.listdir(folder)


def sample():
    """sample writes text, the same for the same seed"""
    with Cluster(1) as cluster:
        checkpoint = cluster.wait_done(cluster.submit(cluster.gpt("text", steps=60)))["checkpoint"]
        texts = [cluster.muster("sample", checkpoint, "--prompt", "the ", "--tokens", "40", "--seed", seed)
                 for seed in ("1", "1", "2")]
        assert texts[0] == texts[1] != texts[2] and texts[0].startswith("the "), texts
        assert cluster.json("sample", checkpoint, "--tokens", "5")["text"]
        assert cluster.try_muster("sample", "/nonexistent").returncode == 102
        others = cluster.try_muster("sample", os.path.dirname(checkpoint))
        assert others.returncode == 66 and "no checkpoint of Muster" in others.stderr, others


def host_bits():
    """bits: host trains with OpenBLAS, where it is built in"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt("host", steps=30, bits="host"))
        status = cluster.wait_end(job)
        if status["state"] == "failed" and "OpenBLAS" in status["reason"]:
            raise Tap.Skip(status["reason"])
        assert status["state"] == "done", status


def classes():
    """workers whose bits would differ are not mixed, and the job says why, unless it says exact: false"""
    with Cluster() as cluster:
        for name, core in (("w0", "Haswell"), ("w1", "Sandybridge")):
            cluster.start_worker(name, env={"OPENBLAS_CORETYPE": core})
        found = wait_for("both are here", lambda: len(w := cluster.json("workers")) == 2 and w)
        names = sorted(worker["compute_class"] for worker in found)
        if names[0] == names[1]:
            raise Tap.Skip(f"both workers are of one compute class here: {names[0]}")
        spec = cluster.gpt("host", steps=30, workers=(2, 2), bits="host")
        job = cluster.submit(spec)
        reason = wait_for("it says why", lambda: "class" in (r := cluster.status(job)["reason"]) and r)
        assert all(name in reason for name in names) and "exact: false" in reason, reason
        mixed = cluster.wait_done(cluster.submit(spec, "exact=false", "name=mixed"))
        assert mixed["step"] == 30, mixed
        cluster.muster("cancel", job)


def plugin():
    """a trainer plug-in, built with the installed header alone, trains"""
    with Cluster(2) as cluster:
        include = os.path.join(cluster.dir, "include", "muster")
        os.makedirs(include)
        shutil.copy(os.path.join(SOURCE, "worker", "trainer.h"), include)
        library = os.path.join(cluster.dir, "linear.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-ffp-contract=off", "-I", os.path.dirname(include), "-o", library,
                        os.path.join(SOURCE, "examples", "linear", "linear.c"), "-lm"], check=True)
        spec = cluster.write("linear.yaml", f"""
name: linear
trainer: {library}
data: {{path: {cluster.csv()}, format: csv, label_column: label}}
batch: {{global: 32, micro: 4}}
epochs: 3
workers: {{min: 1, max: 2}}
optimizer: {{learning_rate: 0.05}}
checkpoint: {{dir: {cluster.dir}/checkpoints}}
""")
        status = cluster.wait_done(cluster.submit(spec))
        assert status["steps"] == (3 * 600 + 31) // 32 and status["loss"] < 0.6, status


def own_tokens():
    """a tokenizer learned from the text trains and writes text"""
    with Cluster(1) as cluster:
        tokenizer, shard = os.path.join(cluster.dir, "t.bpe"), os.path.join(cluster.dir, "t.bin")
        cluster.muster("data", "tokenize", cluster.text(), "--train", "300", "--out", tokenizer)
        cluster.muster("data", "tokenize", cluster.text(), "--tokenizer", tokenizer, "--out", shard)
        described = cluster.json("data", "inspect", shard, "--context", "32")
        assert described["records"] > 100, described
        text = cluster.wait_done(cluster.submit(cluster.gpt("text", steps=30), f"data.tokenizer={tokenizer}"))
        shards = cluster.wait_done(cluster.submit(cluster.gpt("shards", steps=30), f"data.path={shard}",
                                                  "data.format=llmc", f"data.tokenizer={tokenizer}"))
        assert text["weights_hash"] == shards["weights_hash"], "text and its own shards are the same tokens"
        wanted = cluster.muster("sample", shards["checkpoint"], "--tokens", "40")
        for name, size in (("unnamed", None), ("roomy", 2000)):  # which most of what is drawn is not among
            sets = ["data.format=llmc", f"data.path={shard}"] + ([f"data.vocabulary={size}"] if size else [])
            saved = cluster.wait_done(cluster.submit(cluster.gpt(name, steps=30), *sets))["checkpoint"]
            run = cluster.try_muster("sample", saved, "--tokens", "40")
            assert run.returncode == 78 and "--tokenizer" in run.stderr and not run.stdout, run
            drawn = cluster.muster("sample", saved, "--tokens", "40", "--tokenizer", tokenizer)
            assert drawn == wanted if not size else len(drawn) >= 40, (name, drawn, wanted)


def every_format():
    """a job trains on each format, and the same numbers in another format give the same weights"""
    with Cluster(1) as cluster:
        def write(name, content):
            with open(os.path.join(cluster.dir, name), "wb") as file:
                file.write(content)
            return file.name

        def npy(name, kind, shape, content):
            header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            return write(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + content)

        def trained(spec, path, *sets):
            job = cluster.submit(spec, f"data.path={path}", "data.format=auto", f"checkpoint.dir={path}.kept", *sets)
            return cluster.wait_done(job)["weights_hash"]

        with open(cluster.text(), "rb") as file:
            text = file.read()
        tokens = struct.pack(f"<{len(text)}H", *text)
        head = struct.pack("<256i", 20240520, 1, len(text), *[0] * 253)
        of_text = cluster.gpt(steps=20)
        calm = trained(of_text, cluster.text())
        for path in (write("t.txt.gz", gzip.compress(text)), write("t.bin", head + tokens),
                     npy("t.npy", "<u2", (len(text),), tokens), npy("b.npy", "|u1", (len(text),), text)):
            assert trained(of_text, path, "data.vocabulary=256") == calm, path
        lines = [json.dumps({"text": text[at:at + 100].decode()}) for at in range(0, len(text), 100)]
        trained(of_text, write("t.jsonl", "\n".join(lines).encode()))

        with open(cluster.csv(), encoding="ascii") as file:
            names, *rows = [line.strip().split(",") for line in file]
        at = names.index("label")
        labels = [int(row.pop(at)) for row in rows]
        features = [[float(value) for value in row] for row in rows]
        of_rows = cluster.mlp(steps=20)
        calm = trained(of_rows, cluster.csv())
        objects = [json.dumps({"x": x, "y": y}) for x, y in zip(features, labels)]
        assert trained(of_rows, write("r.jsonl", "\n".join(objects).encode())) == calm
        x = npy("x.npy", "<f4", (len(rows), len(features[0])), b"".join(struct.pack(f"<{len(row)}f", *row) for row in features))
        y = npy("y.npy", "<i4", (len(rows),), struct.pack(f"<{len(rows)}i", *labels))
        assert trained(of_rows, x, f"data.labels={y}") == calm
        pictures = write("p-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 64, 2, 2) + bytes(range(256))))
        write("p-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 64) + bytes([0, 1] * 32)))
        trained(of_rows, pictures)


def evaluation():
    """an evaluation is shown, does not change the answer, and is there after a restart of the coordinator"""
    with Cluster(2) as cluster:
        plain = cluster.wait_done(cluster.submit(cluster.gpt("plain", steps=40)))
        spec = cluster.gpt("evaluated", steps=40)
        path = cluster.write("other.txt", open(cluster.text(), encoding="ascii").read()[:20000])
        status = cluster.wait_done(cluster.submit(spec, f"eval.path={path}", "eval.every=20", "eval.batches=4"))
        assert status["evaluated_step"] == 41 and 0 < status["loss_evaluated"] < 6, status
        assert status["weights_hash"] == plain["weights_hash"]
        last = cluster.json("checkpoints", str(status["id"]))[-1]
        results = {key: status[key] for key in ("loss", "loss_evaluated", "accuracy", "evaluated_step")}
        assert results["loss"] > 0 and {key: last[key] for key in results} == results, (last, results)
        cluster.kill_coordinator()
        cluster.start_coordinator()
        again = cluster.status(str(status["id"]))
        assert {key: again[key] for key in results} == results, (again, results)


def failed_evaluation():
    """an evaluation that fails is told of in status and events, once, and training goes on to the same answer"""
    with PatientCluster(2) as cluster:
        path = cluster.bad_trainer()
        def run(fault, steps=60, every=10):
            job = cluster.submit(cluster.mlp(fault.replace('@', '-'), steps=steps), f"trainer={path}", f"model={{fault: '{fault}'}}",
                                 f"eval.path={cluster.csv()}", f"eval.every={every}", "eval.batches=4")
            status = cluster.wait_done(job)
            told = [event for event in map(json.loads, cluster.muster("-o", "json", "events", "--job", job).splitlines())
                    if event["event"] == "UNEVALUATED"]
            return status, told
        calm, told = run("none@0.0")
        assert calm["evaluated_step"] == 61 and calm["unevaluated"] == "" and not told, (calm, told)
        for fault, why in (("evaluate@100.0", "evaluation batch 0: the bad trainer does not like tests"),
                           ("evaluatenan@100.0", "evaluation batch 0: the loss is not a finite number")):
            status, told = run(fault)
            assert status["unevaluated"] == why and status["evaluated_step"] == 0, status
            assert f"evaluated  not the last time: {why}" in cluster.muster("status", str(status["id"])), status
            assert [event["text"] for event in told] == [f"worker {told[0]['worker']} cannot evaluate: {why}; training goes on"], told
            assert any(line["event"] == "unevaluated" and line["level"] == "warn" for line in cluster.log_lines("coordinator"))
            assert status["weights_hash"] == calm["weights_hash"], (calm, status)
        status, told = run("evaluate@16000.0", 30000, 5000)
        assert len(told) == 1 and status["unevaluated"] == "" and status["evaluated_step"] == 30001, (status, told)


def config_file():
    """a config file or the environment names the coordinator"""
    with Cluster() as cluster:
        folder = os.path.join(cluster.dir, ".config", "muster")
        os.makedirs(folder)
        with open(os.path.join(folder, "config"), "w", encoding="ascii") as file:
            file.write(f"[client]\ncoordinator = {cluster.endpoint}\n")
        environment = {key: value for key, value in os.environ.items() if key not in ("MUSTER_COORDINATOR", "XDG_CONFIG_HOME")}
        muster = [os.path.join(BUILD, "muster"), "--timeout", "2", "jobs"]
        assert subprocess.run(muster, env=dict(environment, HOME=cluster.dir), stdout=subprocess.DEVNULL, check=False).returncode == 0
        with_variable = dict(environment, HOME="/nonexistent", MUSTER_COORDINATOR=cluster.endpoint)
        assert subprocess.run(muster, env=with_variable, stdout=subprocess.DEVNULL, check=False).returncode == 0


def watch_on_terminal(cluster, job, presses):
    """Run `muster watch` on a terminal, press Ctrl-C so often, return its exit status and what it showed. It is pressed again
    when the first was heard: of two at once a process that gets no turn would hear one."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(os.path.join(BUILD, "muster"), ["muster", "--coordinator", cluster.endpoint, "watch", job])
    shown = b""
    for heard in (b"step", b"press Ctrl-C again")[:presses]:
        while heard not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


def ctrl_c():
    """Ctrl-C detaches from a watched job, twice within 2 s cancels it"""
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt("watched", steps=200000))
        cluster.wait_step(job, 5)
        status, shown = watch_on_terminal(cluster, job, 1)
        assert status == 101 and "detached" in shown, (status, shown[-500:])
        assert cluster.status(job)["state"] == "running"
        for _ in range(5):  # who gets no turn for 2 s detaches
            status, shown = watch_on_terminal(cluster, job, 2)
            if status != 101:
                break
        assert status == 103, (status, shown[-500:])
        assert cluster.wait_end(job)["state"] == "cancelled"


def scale():
    """muster scale takes workers from a running job and gives it others, at step boundaries, to the same answer"""
    with PatientCluster(3) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 8), **ENDLESS))
        for count in (1, 3, 2):
            cluster.wait_step(job, cluster.status(job)["step"] + 10)
            cluster.muster("scale", job, str(count))
            wait_for(f"{count} workers", lambda: (s := cluster.status(job))["workers"] == count and s["state"] == "running")  # pylint: disable=cell-var-from-loop
        status = cluster.wait_step(job, cluster.status(job)["step"] + 10)
        assert status["restarts"] == 0, status
        assert cluster.try_muster("scale", job, "0").returncode == 64
        assert cluster.try_muster("scale", "nobody", "2").returncode == 102
        cluster.same_as_calm(job, **ENDLESS)
        assert cluster.wait_end(job)["state"] == "cancelled"
        assert cluster.try_muster("scale", job, "2").returncode == 65


def slow_worker():
    """a worker that is often held up loses micro-batches to the others, says so, and no bit changes"""
    with PatientCluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        cluster.wait_step(job, 20)
        [pid] = children(cluster.workers["w1"].pid, "muster-trainer")
        held = threading.Event()

        def hold_up():
            while not held.wait(0.01):
                os.kill(pid, signal.SIGSTOP)
                held.wait(0.04)
                os.kill(pid, signal.SIGCONT)
        holder = threading.Thread(target=hold_up)
        holder.start()
        try:
            def moved():
                lines = cluster.muster("-o", "json", "events", "--job", job).splitlines()
                return [e for e in map(json.loads, lines) if e["event"] == "BROKEN" and "worker w1 takes" in e["reason"]]
            [broken, *_] = wait_for("micro-batches move", moved)
            assert broken["planned"], broken
            def factors():
                return {w["name"]: w["factor"] for w in cluster.json("workers")}
            wait_for("w1 is said to be the slower one", lambda: (slow := factors())["w1"] > slow["w0"])
        finally:
            held.set()
            holder.join()
        cluster.same_as_calm(job, **ENDLESS)


def under_mpirun():
    """mpirun starts workers; one that is killed takes no other along"""
    launcher = shutil.which("mpiexec.mpich")
    if not launcher:
        raise Tap.Skip("mpiexec.mpich is not installed (apt-get install mpich)")
    with Cluster() as cluster:
        calm = cluster.submit(cluster.gpt("calm", steps=400))
        cluster.start_worker("alone")
        weights = cluster.wait_done(calm)["weights_hash"]
        cluster.kill_worker("alone")
        mpirun = subprocess.Popen([launcher, "-n", "3", os.path.join(BUILD, "muster-worker"), "--coordinator", cluster.endpoint,
                                   "--dir", os.path.join(cluster.dir, "mpi"), "--threads", "1", "--interface", "lo"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            free = lambda: [w["name"] for w in cluster.json("workers") if w["state"] == "free"]  # noqa: E731
            names = wait_for("three workers", lambda: len(names := [name for name in free() if name != "alone"]) == 3 and names)
            assert len(set(names)) == 3, names
            job = cluster.submit(cluster.gpt("killed", workers=(1, 3), **ENDLESS))
            cluster.wait_members(job, 3)
            agents = [int(pid) for pid in subprocess.run(["pgrep", "-f", f"muster-worker.*{cluster.dir}/mpi"], check=True,
                                                         capture_output=True, text=True).stdout.split()]
            trainers = {pid for pid in agents if children(pid, "muster-trainer")}
            os.kill(sorted(trainers)[0], signal.SIGKILL)
            status = cluster.wait_step(job, cluster.wait_members(job, 2)["step"] + 20)
            assert status["restarts"] >= 1 and mpirun.poll() is None, status
            cluster.muster("cancel", job)
            again = cluster.wait_done(cluster.submit(cluster.gpt("again", steps=400)))
            assert again["weights_hash"] == weights
        finally:
            mpirun.terminate()
            mpirun.wait(30)


def up():
    """muster up brings a cluster up, survives what dies, and leaves nothing behind"""
    with Cluster() as cluster:
        folder = os.path.join(cluster.dir, "up")
        endpoint = f"ipc://{folder}/socket"
        os.mkdir(folder)
        muster = [os.path.join(BUILD, "muster"), "--coordinator", endpoint]
        process = subprocess.Popen([*muster, "up", "-n", "2", "--dir", folder], stderr=subprocess.PIPE, text=True)
        line = process.stderr.readline()
        assert line.startswith("ready"), line
        run = subprocess.run([*muster, "submit", cluster.gpt(steps=20), "--wait"], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        workers = json.loads(subprocess.run([*muster, "-o", "json", "workers"], capture_output=True, check=True).stdout)
        assert len(workers) == 2, workers
        process.send_signal(signal.SIGINT)
        process.wait(30)
        wait_for("nothing is left", lambda: not subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False).stdout)


def stopped_tests():
    """a system test that is stopped or killed leaves nothing of its cluster behind"""
    script = """
import sys, time
from cluster import Cluster, Tap
def endless():
    with Cluster(1) as cluster:
        job = cluster.submit(cluster.gpt(steps=1_000_000))
        cluster.wait_step(job, 20)
        print("#", cluster.dir, flush=True)
        time.sleep(1000)
Tap().run(endless)
"""
    for number in (signal.SIGTERM, signal.SIGKILL):
        test = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True,
                                cwd=os.path.dirname(os.path.abspath(__file__)))
        try:
            folder = [test.stdout.readline() for _ in range(2)][1].split()[1]

            def left(folder=folder):
                return subprocess.run(["pgrep", "-f", folder], capture_output=True, text=True, check=False).stdout.split()
            assert len(left()) >= 3, left()
            test.send_signal(number)
            test.wait(30)
            wait_for("all are gone", lambda left=left: not left())
            assert os.path.exists(folder) == (number == signal.SIGKILL), folder
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            test.kill()
            test.stdout.close()
            test.wait()


if __name__ == "__main__":
    sys.exit(Tap().run(resume, resume_newest, resume_by_id, init_from_weights, left_out, keep, keep_at_the_end, sample, host_bits, classes, plugin,
                       own_tokens, every_format, evaluation, failed_evaluation, config_file, ctrl_c, scale, slow_worker, under_mpirun, up, stopped_tests))
