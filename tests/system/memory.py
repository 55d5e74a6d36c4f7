# SPDX-License-Identifier: Apache-2.0
"""memory.py - the memory that a worker's trainer shares with its collective, as a fault in it would change it

Where what lies the compiler tells: offsets.c, from region.h and state.h. Nothing here stops a process: what is read may be
a moment old, and what is flipped may be overwritten by an update at that very moment.
"""
import mmap
import os
import struct
import subprocess

from cluster import BUILD, children

OFFSETS = {}


def offsets():
    if not OFFSETS:
        program = os.path.join(BUILD, "tests", "system", "offsets")
        lines = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        OFFSETS.update((name, int(number)) for name, number in map(str.split, lines))
    return OFFSETS


class Memory:
    """Of one trainer; it stays mapped when that has ended."""

    def __init__(self, pid, file):
        self.pid, self.at = pid, offsets()
        self.view = mmap.mmap(file.fileno(), 0)
        self.state = self.word(self.at["fixed.state_offset"])
        self.laid_out = self.word(self.at["fixed.magic"]) and self.of_state("magic")
        if self.laid_out:
            self.check("region", self.at["fixed.magic"], self.at["fixed.version"])

    def check(self, what, magic_at, version_at):
        """Anything else would be flipped somewhere, and nobody would know what was tested."""
        magic, version = self.word(magic_at), self.word(version_at, "I")
        if (magic, version) != (self.at[f"{what}_magic"], self.at[f"{what}_version"]):
            raise AssertionError(f"the trainer's {what} has magic {magic:x} and version {version}, and the tests were built for "
                                 f"{self.at[f'{what}_magic']:x} and {self.at[f'{what}_version']}: build both from one tree")

    def lives(self):
        return os.path.exists(f"/proc/{self.pid}/fd/0")  # which is gone as soon as it was killed

    def word(self, at, kind="Q"):
        return struct.unpack_from("<" + kind, self.view, at)[0]

    def of_state(self, name):
        return self.word(self.state + self.at[name])

    def step(self):
        """Steps that are in its weights."""
        return self.of_state("step")

    def proven(self):
        """Steps whose sums are in this memory, proven: one more than step () until they are in the weights, too."""
        asked, done = self.word(self.at["trainer.request"]), self.word(self.at["collective.done"])
        return self.word(self.at["trainer.step"]) + (1 if asked and asked == done else 0)

    def write(self, at, word):
        struct.pack_into("<I", self.view, at, word)

    def place_in(self, where, place, bit=0):
        """Where a word lies: `place`, 0 to 1, is how far into a region or a table, `bit` one of a counter's."""
        self.check("state", self.state + self.at["magic"], self.state + self.at["version"])
        if where in ("weights", "m", "v"):
            return self.state + self.of_state(f"{where}_at") + 4 * int(place * self.of_state("padded"))
        if where == "scale":
            tensor = int(place * self.word(self.state + self.at["tensors"], "I"))
            return self.state + self.at["table"] + tensor * self.at["tensor_bytes"] + self.at["scale"]
        return self.state + self.at[where] + bit // 32 * 4

    def flip(self, where, place, bit):
        """Returns what was done."""
        at = self.place_in(where, place, bit)
        self.write(at, self.word(at, "I") ^ 1 << bit % 32)
        return f"bit {bit % 32} of {where} (byte {at - self.state})"

    def spoil_result(self):
        """What its collective proves next is not what was summed: it alone does not end this step."""
        struct.pack_into("<Q", self.view, self.at["agent.fault"], self.at["spoil_result"])


def memory_of(cluster, name):
    """None: that worker's trainer has none now."""
    for pid in children(cluster.workers[name].pid, "muster-trainer"):
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{number}"
                if "/memfd:" in os.readlink(path):
                    with open(path, "r+b") as file:
                        memory = Memory(pid, file)
                    return memory if memory.laid_out else None
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass  # it has just ended, or has just begun: an empty file cannot be mapped
    return None
