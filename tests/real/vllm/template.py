"""Imports vLLM once, and then forks a `vllm serve` for each line that it reads: seconds instead of a minute.

    template.py      (with the Python of build/vllm)

A line on stdin is JSON, {"arguments": [...], "environment": {...}, "log": FILE}; the answer on stdout is the pid of a
server that leads a process group of its own. It runs vLLM's own code; only how its processes begin is not vLLM's way.
When stdin ends, so does this, and all groups that it has started with it."""
import ctypes
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys

# What vLLM prints while it is imported must not stand among the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import vllm.utils.system_utils  # noqa: E402

# A CPU's vLLM starts its engine core with `spawn`, which would import everything anew. Those that import the function
# below keep this one.
vllm.utils.system_utils.get_mp_context = lambda: multiprocessing.get_context("fork")

import vllm.entrypoints.cli.benchmark.main  # noqa: E402,F401
import vllm.entrypoints.cli.main  # noqa: E402
import vllm.entrypoints.cli.serve  # noqa: E402,F401
import vllm.entrypoints.launchers.api_server.entry  # noqa: E402,F401
import vllm.model_executor.models.llama  # noqa: E402,F401
import vllm.v1.engine.async_llm  # noqa: E402,F401
import vllm.v1.engine.core  # noqa: E402,F401
import vllm.v1.worker.cpu_model_runner  # noqa: E402,F401
import vllm.v1.worker.cpu_worker  # noqa: E402,F401

PR_SET_PDEATHSIG = 1


def close_listening_sockets():
    """`spawn` would not pass them on: an engine core that outlives its server must not keep its port."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as one:
                listens = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1]
        except OSError:  # no socket, or the folder's own descriptor
            continue
        if listens:
            os.close(int(name))


def serve(order):
    """In the child: `vllm serve` as the shell would start it. Never returns."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["environment"])
    os.register_at_fork(after_in_child=close_listening_sockets)
    sys.argv = ["vllm", "serve", *order["arguments"]]
    code = 1
    try:
        vllm.entrypoints.cli.main.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the interpreter would print it; this one goes on to its exit
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    print("ready", file=ANSWERS, flush=True)
    groups = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            serve(json.loads(line))
        os.setpgid(pid, pid)  # here, too: whoever reads the answer may kill the group at once
        groups.append(pid)
        print(pid, file=ANSWERS, flush=True)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    main()
