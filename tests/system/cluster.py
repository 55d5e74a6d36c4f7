# SPDX-License-Identifier: Apache-2.0
"""cluster.py - real processes for system tests: a coordinator, workers, and the muster command

A Cluster lives in a folder of its own and talks over loopback. Nothing here sleeps and hopes: wait_for ()
polls a condition with a generous limit and says what it waited for. Tap prints the results.
"""
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.environ.get("top_builddir", os.getcwd())
SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LIMIT_S = float(os.environ.get("MUSTER_TEST_LIMIT", "120"))

# Ends of a job, as `muster status` names them.
ENDS = ("done", "failed", "cancelled")

# On a full machine a worker may get no turn for a second, and is lost by right.
PATIENT = ("--lost-ms", "4000")

# A job that is never trained to its end: it cannot be over before a test has done what it does to it.
ENDLESS = {"steps": 1_000_000, "every": 50}


def wait_for(what, condition, limit_s=LIMIT_S):
    """The first true value of condition (); fails after limit_s."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s:.0f} s for: {what}")
        time.sleep(0.02)


def need_no_sanitizer():
    """Skips where what was built cannot be loaded into a program that was not built here."""
    with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as makefile:
        if re.search("^MU_SANITIZE = .*-fsanitize", makefile.read(), re.M):
            raise Tap.Skip("a sanitized library wants a sanitized program")


def ends_by_signals():
    """An environment in which a signal that ends a process is not made an exit status of by a sanitizer."""
    signals = "".join(f":handle_{name}=0" for name in ("segv", "sigbus", "abort", "sigfpe", "sigill"))
    return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + signals}


LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec is no time for it


def die_with_the_test():
    """Run in a child before its program: when the test is killed, all that it started is, too (PR_SET_PDEATHSIG)."""
    LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)


def stop(number, frame):  # pylint: disable=unused-argument
    """Stopped by a signal, a test leaves nothing behind either."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def stop_on_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)


PORTS = range(10_000, 32_000)  # below those that the kernel gives to connections
RESERVED = []  # what says that they are this test's


def free_port():
    """One that no other test is given as long as this one runs: it is not listened at before a program is started, nor
    between a coordinator's death and the next."""
    while True:
        port = random.choice(PORTS)
        reserved = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reserved.bind(f"\0muster-test-port-{port}")  # the kernel lets go of it when the test ends, however it does
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reserved.close()
            continue
        RESERVED.append(reserved)
        return port


