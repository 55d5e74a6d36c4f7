#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The weights are the same bits for any number of workers, threads and kinds of CPU, and again."""
import platform
import sys

from cluster import Cluster, Tap

STEPS = 200


def cpu_has(flag):
    with open("/proc/cpuinfo", encoding="ascii") as info:
        return f" {flag}" in info.read()


def isas():
    """Kernels that this machine runs, each with other vectors."""
    if platform.machine() != "x86_64":
        return ["auto", "plain"]
    return [isa for isa, flag in (("avx512", "avx512vl"), ("avx2", "fma"), ("plain", "sse2")) if cpu_has(flag)]


def train(kind, workers, threads=1, kernels=("auto",), steps=STEPS, **more):
    with Cluster() as cluster:
        for number in range(workers):
            cluster.start_worker(f"w{number}", threads=threads, isa=kernels[number % len(kernels)])
        spec = getattr(cluster, kind)(steps=steps, workers=(workers, workers), **more)
        status = cluster.wait_done(cluster.submit(spec))
        assert status["step"] == steps and status["weights_step"] == steps, status
        assert len(status["weights_hash"]) == 64, status
        return status["weights_hash"]


def check_equal(runs):
    for what, weights in runs.items():
        print(f"# {weights[:16]} {what}")
    assert len(set(runs.values())) == 1, "the weights differ"


def gpt_workers():
    """gpt: 1, 2, 3 and 4 workers, and the first again"""
    runs = {f"{count} workers": train("gpt", count) for count in (1, 2, 3, 4)}
    runs["1 worker again"] = train("gpt", 1)
    check_equal(runs)


def gpt_threads():
    """gpt with dropout: 1 and 2 threads, 1 and 2 workers"""
    check_equal({f"{workers} workers, {threads} threads": train("gpt", workers, threads, dropout=0.1)
                 for workers, threads in ((1, 1), (1, 2), (2, 2))})


def gpt_kernels():
    """gpt: each kind of kernels alone, and a world that mixes them"""
    kinds = isas()
    if len(kinds) < 2:
        raise Tap.Skip("this CPU has one kind of kernels only")
    runs = {kind: train("gpt", 1, kernels=(kind,), steps=60) for kind in kinds}
    runs[" + ".join(kinds)] = train("gpt", len(kinds), kernels=kinds, steps=60)
    check_equal(runs)


def mlp_workers():
    """mlp: 1, 2, 3 and 4 workers, 2 threads, mixed kernels"""
    runs = {f"{count} workers": train("mlp", count) for count in (1, 2, 3, 4)}
    runs["2 workers, 2 threads"] = train("mlp", 2, 2)
    runs["mixed kernels"] = train("mlp", 3, kernels=isas())
    check_equal(runs)


def int64_sums():
    """gpt with int64 sums: 1 and 3 workers"""
    check_equal({f"{count} workers": train("gpt", count, steps=60, reduce="int64") for count in (1, 3)})


def seeds_matter():
    """another seed gives other weights: the comparison can fail"""
    assert train("mlp", 1, steps=20) != train("mlp", 1, steps=20, seed=2)


if __name__ == "__main__":
    sys.exit(Tap().run(gpt_workers, gpt_threads, gpt_kernels, mlp_workers, int64_sums, seeds_matter))
