"""Backends that are given by name, which comes, goes and leads elsewhere while the proxy runs.

The proxy has an /etc/hosts of its own, in a mount namespace, that a test rewrites."""
import os
import socket
import subprocess
import threading
import time

import pytest

from tests.support.asking import call
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import assert_never, wait_until
from tests.support.wire import answer

OLD, NEW = "127.0.0.2", "127.0.0.3"
HERE = "127.0.0.1 localhost\n"


@pytest.fixture
def names(tmp_path):
    """names(vllm=address) says where names lead; names.prefix has a program believe it."""
    files = {"/etc/hosts": HERE, "/etc/nsswitch.conf": "hosts: files\n"}
    mounts = []
    for number, (path, text) in enumerate(files.items()):
        (tmp_path / f"file-{number}").write_text(text)
        mounts.append(f"mount --bind {tmp_path}/file-{number} {path}")
    script = " && ".join([*mounts, 'exec "$@"'])

    def lead(**addresses):
        lines = [f"{address} {name}\n" for name, address in addresses.items()]
        (tmp_path / "file-0").write_text(HERE + "".join(lines))  # the same file: it stays mounted

    lead.prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
    if os.geteuid() != 0 or subprocess.run([*lead.prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root and a mount namespace, for an /etc/hosts of its own")
    return lead


@pytest.fixture
def engine():
    """engine(address, port=0, script=...): a server of model `m` there."""
    started = []

    def start(address, port=0, script=None):
        backend = ScriptedEngine(script or (lambda *_: answer(extra=b"x-served-at: " + address.encode() + b"\r\n")),
                                  address=(address, port))
        started.append(backend)
        return backend

    yield start
    for backend in started:
        backend.close()


def ask(proxy):
    return call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"})[0]


def state(proxy):
    return proxy.status()["backends"][0]["state"]


def said(proxy, text):
    return [line for line in proxy.errors if text in line]


def test_an_engine_that_comes_back_under_another_address_is_ready_again(start_proxy, names, engine):
    names(vllm=OLD)
    old = engine(OLD)
    proxy = start_proxy("--backend", f"http://vllm:{old.port}", prefix=names.prefix).ready(1)
    assert ask(proxy).status == 200 and len(old.requests) == 1
    old.close()
    for connection in old.carriers:
        connection.shutdown(socket.SHUT_RDWR)
    names(vllm=NEW)
    new = engine(NEW, old.port)
    # Held until it is there again.
    assert ask(proxy).status == 200 and len(new.requests) == 1
    moved = f"engine vllm:{old.port} is now at {NEW} (was {OLD})"
    proxy.wait_for_error(moved)
    assert len(said(proxy, moved)) == 1, proxy.output()


def test_a_name_that_leads_nowhere_yet_is_waited_for(start_proxy, names, engine):
    backend = engine(NEW)
    proxy = start_proxy("--backend", f"http://vllm:{backend.port}", prefix=names.prefix)
    problem = wait_until(lambda: proxy.status()["backends"][0].get("problem"), "why it is not ready")
    assert problem.startswith("its name `vllm` cannot be resolved: Host not found"), problem
    wait_until(lambda: said(proxy, "is not ready: its name `vllm` cannot be resolved"), "the same in the log")
    names(vllm=NEW)
    proxy.ready(1)
    assert ask(proxy).status == 200
    proxy.wait_for_error(f"engine vllm:{backend.port} is now at {NEW} (was unknown)")


def test_a_reload_looks_names_up_and_calls_in_flight_finish_where_they_are(start_proxy, names, engine):
    names(vllm=OLD)
    asked, go_on = threading.Event(), threading.Event()
    old = engine(OLD, script=lambda number, *_: [lambda: number == 2 and (asked.set(), go_on.wait()), answer()])
    new = engine(NEW, old.port)
    proxy = start_proxy("--backend", f"http://vllm:{old.port}", prefix=names.prefix).ready(1)
    assert ask(proxy).status == 200  # its connection is kept
    late = []
    in_flight = threading.Thread(target=lambda: late.append(ask(proxy)))
    in_flight.start()
    asked.wait()
    names(vllm=NEW)
    assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
    wait_until(lambda: said(proxy, f"is now at {NEW} (was {OLD})"), "its new address")
    # The I/O threads hear of it a moment after the control thread.
    wait_until(lambda: ask(proxy).status == 200 and new.requests, "a request there")
    before = len(old.requests)
    go_on.set()
    in_flight.join()
    assert late[0].status == 200 and late[0].getheader("x-batchproxy-attempts") == "1"
    for _ in range(3):
        assert ask(proxy).status == 200
    assert len(old.requests) == before and state(proxy) == "ready"


def test_an_engine_that_works_is_kept_when_its_name_is_gone(start_proxy, names, engine):
    names(vllm=OLD)
    backend = engine(OLD)
    proxy = start_proxy("--backend", f"http://vllm:{backend.port}", prefix=names.prefix).ready(1)
    names()
    assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
    assert_never(lambda: state(proxy) != "ready", 1, "it was given up")
    assert ask(proxy).status == 200


def test_a_silent_name_server_does_not_keep_it_from_ending(start_proxy, names, tmp_path):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        try:
            server.bind(("127.0.0.9", 53))
        except OSError as error:
            pytest.skip(f"needs port 53: {error}")
        server.settimeout(30)
        (tmp_path / "file-1").write_text("hosts: dns\n")
        (tmp_path / "resolv").write_text("nameserver 127.0.0.9\noptions timeout:30 attempts:5\n")
        script = names.prefix[4].replace("exec", f"mount --bind {tmp_path}/resolv /etc/resolv.conf && exec")
        proxy = start_proxy("--backend", "http://vllm:8000", prefix=["unshare", "-m", "sh", "-c", script, "sh"])
        server.recv(512)  # it asks
        begun = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - begun < 15