def process_stat(pid):
    """A process's name, and the fields of /proc/PID/stat behind it; None: it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as line:
            name, _, fields = line.read().partition("(")[2].rpartition(")")
    except OSError:
        return None
    return name, fields.split()


def processor_seconds(pid):
    """Of a process, of all under it, and of those that they have waited for."""
    stat = process_stat(pid)
    if not stat:
        return 0
    return sum(map(int, stat[1][11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(processor_seconds, child_ids(pid)))


def child_ids(parent):
    """All processes right under this one. Asked of the kernel's own list: a look at every process there is costs some
    milliseconds, and benches look often."""
    found = []
    try:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as ids:
                found += map(int, ids.read().split())
    except OSError:
        pass  # it has just ended
    return found


def children(parent, program):
    """Process ids of that program right under this process."""
    found = []
    for pid in child_ids(parent):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                command = line.read().split(b"\0")[0].decode()
        except OSError:
            continue
        if os.path.basename(command) == program:
            found.append(pid)
    return found


class Cluster:
    network_options = ("--interface", "lo")

    def __init__(self, workers=0, coordinator_options=(), **worker_options):
        self.coordinator_options = coordinator_options
        self.dir = tempfile.mkdtemp(prefix="muster-system-")
        self.endpoint = self.choose_endpoint()
        self.coordinator = None
        self.workers = {}
        self.logs = []
        self.start_coordinator()
        for number in range(workers):
            self.start_worker(f"w{number}", **worker_options)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.show_logs()
        for process in [*self.workers.values(), self.coordinator]:
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        for log in self.logs:
            log.close()
        if os.environ.get("MUSTER_TEST_KEEP"):
            print(f"# kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def show_logs(self):
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as log:
                    for line in log.readlines()[-25:]:
                        print(f"# {name}: {line.rstrip()[:400]}")

    def choose_endpoint(self):
        return f"tcp://127.0.0.1:{free_port()}"

    def says(self, name, *words):
        """Does a line of its log hold all of them?"""
        with open(os.path.join(self.dir, f"{name}.log"), encoding="utf-8", errors="replace") as log:
            return any(all(word in line for word in words) for line in log)

    def log_lines(self, name):
        """What is JSON in its log."""
        with open(os.path.join(self.dir, f"{name}.log"), encoding="utf-8", errors="replace") as log:
            return [json.loads(line) for line in log if line.startswith("{")]

    def on_host(self, name, command):  # pylint: disable=unused-argument
        """That command on the host of that name: here all are one. hosts.py has others."""
        return command

    def spawn(self, name, *arguments, env=None):
        log = open(os.path.join(self.dir, f"{name}.log"), "ab")
        self.logs.append(log)
        environment = dict(os.environ, HOME=self.dir, **(env or {}))
        environment.pop("MUSTER_COORDINATOR", None)
        command = self.on_host(name, [os.path.join(BUILD, arguments[0]), *arguments[1:]])
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,  # pylint: disable=subprocess-popen-preexec-fn
                                start_new_session=True, preexec_fn=die_with_the_test)

    def spawn_coordinator(self, *options):
        self.coordinator = self.spawn("coordinator", "muster-coordinator", "--dir", os.path.join(self.dir, "state"),
                                      "--listen", self.endpoint, *self.coordinator_options, *options)

    def start_coordinator(self, *options):
        self.spawn_coordinator(*options)
        wait_for("the coordinator answers", lambda: self.try_muster("jobs").returncode == 0, 30)

    def kill_coordinator(self):
        self.coordinator.kill()
        self.coordinator.wait()

    def start_worker(self, name, *options, threads=1, isa="auto", env=None):
        self.workers[name] = self.spawn(name, "muster-worker", "--coordinator", self.endpoint, "--name", name, "--dir",
                                        os.path.join(self.dir, name), "--threads", str(threads), "--isa", isa,
                                        *self.network_options, *options, env=env)

    def kill_worker(self, name):
        """As the machine would: the agent dies, its children with it."""
        self.workers[name].kill()
        self.workers.pop(name).wait()

    def kill_all_workers(self):
        """At once: none of them sees another's death."""
        for worker in self.workers.values():
            worker.kill()
        for name in list(self.workers):
            self.kill_worker(name)

    def command(self, *arguments):
        return self.on_host("coordinator", [os.path.join(BUILD, "muster"), "--coordinator", self.endpoint, *arguments])

    def try_muster(self, *arguments, limit_s=60, **keywords):
        return subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=limit_s, env=dict(os.environ, HOME=self.dir), check=False, **keywords)

    def muster(self, *arguments):
        run = self.try_muster(*arguments)
        if run.returncode:
            raise AssertionError(f"muster {' '.join(arguments)} exits with {run.returncode}: {run.stderr}")
        return run.stdout

    def json(self, *arguments):
        return json.loads(self.muster("-o", "json", *arguments))

    def jobs(self):
        return self.json("jobs")

    def status(self, job):
        return json.loads(self.try_muster("-o", "json", "status", job).stdout)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def submit(self, spec, *sets):
        arguments = [word for assignment in sets for word in ("--set", assignment)]
        return self.muster("submit", spec, *arguments).strip()

    def wait_end(self, job, limit_s=LIMIT_S):
        def ended():
            status = self.status(job)
            return status if status["state"] in ENDS else None
        return wait_for(f"job {job} ends", ended, limit_s)

    def wait_step(self, job, step, limit_s=LIMIT_S):
        def there():
            status = self.status(job)
            if status["state"] in ENDS and status["step"] < step:
                raise AssertionError(f"job {job} is {status['state']} at step {status['step']}: {status['reason']}")
            return status if status["step"] >= step else None
        return wait_for(f"job {job} reaches step {step}", there, limit_s)

    def members(self, job):
        """Whose rank is which in the job's generation. Who was given the job and has not joined yet has none."""
        return {worker["rank"]: worker["name"] for worker in self.json("workers")
                if str(worker["job"]) == job and worker["state"] == "working" and worker["rank"] is not None}

    def wait_members(self, job, count):
        """So many train in one generation: the job's own count of workers has those in it that have yet to join."""
        def there():
            status = self.status(job)
            return status["state"] == "running" and status["step"] and len(self.members(job)) == count and status
        return wait_for(f"job {job} trains on {count}", there)

    def wait_done(self, job, limit_s=LIMIT_S):
        status = self.wait_end(job, limit_s)
        assert status["state"] == "done", f"job {job} is {status['state']}: {status['reason']}"
        return status

    def same_as_calm(self, job, **spec):
        """A gpt (**spec) that is never trained to its end: its ledger is proven, it saves once more, is cancelled, and
        what it saved is what one worker that nobody disturbs has at that step."""
        end = max(self.status(job)["step"], 1)
        saved = wait_for("a checkpoint after all of it", lambda: (s := self.status(job))["weights_step"] >= end and s)
        proven = self.try_muster("ledger", "verify", job)
        assert proven.returncode == 0, proven.stdout + proven.stderr
        self.muster("cancel", job)
        at = saved["weights_step"]
        assert calm_weights(at, **spec) == saved["weights_hash"], f"the weights at step {at} differ"

    # --- data and jobs small enough for a test -------------------------------------------------------

    def text(self, size=200_000):
        """A text file with something to learn in it, the same every time."""
        path = os.path.join(self.dir, "text.txt")
        if not os.path.exists(path):
            words = "the worker dies and the others go on with the same bits as before ".split()
            state, out, length = 1, [], 0
            while length < size:
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                word = words[state >> 40 & 7] if state >> 60 else words[state >> 40 & 7] + "\n"
                out.append(word)
                length += len(word) + 1
            with open(path, "w", encoding="ascii") as file:
                file.write(" ".join(out))
        return path

    def gpt(self, name="gpt", steps=60, workers=(1, 8), batch=8, every=1000, dropout=0, **more):
        extra = "".join(f"{key}: {value}\n" for key, value in more.items())
        return self.write(f"{name}.yaml", f"""
name: {name}
trainer: gpt
model: {{layers: 2, channels: 32, heads: 2, dropout: {dropout}}}
data: {{path: {self.text()}, format: text, tokenizer: bytes, context: 32}}
batch: {{global: {batch}, micro: 1}}
steps: {steps}
window: 16
optimizer: {{learning_rate: 1e-3, warmup: 5}}
workers: {{min: {workers[0]}, max: {workers[1]}}}
checkpoint: {{every: {every}, keep: 2, dir: {self.dir}/checkpoints-{name}}}
{extra}""")

    def bad_trainer(self, name="bad", *flags):
        """A plug-in that misbehaves as its settings say: tests/system/bad_trainer.c."""
        compiler = shutil.which(os.environ.get("CC", "cc").split()[0]) or shutil.which("gcc")
        if not compiler:
            raise Tap.Skip("there is no C compiler")
        path = os.path.join(self.dir, f"{name}.so")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-I", os.path.join(SOURCE, "worker"), *flags,
                        os.path.join(SOURCE, "tests", "system", "bad_trainer.c"), "-o", path], check=True)
        return path

    def csv(self):
        path = os.path.join(self.dir, "points.csv")
        if not os.path.exists(path):
            state, lines = 7, ["a,b,c,label"]
            for _ in range(600):
                row = []
                for _ in range(3):
                    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                    row.append((state >> 33) / 2**31)
                lines.append(f"{row[0]:.6f},{row[1]:.6f},{row[2]:.6f},{int(row[0] + row[1] > row[2] + 0.5)}")
            with open(path, "w", encoding="ascii") as file:
                file.write("\n".join(lines) + "\n")
        return path

    def mlp(self, name="mlp", steps=60, workers=(1, 8), **more):
        extra = "".join(f"{key}: {value}\n" for key, value in more.items())
        return self.write(f"{name}.yaml", f"""
name: {name}
trainer: mlp
model: {{hidden: [16, 8]}}
data: {{path: {self.csv()}, format: csv, label_column: label}}
batch: {{global: 32, micro: 4}}
steps: {steps}
window: 16
optimizer: {{learning_rate: 1e-2}}
workers: {{min: {workers[0]}, max: {workers[1]}}}
checkpoint: {{every: 1000, keep: 2, dir: {self.dir}/checkpoints-{name}}}
{extra}""")


