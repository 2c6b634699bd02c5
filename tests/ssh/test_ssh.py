"""`placement: exec` by a real ssh (the part `ssh` of scripts/test --full; it needs root for a sshd of its own): ssh passes
no variables on, so the token goes by the standard input, and its session must not outlive anybody."""
import getpass
import os
import shutil
import signal
import socket
import subprocess

import pytest

from tests.integration.test_launching import ours_alive
from tests.integration.test_placement import command_line, said
from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.processes import descendants
from tests.support.proxy import Proxy, write_config
from tests.support.waiting import alive, wait_until

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")

pytestmark = [
    pytest.mark.full("ssh"),
    pytest.mark.skipif(not (SSHD and shutil.which("ssh")), reason="no sshd: scripts/test --full ssh installs it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a sshd of its own needs root")]


@pytest.fixture
def ssh(tmp_path):
    """The words by which ssh reaches a sshd of this test's own."""
    for name in ("key", "hostkey"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.makedirs("/run/sshd", exist_ok=True)  # where it gives up its privileges
    (tmp_path / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/hostkey\nAuthorizedKeysFile {tmp_path}/key.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n")
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd.conf"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "sshd")
        yield ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", f"-oUserKnownHostsFile={tmp_path}/known",
               "-oLogLevel=ERROR", "-i", str(tmp_path / "key"), "-p", str(port), "-l", getpass.getuser()]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def proxy(tmp_path, ssh):
    config = write_config(tmp_path / "c.yaml", 4, placement="exec", nodes=["127.0.0.1", "localhost"],
                          exec_command=[*ssh, "{node}", "{agent}"], agents_listen="127.0.0.1:0",
                          agent_program=str(PROXY.resolve()), stop_timeout=5)
    started = Proxy(["--config", config], tmp_path)
    yield started
    if started.is_running():
        started.stop()


def pids_of_engines(proxy):
    return [pid for pid in proxy.engine_pids(4) if alive(pid)]


def test_engines_come_by_ssh_answer_and_leave_nothing(proxy):
    proxy.ready(4)
    assert all(complete(proxy.url, f"question {i}")[0].status == 200 for i in range(20))
    pids = pids_of_engines(proxy)
    assert len(pids) == 4
    assert proxy.stop(signal.SIGINT) == 0
    wait_until(lambda: not any(map(alive, pids)) and not ours_alive(proxy.pid), "the engines to go")


def test_a_killed_proxy_leaves_nothing_behind_ssh(proxy):
    proxy.ready(4)
    pids = pids_of_engines(proxy)
    proxy.kill()
    wait_until(lambda: not any(map(alive, pids)) and not ours_alive(proxy.pid), "the engines to go")


def test_a_cut_ssh_is_no_cut_engine(proxy):
    """The agent has a connection of its own: who kills an ssh alone ends nobody's answers."""
    proxy.ready(4)
    first = pids_of_engines(proxy)
    [ssh] = [pid for pid in descendants(proxy.pid) if "--engine engine-0" in command_line(pid)[-2]]
    os.kill(ssh, signal.SIGKILL)
    wait_until(lambda: not alive(ssh), "its end")
    assert all(complete(proxy.url, f"question {i}")[0].status == 200 for i in range(20))
    assert sorted(pids_of_engines(proxy)) == sorted(first)
    assert not [line for line in proxy.errors if "engine-0 has ended" in line]


def test_an_engine_that_dies_comes_back_by_ssh(proxy):
    proxy.ready(4)
    os.kill(pids_of_engines(proxy)[0], signal.SIGKILL)
    said(proxy, r"engine-0 has ended: killed by SIGKILL \(on ")
    proxy.ready(4)
