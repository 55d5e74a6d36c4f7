# SPDX-License-Identifier: Apache-2.0
"""hosts.py - emulated hosts: network namespaces joined by a wire that can be cut, slowed and lossy

Hosts: each has a network, a name and a /sys of its own; all share files and processes with this machine, so that
paths mean the same and tests can look at everybody. Nothing touches the machine's own network. The wire between
them is host_switch.c, because kernels lack netem. HostCluster is cluster.Cluster with the coordinator and each worker
on a host of its own.

A host lives as long as a process that stands for it, which ends with the test: nothing is left behind.
"""
import os
import shutil
import signal
import subprocess

from cluster import BUILD, Cluster, Tap, wait_for

COORDINATOR = "coordinator"
SWITCH = os.path.join(BUILD, "tests", "system", "host_switch")
ALL = "*"

# Runs in the new namespaces: MPI finds its devices in /sys/class/net, which shows those of whoever mounted it.
STAND = 'mount -t sysfs sysfs /sys && hostname "$0" && ip link set lo up && echo ok && exec cat'


def need_hosts():
    """Skips where this machine cannot emulate hosts, and says what it lacks."""
    for tool in ("unshare", "nsenter", "ip", "mount", "hostname"):
        if not shutil.which(tool):
            raise Tap.Skip(f"there is no {tool}")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Tap.Skip("/dev/net/tun cannot be opened")
    if not os.path.exists(SWITCH):
        raise Tap.Skip("host_switch was not built")
    run = subprocess.run(["unshare", "--net", "--mount", "--uts", "mount", "-t", "sysfs", "sysfs", "/sys"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    if run.returncode:
        raise Tap.Skip(f"this machine allows no namespaces: {run.stdout.strip()}")


def await_ok(process, what):
    """Its next line, which must be `ok`."""
    line = process.stdout.readline().strip()
    if line != "ok":
        raise AssertionError(f"{what}: {line or 'it ended'}")


class Hosts:
    def __init__(self, *names):
        self.names = list(names)
        self.stands = []
        self.switch = None
        try:
            for name in names:
                self.stands.append(self.start(["unshare", "--net", "--mount", "--uts", "sh", "-c", STAND, name]))
            for name, stand in zip(names, self.stands):
                await_ok(stand, f"host {name}")
            self.switch = self.start([SWITCH, *(str(stand.pid) for stand in self.stands)])
            await_ok(self.switch, "host_switch")
            for name in names:
                self.address_all(name)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def start(command):
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def close(self):
        for process in [*self.stands, self.switch]:
            if process:
                process.stdin.close()
                process.stdout.close()
                process.kill()
                process.wait()

    def number(self, name):
        return 0 if name == ALL else self.names.index(name) + 1

    def address(self, name):
        return f"10.77.0.{self.number(name)}"

    def address_all(self, name):
        """Its own address, and the others': who is cut off must not lose the others' hardware addresses."""
        lines = [f"link set eth0 address 02:00:00:00:00:{self.number(name):02x} mtu 9000 up",
                 f"addr add {self.address(name)}/24 dev eth0"]
        lines += [f"neigh add {self.address(other)} lladdr 02:00:00:00:00:{self.number(other):02x} dev eth0 nud permanent"
                  for other in self.names if other != name]
        subprocess.run(self.on(name, ["ip", "-batch", "-"]), input="\n".join(lines), text=True, check=True, timeout=60)

    def on(self, name, command):
        """That command on that host. The process it becomes is the one that was started."""
        stand = self.stands[self.names.index(name)].pid
        return ["nsenter", f"--target={stand}", "--net", "--mount", "--uts", *command]

    # --- the wire ---------------------------------------------------------------------------------------

    def order(self, what, source, to, value):
        self.switch.stdin.write(f"{what} {self.number(source)} {self.number(to)} {value}\n")
        self.switch.stdin.flush()
        await_ok(self.switch, f"{what} {source} {to}")

    def cut(self, source, to):
        """Nothing comes from there to here any more; the other direction stays."""
        self.order("cut", source, to, 1)

    def cut_both(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def refuse(self, source, to, begin=True):
        """There is no route from here to there, and whoever tries is told so at once; or there is one again."""
        route = ["ip", "route", "add" if begin else "del", "unreachable", f"{self.address(to)}/32"]
        subprocess.run(self.on(source, route), check=True, timeout=60)

    def heal(self):
        self.order("cut", ALL, ALL, 0)

    def delay(self, milliseconds):
        """On each line, each way."""
        self.order("delay", ALL, ALL, int(milliseconds * 1000))

    def lose(self, percent):
        self.order("lose", ALL, ALL, int(percent * 10000))


class HostCluster(Cluster):
    """The coordinator is on the host "coordinator", each worker on the host of its name, up to a dot: "w0.b" is another
    one on w0's; clients beside the coordinator."""
    network_options = ()  # a worker finds the device that leads to the coordinator

    def __init__(self, *workers, coordinator_options=(), worker_options=()):
        self.hosts = Hosts(COORDINATOR, *workers)
        self.worker_options = worker_options
        try:
            super().__init__(coordinator_options=("--allow-unauthenticated", *coordinator_options))
            for name in workers:
                self.start_worker(name, *worker_options)
        except BaseException:
            self.hosts.close()
            raise

    def __exit__(self, kind, value, trace):
        super().__exit__(kind, value, trace)
        self.hosts.close()

    def choose_endpoint(self):
        return f"tcp://{self.hosts.address(COORDINATOR)}:7600"

    def on_host(self, name, command):
        return self.hosts.on(name.split(".")[0], command)

    def power_off(self, name):
        """The host is gone at once: no farewell of the kernel's, no FIN, reaches anybody."""
        self.hosts.cut_both(name, ALL)
        self.workers[name].send_signal(signal.SIGKILL)
        self.workers.pop(name).wait()

    def power_on(self, name):
        self.hosts.heal()
        self.start_worker(name, *self.worker_options)