class PatientCluster(Cluster):
    """For who claims that nothing disturbs a job, how many generations it has, or who is to blame of those in one."""

    def __init__(self, workers=0, *coordinator_options, **worker_options):
        super().__init__(workers, (*PATIENT, *coordinator_options), **worker_options)


def calm_weights(at, **spec):
    """The hash of a gpt (**spec) at that step, trained by one worker that nobody disturbs."""
    with Cluster(1) as cluster:  # one checkpoint, at that step: some of many are left out when they come fast
        job = cluster.submit(cluster.gpt(**spec), f"checkpoint.every={at}", "checkpoint.keep=1000")
        saved = wait_for(f"step {at} of a calm run",
                         lambda: {c["step"]: c for c in cluster.json("checkpoints", job)}.get(at), 900)
    return saved["weights_hash"]


class Tap:
    """Runs test functions and prints TAP. A Skip tells why."""

    class Skip(Exception):
        pass

    def run(self, *tests):
        stop_on_signals()
        only = sys.argv[1:]
        tests = [test for test in tests if not only or test.__name__ in only]
        print(f"1..{len(tests)}", flush=True)
        failed = 0
        for number, test in enumerate(tests, 1):
            name = (test.__doc__ or test.__name__).strip().splitlines()[0]
            began = time.monotonic()
            try:
                test()
                print(f"ok {number} - {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Tap.Skip as why:
                print(f"ok {number} - {name} # SKIP {why}", flush=True)
            except KeyboardInterrupt as why:
                print(f"Bail out! stopped by {why or 'SIGINT'}", flush=True)
                return 1
            except Exception:  # pylint: disable=broad-except
                failed += 1
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}")
                print(f"not ok {number} - {name}", flush=True)
        return 1 if failed else 0
