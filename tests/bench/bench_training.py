#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_training.py - gpt on two workers against PyTorch DDP with gloo on two ranks, in one run

usage: bench_training.py [--isa auto|avx512|avx2|plain] [--python PROGRAM] [ROUNDS [STEPS]]
default: 3 rounds of 40 steps, in turns, PyTorch in /usr/bin/python3

Same model (4 layers, 256 channels, 4 heads, 128 context, byte vocabulary), batch of 8 a worker and step, same text,
AdamW with the same groups, clipping, one thread a worker. What is compared is the CPU time of all processes per step,
since these machines are shared: for Muster that is coordinator, agents, trainers and collectives; for PyTorch both
ranks. Wall-clock tokens/s are printed beside it, with the spread of the rounds. --isa says which kernels Muster's
workers use, and OpenBLAS or MKL, ATen and oneDNN under PyTorch are told to use those of the same instruction set,
whatever OPENBLAS_CORETYPE this shell may have; `auto` is the best of this CPU for both.

Fair to PyTorch: its matrix products come from OpenBLAS or MKL (checked), gradients are views of DDP's buckets and set
to None rather than zeroed, the mask is made once, tokens lie in memory. Needs Debian's python3-torch, or another Python
with PyTorch named by --python, and dict-gcide, or says why it cannot run."""
import argparse
import os
import subprocess
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, free_port, processor_seconds, wait_for  # noqa: E402  pylint: disable=wrong-import-position

TEXT = "/usr/share/dictd/gcide.dict.dz"
LAYERS, CHANNELS, HEADS, CONTEXT, BATCH, WORKERS = 4, 256, 4, 128, 8, 2
TOKENS = WORKERS * BATCH * CONTEXT

DDP = textwrap.dedent(f"""
    import gzip, os, sys, time, torch, torch.distributed as dist
    import torch.nn as nn, torch.nn.functional as F
    L, C, H, T, B, steps = {LAYERS}, {CHANNELS}, {HEADS}, {CONTEXT}, {BATCH}, int(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
            self.attn, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
            self.fc, self.out = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
            self.mask = torch.tril(torch.ones(T, T)).view(1, 1, T, T) == 0  # no buffer: gloo cannot send bool
        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (y.view(b, t, H, C // H).transpose(1, 2) for y in self.attn(self.ln_1(x)).split(C, 2))
            a = (q @ k.transpose(-2, -1)) / (C // H) ** 0.5
            a = F.softmax(a.masked_fill(self.mask, float("-inf")), -1) @ v
            x = x + self.proj(a.transpose(1, 2).reshape(b, t, C))
            return x + self.out(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(256, C), nn.Embedding(T, C)
            self.h, self.ln_f = nn.ModuleList(Block() for _ in range(L)), nn.LayerNorm(C)
        def forward(self, i, target):
            x = self.wte(i) + self.wpe(torch.arange(T))
            for block in self.h:
                x = block(x)
            logits = self.ln_f(x) @ self.wte.weight.t()
            return F.cross_entropy(logits.view(-1, 256), target.reshape(-1))

    text = torch.frombuffer(bytearray(gzip.open("{TEXT}").read(1 << 22)), dtype=torch.uint8).long()
    model = nn.parallel.DistributedDataParallel(Gpt(), gradient_as_bucket_view=True)
    groups = [[p for p in model.parameters() if (p.dim() > 1) == decays] for decays in (True, False)]
    optimizer = torch.optim.AdamW([dict(params=groups[0], weight_decay=0.1), dict(params=groups[1], weight_decay=0.0)],
                                  1e-3, (0.9, 0.95))
    def step(n):
        rows = [((n * world + rank) * B + b) * T for b in range(B)]
        x = torch.stack([text[r:r + T + 1] for r in rows])
        optimizer.zero_grad(set_to_none=True)
        model(x[:, :-1], x[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for n in range(5):
        step(n)
    dist.barrier()
    wall, cpu = time.monotonic(), time.process_time()
    for n in range(5, 5 + steps):
        step(n)
    print(rank, (time.process_time() - cpu) / steps, (time.monotonic() - wall) / steps, flush=True)
""")


def run_muster(steps, isa):
    with Cluster(WORKERS, isa=isa) as cluster:
        spec = cluster.write("bench.yaml", f"""
name: bench
trainer: gpt
model: {{layers: {LAYERS}, channels: {CHANNELS}, heads: {HEADS}}}
data: {{path: {TEXT}, format: text, context: {CONTEXT}}}
batch: {{global: {WORKERS * BATCH}, micro: {BATCH}}}
steps: {steps + 40}
optimizer: {{beta2: 0.95, weight_decay: 0.1}}
workers: {{min: {WORKERS}, max: {WORKERS}}}
checkpoint: {{every: 100000, dir: {cluster.dir}/checkpoints}}
""")
        job = cluster.submit(spec)
        pids = [cluster.coordinator.pid] + [worker.pid for worker in cluster.workers.values()]
        first = wait_for("it is warm", lambda: (s := cluster.status(job))["step"] >= 5 and s)["step"]
        cpu, wall = sum(map(processor_seconds, pids)), time.monotonic()
        last = wait_for("it has trained", lambda: (s := cluster.status(job))["step"] >= first + steps and s, 600)["step"]
        return (sum(map(processor_seconds, pids)) - cpu) / (last - first), (time.monotonic() - wall) / (last - first)


def best_isa():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        flags = info.read().split()
    return "avx512" if "avx512f" in flags else "avx2"


def torch_environment(isa):
    """One thread, and the kernels of this instruction set, not what this shell's variables say."""
    choice = {"avx512": ("SkylakeX", "avx512", "AVX512_CORE", "AVX512"), "avx2": ("Haswell", "avx2", "AVX2", "AVX2")}
    core, aten, dnnl, mkl = choice.get(best_isa() if isa == "auto" else isa, choice["avx2"])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "OMP_", "MKL_", "DNNL_"))}
    return dict(kept, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE=core, ATEN_CPU_CAPABILITY=aten,
                ONEDNN_MAX_CPU_ISA=dnnl, DNNL_MAX_CPU_ISA=dnnl, MKL_ENABLE_INSTRUCTIONS=mkl, MKL_NUM_THREADS="1")


def run_torch(python, steps, isa):
    environment = dict(torch_environment(isa), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()),
                       WORLD_SIZE=str(WORKERS), GLOO_SOCKET_IFNAME="lo")
    ranks = [subprocess.Popen([python, "-c", DDP, str(steps)], stdout=subprocess.PIPE, text=True,
                              env=dict(environment, RANK=str(rank))) for rank in range(WORKERS)]
    lines = [rank.communicate()[0].split() for rank in ranks]
    return sum(float(line[1]) for line in lines), max(float(line[2]) for line in lines)


def blas_of_torch(python):
    """PyTorch's version and where its matrix products come from, or exit: against the reference BLAS we would look
    better than we are. NumPy's OpenBLAS, which PyTorch loads and does not use, does not count."""
    script = "import torch; torch.mm(torch.ones(2, 2), torch.ones(2, 2)); print(torch.__version__); " \
             "print(*[line.split()[-1] for line in open('/proc/self/maps') if 'openblas' in line and 'numpy' not in line]); " \
             "print(torch.__config__.show())"
    run = subprocess.run([python, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if run.returncode:
        sys.exit(f"cannot compare: {python} has no PyTorch (apt-get install python3-torch, or name another with --python)")
    version, libraries, *configuration = run.stdout.splitlines()
    if libraries:
        return f"{version} (OpenBLAS)"
    if any("BLAS_INFO=mkl" in line for line in configuration):
        return f"{version} (MKL)"
    sys.exit("cannot compare: PyTorch runs on the reference BLAS here (apt-get install libopenblas0-pthread)")


def median(values):
    return sorted(values)[len(values) // 2]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", default="auto", choices=["auto", "avx512", "avx2", "plain"])
    parser.add_argument("--python", default="/usr/bin/python3", metavar="PROGRAM", help="a Python that has PyTorch")
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("steps", nargs="?", type=int, default=40)
    return parser.parse_args()


def main():
    arguments = read_arguments()
    version = blas_of_torch(arguments.python)
    if not os.path.exists(TEXT):
        sys.exit("cannot compare: the text is not installed (apt-get install dict-gcide)")
    ours, theirs = [], []
    for number in range(arguments.rounds):
        ours.append(run_muster(arguments.steps, arguments.isa))
        theirs.append(run_torch(arguments.python, arguments.steps, arguments.isa))
        print(f"# round {number + 1}: CPU ms a step: muster {1e3 * ours[-1][0]:.0f}, torch {1e3 * theirs[-1][0]:.0f}, "
              f"ratio {theirs[-1][0] / ours[-1][0]:.2f}", flush=True)
    ratios = [t[0] / o[0] for o, t in zip(ours, theirs)]
    walls = [t[1] / o[1] for o, t in zip(ours, theirs)]
    cpu = median([o[0] for o in ours]), median([t[0] for t in theirs])
    wall = median([o[1] for o in ours]), median([t[1] for t in theirs])
    print(f"| training, {arguments.isa} kernels, tokens per CPU second | {TOKENS / cpu[0]:.0f} | PyTorch {version} DDP, gloo: "
          f"{TOKENS / cpu[1]:.0f} | {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | >= 1.2 |")
    print(f"| training, {arguments.isa} kernels, tokens per wall second | {TOKENS / wall[0]:.0f} | PyTorch {version} DDP, gloo: "
          f"{TOKENS / wall[1]:.0f} | {median(walls):.2f} ({min(walls):.2f} to {max(walls):.2f}) | |")
    return 0 if median(ratios) >= 1.2 else 1


if __name__ == "__main__":
    sys.exit(main())
