"""Five thousand open streams of /ui/events (the part `ui` of scripts/test --full)."""
import contextlib
import re
import resource
import selectors
import socket
import statistics
import time

import pytest

from tests.integration.test_ui import MOST_STREAMS
from tests.support.asking import complete
from tests.support.proxy import running_proxy, running_sim
from tests.support.waiting import wait_until


@pytest.mark.full("ui")
def test_five_thousand_open_streams(tmp_path):
    """200 are served, all others told so, and clients hardly notice."""
    count = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 1000:
        pytest.skip(f"needs {count + 1000} file descriptors; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    with running_sim(tmp_path) as engine, running_proxy(tmp_path, "--backend", engine.url) as proxy:
        ask_all(proxy.ready(1), count)


def ask_all(proxy, count):
    def took():
        times = []
        for i in range(100):
            begun = time.monotonic()
            assert complete(proxy.url, f"question {i}")[0].status == 200
            times.append(time.monotonic() - begun)
        return statistics.median(times)
    before, memory = took(), rss(proxy.pid)
    host, port = proxy.admin.removeprefix("http://").split(":")
    sockets, answers = selectors.DefaultSelector(), {}
    try:
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((host, int(port)))
            sockets.register(one, selectors.EVENT_WRITE | selectors.EVENT_READ, bytearray())
            pump(sockets, answers, 0)

        def all_answered():
            pump(sockets, answers, 0.05)
            return len(answers) == count
        wait_until(all_answered, "each has an answer")
        served = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers.values())
        told = [answer for answer in answers.values() if answer.startswith(b"HTTP/1.1 503")]
        assert served == MOST_STREAMS and len(told) == count - served
        assert proxy.metrics()["batchproxy_ui_streams"] == MOST_STREAMS
        during, grown = took(), rss(proxy.pid) - memory
        print(f"median of a request: {before * 1e3:.2f} ms before, {during * 1e3:.2f} ms with {count} asked, {served} open; "
              f"grown by {grown} KiB")
        assert grown < 64 * 1024, "200 streams and their buffers"
        assert during < 5 * before + 0.05
    finally:
        for key in list(sockets.get_map().values()):
            key.fileobj.close()
    wait_until(lambda: proxy.metrics()["batchproxy_ui_streams"] == 0, "they have left")


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def pump(sockets, answers, seconds):
    """Asks over each connection that is there, and keeps the first bytes of what comes; the rest is read and dropped."""
    for key, ready in sockets.select(seconds):
        one, answer = key.fileobj, key.data
        if ready & selectors.EVENT_WRITE:
            with contextlib.suppress(OSError):
                one.send(b"GET /ui/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            sockets.modify(one, selectors.EVENT_READ, answer)
        if ready & selectors.EVENT_READ:
            try:
                got = one.recv(1 << 16)
            except OSError:
                got = b""
            if len(answer) < 64:
                answer += got
            if len(answer) >= 12:
                answers[one] = answer
            if not got:
                sockets.unregister(one)
                one.close()
                answers.setdefault(one, answer)
