#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libmuster as others get it: installed, found by pkg-config, used from C and from C++."""
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile

from cluster import BUILD, SOURCE, Cluster, Tap, need_no_sanitizer, wait_for

EXAMPLE = os.path.join(SOURCE, "examples", "client", "submit.c")
INSTALL = ("install-libLTLIBRARIES", "install-includeHEADERS", "install-nodist_pkgincludeHEADERS",
           "install-pkgconfigDATA")


class Installed:
    """What `make install` gives of the library, in a folder of its own."""

    def __enter__(self):
        for program in ("pkg-config", "c++"):
            if not shutil.which(program):
                raise Tap.Skip(f"there is no {program}")
        need_no_sanitizer()
        self.dir = tempfile.mkdtemp(prefix="muster-installed-")
        run(["make", "-s", "-C", BUILD, *INSTALL, f"DESTDIR={self.dir}"])
        config = [os.path.join(folder, "muster.pc") for folder, _, names in os.walk(self.dir) if "muster.pc" in names]
        assert len(config) == 1, config
        with open(config[0], encoding="utf-8") as file:
            prefix = re.search("^prefix=(.*)$", file.read(), re.M).group(1)
        words = run(["pkg-config", f"--define-variable=prefix={self.dir}{prefix}", "--cflags", "--libs", config[0]])
        self.flags = words.split()
        self.environment = dict(os.environ, LD_LIBRARY_PATH=next(word[2:] for word in self.flags if word[:2] == "-L"))
        return self

    def __exit__(self, kind, value, trace):
        shutil.rmtree(self.dir, ignore_errors=True)

    def build(self, compiler, source, *options):
        program = os.path.join(self.dir, "program")
        run([*compiler, *options, "-Wall", "-Wextra", "-Werror", source, *self.flags, "-o", program])
        return program


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")})
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def example():
    """the example is built with the installed header alone, submits a job and sees its end"""
    with Installed() as installed, Cluster() as cluster:
        program = installed.build(["cc"], EXAMPLE, "-std=c11", "-pedantic", "-D_POSIX_C_SOURCE=200809L")
        spec = cluster.write("job.json", cluster.muster("-o", "json", "validate", cluster.gpt()))
        process = subprocess.Popen([program, spec], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=dict(installed.environment, MUSTER_COORDINATOR=cluster.endpoint))
        wait_for("its job", lambda: cluster.json("jobs"))
        cluster.muster("cancel", "1")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "gpt: cancelled, step 0" in out, (process.returncode, out, err)


def from_c_plus_plus():
    """a C++ program uses the header; every call can be linked; nothing else is exported"""
    with Installed() as installed, Cluster() as cluster:
        with open(os.path.join(SOURCE, "client", "muster.h"), encoding="utf-8") as header:
            calls = sorted(set(re.findall(r"\b(muster_[a-z_]+) \(", re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S))))
        assert len(calls) > 15, calls
        source = cluster.write("all.cc", """#include <muster.h>
#include <cstdio>
static void (*const calls[]) () = { %s };
int main () {
    muster *handle;
    muster_error error;
    muster_pong pong;
    if (muster_open (&handle, nullptr, &error) || muster_ping (handle, &pong, &error))
        return std::fprintf (stderr, "%%s\\n", error.text), muster_exit_status (&error);
    std::printf ("%%d %%u\\n", calls[0] != nullptr, pong.jobs);
    muster_close (&handle);
}
""" % ", ".join(f"reinterpret_cast<void (*) ()> ({call})" for call in calls))
        program = installed.build(["c++"], source, "-std=c++11", "-pedantic", "-Wno-cast-function-type")
        out = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True,
                             env=dict(installed.environment, MUSTER_COORDINATOR=cluster.endpoint)).stdout
        assert out == "1 0\n", out
        library = os.path.join(installed.environment["LD_LIBRARY_PATH"], "libmuster.so")
        names = {line.split()[-1].split("@")[0] for line in run(["nm", "-D", "--defined-only", library]).splitlines()}
        assert names - {"MUSTER_0"} == set(calls), names ^ set(calls)


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 1024)]


def what_cannot_be_asked():
    """arguments that are none are the caller's mistake (exit 64), and say which"""
    with Installed() as installed, Cluster() as cluster:
        library = ctypes.CDLL(os.path.join(installed.environment["LD_LIBRARY_PATH"], "libmuster.so"))
        handle, error, answer, count = ctypes.c_void_p(), Error(), ctypes.c_void_p(), ctypes.c_size_t()
        endpoint = cluster.endpoint.encode()

        def refused(words, name, *arguments, status=64):
            assert getattr(library, name)(*arguments, ctypes.byref(error)) == -1, name
            assert words in error.text.decode() and library.muster_exit_status(ctypes.byref(error)) == status, (name, error.text)

        many = (ctypes.c_char_p * 17)(*[endpoint] * 17)
        refused("17 coordinators are named; there may be 16", "muster_open_any", ctypes.byref(handle), many, ctypes.c_size_t(17))
        assert library.muster_open(ctypes.byref(handle), endpoint, ctypes.byref(error)) == 0, error.text
        job = ctypes.c_uint64()
        refused("no key is named", "muster_submit", handle, b"{}", ctypes.c_size_t(2), b"", ctypes.byref(job), None)
        refused("not UTF-8", "muster_submit", handle, b"\xff", ctypes.c_size_t(1), None, ctypes.byref(job), None, status=65)
        refused("no job is named", "muster_control", handle, None, 1)
        refused("value 9 is outside", "muster_control", handle, b"1", 9)
        refused("no job is named", "muster_checkpoints", handle, b"", ctypes.byref(answer), ctypes.byref(answer), ctypes.byref(count))
        refused("no worker is named", "muster_drain", handle, None, False)
        refused("value 0 is outside", "muster_scale", handle, b"1", ctypes.c_uint32(0))
        library.muster_close(ctypes.byref(handle))


if __name__ == "__main__":
    sys.exit(Tap().run(example, from_c_plus_plus, what_cannot_be_asked))
