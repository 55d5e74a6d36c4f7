# SPDX-License-Identifier: Apache-2.0
"""fault_points.py - the control of fault_points.c: which call of a daemon fails, or is its last"""
import mmap
import os
import shutil
import struct
import subprocess

from cluster import SOURCE, Cluster, Tap

ACTIONS = {"count": 0, "fail": 1, "die": 2, "half": 3, "stand": 4}


def build(folder, name):
    """A library of that name, to be loaded before a program."""
    compiler = shutil.which(os.environ.get("CC", "cc").split()[0]) or shutil.which("gcc")
    if not compiler:
        raise Tap.Skip("there is no C compiler")
    library = os.path.join(folder, f"{name}.so")
    if not os.path.exists(library):
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", os.path.join(SOURCE, "tests", "system", f"{name}.c"), "-o", library,
                        "-ldl"], check=True)
    return library


def preload(library):
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"  # or it would want to be loaded first
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": sanitizer}


class Points:
    """Faults for the processes that are started with env (); arm () and hit () at any time."""

    def __init__(self, folder, *paths, sends=False):
        self.library, control = build(folder, "fault_points"), os.path.join(folder, "fault_points")
        with open(control, "w+b") as file:
            file.truncate(256)
            self.map = mmap.mmap(file.fileno(), 256)
        self.environment = {**preload(self.library), "FAULT_CONTROL": control, "FAULT_PATHS": ":".join(paths)}
        if sends:
            self.environment["FAULT_SENDS"] = "1"

    def arm(self, number, action):
        """The point after `number` more that pass."""
        self.map[:] = struct.pack("<iiii", number, ACTIONS[action], 0, 0).ljust(256, b"\0")

    def stand(self):
        """No sync returns until disarm ()."""
        self.arm(0, "stand")

    def disarm(self):
        self.arm(0, "count")

    def hit(self):
        return struct.unpack_from("<i", self.map, 8)[0] != 0

    def seen(self):
        return struct.unpack_from("<i", self.map, 12)[0]

    def what(self):
        return self.map[16:].split(b"\0")[0].decode("utf-8", "replace")


class FaultyCluster(Cluster):
    """A cluster of which one program is started with points."""

    def __init__(self, program, *options):
        self.program, self.points = program, None
        super().__init__(coordinator_options=options)

    def spawn(self, name, *arguments, env=None):
        faults = self.points.environment if self.points and arguments[0] == self.program else {}
        return super().spawn(name, *arguments, env={**(env or {}), **faults})
