"""A real Ray cluster of nodes on this machine, whose GPUs are a number that `ray start` is told."""
import json
import os
import pathlib
import shutil
import signal
import socket
import tempfile
import urllib.error
import urllib.request

from tests.support.builds import PROXY, ROOT
from tests.support.processes import descendants
from tests.support.program import Program
from tests.support.waiting import alive, wait_until

RAY = ROOT / "build" / "ray" / "bin" / "ray"
TOKEN = "0123456789abcdef0123456789abcdef"
STARTS = 3  # Ray gives a node 30 s to come up, which a busy machine may not keep
PATIENCE = 300  # seconds, for what Ray takes its time


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Node:
    """A node of 8 GPUs, as `ray start --block`: all that runs on it descends from that."""

    def __init__(self, folder, environment, *flags):
        for left in reversed(range(STARTS)):
            self.program = Program([RAY, "start", "--block", "--disable-usage-stats", "--num-gpus=8", "--num-cpus=8",
                                    "--object-store-memory=100000000",
                                    f"--dashboard-agent-listen-port={free_port()}", *flags], folder, environment)
            try:
                self.program.wait_for_line("Ray runtime started", deadline=PATIENCE)
                return
            except AssertionError:
                self.vanish()
                if not left:
                    raise

    def vanish(self):
        """As by a loss of power: every process at once."""
        tree = [self.program.pid, *descendants(self.program.pid)]
        for pid in tree:
            os.kill(pid, signal.SIGSTOP)  # none of them can start another, or see the others go
        tree = {*tree, *descendants(self.program.pid)}
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, tree)), "the node's processes are gone")
        self.program.wait()


class Cluster:
    def __init__(self):
        # Not pytest's folder: the paths of Ray's sockets would be too long.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "HOME": str(self.folder),
                            "RAY_USAGE_STATS_ENABLED": "0"}
        self.port, dashboard = free_port(), free_port()
        self.url = f"http://127.0.0.1:{dashboard}"
        self.nodes = []
        self._join("--head", "--node-ip-address=127.0.0.1", f"--port={self.port}", "--dashboard-host=127.0.0.1",
                   f"--dashboard-port={dashboard}", f"--ray-client-server-port={free_port()}",
                   f"--temp-dir={self.folder}/r")
        self.add_node()

    def _join(self, *flags):
        self.nodes.append(Node(self.folder, self.environment, *flags))

    def add_node(self):
        self._join(f"--address=127.0.0.1:{self.port}", "--node-ip-address=127.0.0.1")

    def ask(self, path, method="GET"):
        request = urllib.request.Request(self.url + path, method=method, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def jobs(self):
        """{submission_id: status}"""
        return {job["submission_id"]: job["status"] for job in self.ask("/api/jobs/")}

    def live_jobs(self):
        return {name: status for name, status in self.jobs().items() if status in ("PENDING", "RUNNING")}

    def nodes_alive(self):
        return sum(node["state"] == "ALIVE" for node in self.ask("/api/v0/nodes")["data"]["result"]["result"])

    def close(self):
        for node in reversed(self.nodes):
            node.vanish()
        shutil.rmtree(self.folder, ignore_errors=True)


def our_processes():
    """Those that this build has started on nodes, as /proc tells: whoever their parents are."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0] == str(PROXY) and words[1:2] and words[1] in ("engine-agent", "engine-shim", "sim-engine"):
            found[int(path.parent.name)] = " ".join(words)
    return {pid: words for pid, words in found.items() if alive(pid)}
