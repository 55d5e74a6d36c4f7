#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do other tools read what Muster writes, and Muster what they write?

usage: check_hf.py [PROGRAM | CHECKPOINT]

PROGRAM is tests/system/gpt_checkpoint (default: in the build folder). With a CHECKPOINT of the gpt
trainer instead, only that one is looked at. Needs Python's `safetensors` with numpy; for the second
half also `transformers` with torch. Prints TAP; what is not installed is skipped.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile

TOKENS = [7 * i for i in range(16)]


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, what, note=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {what}" + (f" # {note}" if note else ""))

    def skip(self, what, why):
        self.count += 1
        print(f"ok {self.count} - {what} # SKIP {why}")

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def run(program, mode, path):
    done = subprocess.run([program, mode, path], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def header_of(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))


def furthest(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) if len(a) == len(b) else float("inf")


def check_safetensors(tap, path, weights_hash):
    try:
        import safetensors.numpy
    except ImportError as missing:
        tap.skip("safetensors reads model.safetensors", str(missing))
        return
    file = os.path.join(path, "model.safetensors")
    tensors = safetensors.numpy.load_file(file)
    header = header_of(file)
    tap.check(header["__metadata__"] == {"format": "pt"}, "metadata says format pt")
    shapes = {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    tap.check({name: value.shape for name, value in tensors.items()} == shapes,
              f"safetensors reads {len(tensors)} tensors")
    order = sorted(shapes, key=lambda name: header[name]["data_offsets"][0])
    digest = hashlib.blake2b(b"".join(tensors[name].astype("<f4").tobytes() for name in order), digest_size=32)
    tap.check(digest.hexdigest() == weights_hash, "the weights hash is BLAKE2b of what was read")
    moments = safetensors.numpy.load_file(os.path.join(path, "optimizer.safetensors"))
    tap.check(set(moments) == {f"{kind}.{name}" for kind in "mv" for name in shapes},
              "safetensors reads m and v of each tensor")


def import_transformers():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging
    logging.set_verbosity_error()
    return torch, GPT2Config, GPT2LMHeadModel


def logits_of(torch, model):
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0, -1].tolist()


def check_written(tap, libraries, path, logits):
    torch, _, GPT2LMHeadModel = libraries
    model, info = GPT2LMHeadModel.from_pretrained(path, output_loading_info=True)
    missing = [key for key in info["missing_keys"] if key != "lm_head.weight"]
    tap.check(not missing and not info["unexpected_keys"] and not info["mismatched_keys"],
              "transformers loads the checkpoint, no tensor missing or left over")
    if logits is not None:
        distance = furthest(logits_of(torch, model), logits)
        tap.check(distance < 1e-4, "its logits are the trainer's", f"largest difference {distance:.2g}")


def check_read(tap, libraries, program, folder):
    torch, GPT2Config, GPT2LMHeadModel = libraries
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=32, n_embd=64, n_layer=2, n_head=4))
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        model = model.to(kind)
        path = os.path.join(folder, str(kind))
        model.save_pretrained(path, safe_serialization=True)
        distance = furthest(logits_of(torch, model.float()), run(program, "load", path)["logits"])
        tap.check(distance < 1e-4, f"Muster starts from transformers' {kind} checkpoint",
                  f"largest difference {distance:.2g}")


def check_all(tap, program, checkpoint, folder):
    result = {"path": checkpoint, "logits": None}
    if program:
        result = run(program, "write", folder)
    else:
        with open(os.path.join(checkpoint, "muster.json")) as file:
            result["weights_hash"] = json.load(file)["weights_hash"]
    check_safetensors(tap, result["path"], result["weights_hash"])
    try:
        libraries = import_transformers()
    except ImportError as missing:
        tap.skip("transformers", str(missing))
        return
    check_written(tap, libraries, result["path"], result["logits"])
    if program:
        check_read(tap, libraries, program, folder)


def main():
    given = sys.argv[1] if len(sys.argv) > 1 else "tests/system/gpt_checkpoint"
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        if os.path.isdir(given):
            check_all(tap, None, given, folder)
        elif os.access(given, os.X_OK):
            check_all(tap, os.path.abspath(given), None, folder)
        else:
            tap.check(False, f"{given} is neither a program nor a checkpoint")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
