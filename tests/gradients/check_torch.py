#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gradients of gpt and mlp against PyTorch in float64 on the same weights and data.

usage: check_torch.py [DUMP_GRADIENTS]

Every gradient tensor must be within 2e-6 relative L2 of PyTorch's. Speaks TAP. Skips, with the
reason, where PyTorch or NumPy is missing (Debian: python3-torch)."""
import json
import os
import subprocess
import sys
import tempfile

LIMIT = 2e-6
BUILD = os.environ.get("top_builddir", ".")
DUMP = sys.argv[1] if len(sys.argv) > 1 else BUILD + "/tests/gradients/dump_gradients"
DEBIAN_PYTHON = "/usr/bin/python3"  # which has Debian's packages, and need not be first in PATH

# name: trainer, micro-batch, tokens, vocabulary, features, classes, settings
CASES = {
    "gpt as in quickstart": ("gpt", 4, 129, 256, 0, 0, "layers=4 channels=128 heads=4"),
    "gpt with the heads of GPT-2": ("gpt", 2, 65, 300, 0, 0, "layers=2 channels=192 heads=3"),
    "gpt with odd sizes and padding": ("gpt", 3, 38, 61, 0, 0,
                                       "layers=3 channels=42 heads=6 vocabulary=67"),
    "gpt of one layer, head and target": ("gpt", 1, 2, 5, 0, 0, "layers=1 channels=8 heads=1"),
    "mlp for images": ("mlp", 32, 0, 0, 784, 10, "hidden=256,128"),
    "mlp with odd sizes": ("mlp", 7, 0, 0, 13, 3, "hidden=11,5,9"),
    "mlp without hidden layers": ("mlp", 5, 0, 0, 9, 4, "hidden="),
}


def read_safetensors(path):
    with open(path, "rb") as file:
        raw = file.read()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    kind = {"F32": numpy.float32, "I32": numpy.int32}
    loss = float(header.pop("__metadata__")["loss"])
    tensors = {}
    for name, at in header.items():
        begin, end = (8 + size + offset for offset in at["data_offsets"])
        flat = numpy.frombuffer(raw[begin:end], kind[at["dtype"]])
        tensors[name] = torch.tensor(flat.reshape(at["shape"]).copy())
    return loss, tensors


def gpt_loss(weights, data, heads):
    """GPT-2 by the book; weights of matrices are [in, out]."""
    tokens = data["tokens"].long()
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    records, length = inputs.shape
    channels = weights["wte.weight"].shape[1]
    mask = torch.tril(torch.ones(length, length)).bool()

    def norm(x, name):
        return functional.layer_norm(x, (channels,), weights[name + ".weight"],
                                     weights[name + ".bias"], 1e-5)

    def linear(x, name):
        return x @ weights[name + ".weight"] + weights[name + ".bias"]

    def split(x):
        return x.view(records, length, heads, channels // heads).transpose(1, 2)

    def attention(x, name):
        q, k, v = (split(part) for part in linear(x, name + ".c_attn").split(channels, 2))
        scores = (q @ k.transpose(-2, -1)) / (channels // heads) ** 0.5
        p = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        return linear((p @ v).transpose(1, 2).reshape(records, length, channels), name + ".c_proj")

    x = weights["wte.weight"][inputs] + weights["wpe.weight"][:length]
    layer = 0
    while f"h.{layer}.ln_1.weight" in weights:
        h = f"h.{layer}."
        x = x + attention(norm(x, h + "ln_1"), h + "attn")
        wide = functional.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh")
        x = x + linear(wide, h + "mlp.c_proj")
        layer += 1
    logits = norm(x, "ln_f") @ weights["wte.weight"].T
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def mlp_loss(weights, data):
    x = data["features"].double()
    layers = len(weights) // 2
    for i in range(layers):
        x = functional.linear(x, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"])
        if i + 1 < layers:
            x = functional.relu(x)
    return functional.cross_entropy(x, data["labels"].long())


def check(name, case, folder):
    """Worst relative L2 of a case, and which tensor has it."""
    path = os.path.join(folder, "dump.safetensors")
    trainer, numbers, settings = case[0], case[1:6], case[6]
    command = [DUMP, path, trainer, "", *map(str, numbers)]
    subprocess.run(command + [settings], check=True)
    loss, data = read_safetensors(path)
    weights = {key[8:]: value.double().requires_grad_()
               for key, value in data.items() if key.startswith("weights/")}
    if trainer == "gpt":
        given = dict(word.split("=") for word in settings.split())
        expected = gpt_loss(weights, data, int(given["heads"]))
    else:
        expected = mlp_loss(weights, data)
    expected.backward()
    worst = (abs(loss - expected.item()) / expected.item(), "the loss")
    for key, value in weights.items():
        scale = value.grad.norm().item()
        error = (data["gradients/" + key].double() - value.grad).norm().item()
        # A gradient of exactly nothing (queries and keys, with one target) allows no error at all.
        worst = max(worst, (error / scale if scale else error, key))
    return worst


def main():
    print(f"1..{len(CASES)}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, case) in enumerate(CASES.items(), 1):
            error, tensor = check(name, case, folder)
            good = error <= LIMIT
            failed |= not good
            print(f"{'' if good else 'not '}ok {number} - {name}: worst {error:.2e} ({tensor}), "
                  f"allowed {LIMIT:g}", flush=True)
    return failed


try:
    import numpy
    import torch
    from torch.nn import functional
except ImportError as problem:
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN_PYTHON) and \
            os.access(DEBIAN_PYTHON, os.X_OK):
        os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, *sys.argv])
    print(f"1..0 # SKIP {problem} (apt-get install python3-torch python3-numpy)")
    sys.exit(0)
torch.set_num_threads(1)
sys.exit(main())
