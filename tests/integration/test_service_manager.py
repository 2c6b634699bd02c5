"""What systemd is told of a service of `Type=notify`: see sd_notify(3)."""
import socket

import pytest

from tests.support.waiting import wait_until


@pytest.fixture
def manager(tmp_path):
    """A socket as systemd's, and what has come there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)
        told = []

        def take():
            try:
                while True:
                    told.append(server.recv(4096).decode())
            except BlockingIOError:
                return told
        yield str(tmp_path / "notify"), take


def test_systemd_is_told_that_it_serves_lives_and_stops(start_proxy, scripted, manager):
    address, told = manager
    engine = scripted(lambda *_: None)
    proxy = start_proxy("--backend", engine.url, env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
    wait_until(lambda: "READY=1" in told(), "READY=1")
    proxy.ready(1)
    wait_until(lambda: any(line.startswith("STATUS=1 of 1 backends ready; 0 requests in flight") for line in told()),
               "the status to say that the backend is ready")
    wait_until(lambda: told().count("WATCHDOG=1") >= 2, "a second sign of life")
    assert "STOPPING=1" not in told()
    proxy.process.terminate()
    assert proxy.process.wait(30) == 0
    assert "STOPPING=1" in told()


def test_a_watchdog_of_another_process_is_not_ours(start_proxy, scripted, manager):
    address, told = manager
    engine = scripted(lambda *_: None)
    proxy = start_proxy("--backend", engine.url,
                        env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}).ready(1)
    wait_until(lambda: any("1 of 1" in line for line in told()), "a line of status")
    assert "WATCHDOG=1" not in told()
    proxy.process.terminate()
    proxy.process.wait(30)


def test_without_systemd_or_with_a_socket_that_is_gone_it_serves_as_ever(start_proxy, scripted, tmp_path):
    engine = scripted(lambda *_: None)
    start_proxy("--backend", engine.url, env={"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready(1)
