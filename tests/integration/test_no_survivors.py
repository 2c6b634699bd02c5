"""The proxy is killed with kill -9 above engines that do all they can to outlive it: nothing does, and a new one starts."""
import os
import sys
import time

from tests.integration.test_launching import ours_alive
from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.processes import descendants
from tests.support.proxy import write_config
from tests.support.waiting import alive, wait_until

CHILDREN = 50
STOP_TIMEOUT = 2  # seconds
SLACK = 20  # for two hundred processes of a machine that has much else to do

# An engine that hears no signal; half of its children leave its session, and are no children of it any more.
NASTY = f"""\
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.execv(sys.argv[1], sys.argv[1:])
for child in range({CHILDREN}):
    if pid := os.fork():
        if child % 2:
            os.waitpid(pid, 0)
        continue
    if child % 2:
        os.setsid()
        if os.fork():
            os._exit(0)
    while True:
        signal.pause()
while True:
    signal.pause()
"""


def test_nothing_outlives_a_killed_proxy_and_a_new_one_starts_on_its_ports(start_proxy, tmp_path):
    script = tmp_path / "nasty.py"
    script.write_text(NASTY)
    config = write_config(tmp_path / "c.yaml", servers=4, engine="command", stop_timeout=STOP_TIMEOUT, command=[
        sys.executable, str(script), str(PROXY), "sim-engine", "{model}", "--port", "{port}", "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    first = start_proxy("--config", config).ready(4)
    # A shim, the script, the server and the children, four times.
    wait_until(lambda: len(descendants(first.pid)) == 4 * (CHILDREN + 3), "every process is there")
    tree = descendants(first.pid)

    first.process.kill()
    killed_at = time.monotonic()
    first.wait()
    second = start_proxy("--config", config, "--listen", first.address, "--admin", first.admin.removeprefix("http://"))
    listening_after = time.monotonic() - killed_at
    wait_until(lambda: not any(map(alive, tree)), "no process of the first is left")
    gone_after = time.monotonic() - killed_at
    print(f"{len(tree)} processes gone {gone_after:.2f} s after kill -9, a new proxy listening after {listening_after:.2f} s")
    assert gone_after < STOP_TIMEOUT + SLACK
    assert not ours_alive(first.pid), "one that has hidden from the tree"

    assert (second.address, second.admin) == (first.address, first.admin)
    second.ready(4)
    assert complete(second.url, "x")[0].status == 200
    os.kill(second.pid, 9)  # whose engines would take the whole stop_timeout to end
    second.wait()
    wait_until(lambda: not ours_alive(second.pid), "no process of the second is left")
