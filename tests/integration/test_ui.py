"""The page at /ui and its stream: what a browser is given, what all streams share, and who may ask."""
import base64
import contextlib
import hashlib
import http.client
import json
import re
import socket

import pytest

from tests.support.asking import call, complete
from tests.support.proxy import write_config
from tests.support.waiting import DEADLINE, wait_until

MOST_STREAMS = 200  # StatusFeed::kMostStreams
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept-Language": "en"}


def page_of(proxy, **fields):
    """What the page's own script sends."""
    return {**BROWSER, "Origin": proxy.admin, "Sec-Fetch-Site": "same-origin", **fields}


class Stream:
    """An open stream of /ui/events, and its events as (name, id, data)."""

    def __init__(self, admin, headers=None):
        self.connection = http.client.HTTPConnection(admin.removeprefix("http://"), timeout=DEADLINE)
        self.connection.request("GET", "/ui/events", headers=headers or {})
        self.response = self.connection.getresponse()

    def event(self):
        name, number, data = "message", None, []
        while line := self.response.readline().decode().rstrip("\n"):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                number = int(value)
            else:
                data.append(value)
        if not data:
            raise EOFError("the stream has ended")
        return name, number, json.loads("\n".join(data))

    def next(self, wanted="message"):
        while True:
            event = self.event()
            if event[0] == wanted:
                return event

    def close(self):
        self.response.close()
        self.connection.close()


@contextlib.contextmanager
def watching(proxy, count=1, headers=None):
    streams = []
    try:
        for _ in range(count):
            streams.append(Stream(proxy.admin, headers))
        yield streams
    finally:
        for stream in streams:
            stream.close()


# --- the page -----------------------------------------------------------------------------------------

def test_the_page_is_whole_and_nothing_else_may_run_in_it(served):
    response, text = call(served.admin, "/ui")
    assert response.status == 200 and response.headers["content-type"] == "text/html; charset=utf-8"
    assert len(text) < 60_000
    policy = response.headers["content-security-policy"]
    for element in ("script", "style"):
        [inside] = re.findall(rb"<%s>(.*?)</%s>" % (element.encode(), element.encode()), text, re.S)
        assert f"{element}-src 'sha256-{base64.b64encode(hashlib.sha256(inside).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff" and response.headers["referrer-policy"] == "no-referrer"
    again, nothing = call(served.admin, "/ui", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status, nothing) == (304, b"")
    assert not re.search(rb"https?://(?!www\.w3\.org/)", text), "it loads nothing from elsewhere"


def test_the_console_names_the_page(served):
    assert any(re.search(r"admin +http://\S+/ui ", line) for line in served.lines)


def test_a_head_of_the_stream_has_an_end(served):
    response, text = call(served.admin, "/ui/events", method="HEAD")
    assert response.status == 200 and text == b"" and response.headers["content-type"] == "text/event-stream"


# --- the stream ---------------------------------------------------------------------------------------

def test_the_stream_shows_what_status_does(served):
    assert complete(served.url, "one question")[0].status == 200
    assert complete(served.url, "x", model="nobody has this")[0].status == 404
    with watching(served) as [stream]:
        assert stream.response.headers["cache-control"] == "no-store"
        assert stream.event() == ("hello", None, {"orders": True})
        assert stream.event()[0] == "history"
        picture = stream.next()[2]
        assert picture.keys() == served.status().keys()
        assert picture["backends"][0].keys() == served.status()["backends"][0].keys()
        requests = stream.next("requests")[2]
        assert [one["error"] for one in requests["failed"]] == ["unknown_model"]
        assert requests["slow"], requests


def test_all_streams_share_one_picture_a_second(served):
    with watching(served, 8) as streams:
        first = [stream.next() for stream in streams]
        begun = served.metrics()["batchproxy_ui_pictures_total"]
        seen = {}
        for _ in range(3):
            for stream in streams:
                _, number, data = stream.next()
                assert seen.setdefault(number, data) == data, "the same picture for all"
        made = served.metrics()["batchproxy_ui_pictures_total"] - begun
        assert made <= len(seen) + 2, "and made once"
        assert {number for _, number, _ in first} <= set(range(1, int(begun) + 1))
        ups = [seen[number]["uptime_seconds"] for number in sorted(seen)]
        assert sorted(seen) == list(range(min(seen), max(seen) + 1)) and ups == sorted(ups)
        assert served.metrics()["batchproxy_ui_streams"] == 8
    wait_until(lambda: served.metrics()["batchproxy_ui_streams"] == 0, "they have left")
    quiet = served.metrics()["batchproxy_ui_pictures_total"]
    uptime = served.status()["uptime_seconds"]
    wait_until(lambda: served.status()["uptime_seconds"] >= uptime + 2, "two seconds")
    assert served.metrics()["batchproxy_ui_pictures_total"] == quiet, "none is made for nobody"


def test_one_stream_too_many_is_told_why(served):
    with watching(served, MOST_STREAMS + 100) as streams:
        refused = [stream for stream in streams if stream.response.status != 200]
        assert len(refused) == 100
        for stream in refused:
            assert stream.response.status == 503 and stream.response.headers["retry-after"] == "10"
            assert stream.response.read() == (b"All 200 streams of /ui/events are in use. Close a page that shows /ui, or "
                                              b"ask GET /status instead.\n")
        for stream in streams:
            if stream not in refused:
                stream.next()
        assert call(served.admin, "/status")[0].status == 200 and complete(served.url, "x")[0].status == 200
    wait_until(lambda: served.metrics()["batchproxy_ui_streams"] == 0, "they have left")
    with watching(served) as [stream]:
        assert stream.next()[0] == "message"


def test_a_reader_that_stands_still_is_let_go_and_costs_nothing(start_proxy, start_engine, tmp_path):
    """Its picture is large, so that the kernel's buffers are soon full."""
    engines = [{"url": f"http://127.0.0.1:{port}", "models": ["m" * 400]} for port in range(1, 60)]
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"batchproxy": {"backends": [{"url": start_engine().url}, *engines]}}))
    proxy = start_proxy("--config", config).ready(1)
    still = socket.socket()
    still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = proxy.admin.removeprefix("http://").split(":")
    with contextlib.closing(still):
        still.connect((host, int(port)))
        still.sendall(b"GET /ui/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: proxy.metrics()["batchproxy_ui_streams"] == 1, "it is there")
        with watching(proxy) as [other]:
            wait_until(lambda: other.next() and proxy.metrics()["batchproxy_ui_streams"] == 1, "it is let go")
            assert other.next()[0] == "message", "and the other goes on"


def test_the_page_is_told_when_the_stream_ends(served):
    with watching(served) as [stream]:
        stream.next()
        served.stop()
        with pytest.raises(EOFError):
            while True:
                stream.event()


# --- who may ask --------------------------------------------------------------------------------------

PATHS = ["/status", "/metrics", "/ui/events", "/admin/requests", "/admin/config"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fields", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {**BROWSER, "Host": "evil.example:8001"}, {**BROWSER, "Origin": "http://evil.example:8001", "Host": "evil.example:8001"}])
def test_no_page_of_another_reads_anything(served, path, fields):
    response, text = call(served.admin, path, headers=fields)
    assert response.status == 403 and (b"A page of another origin" in text or b"not at `evil.example:8001`" in text), text
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", PATHS[:2] + PATHS[3:])
def test_programs_ask_as_ever(served, path):
    for fields in ({}, {"Host": "metrics.example.org"}, {"User-Agent": "Prometheus/2.45.0", "Accept-Encoding": "gzip"}):
        assert call(served.admin, path, headers=fields)[0].status == 200


def test_the_page_reads_and_orders(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=1)).ready(1)
    for path in ("/status", "/admin/config"):
        assert call(proxy.admin, path, headers=page_of(proxy))[0].status == 200
    response, text = call(proxy.admin, "/admin/engines/engine-0/pause", headers=page_of(proxy), method="POST")
    assert (response.status, text) == (202, b"engine-0 gets no more requests until it is resumed\n")
    wait_until(lambda: proxy.status()["backends"][0]["state"] == "paused", "it is drained")
    for fields in ({"Origin": "http://127.0.0.1:1"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                   {"Host": "evil.example", "Origin": "http://evil.example"}):
        refused, text = call(proxy.admin, "/admin/engines/engine-0/resume", headers=page_of(proxy, **fields), method="POST")
        assert refused.status == 403, (fields, text)
    assert proxy.status()["backends"][0]["state"] == "paused"
    for path in ("/admin/reload", "/admin/drain"):
        assert call(proxy.admin, path, headers=page_of(proxy), method="POST")[0].status == 403
    assert call(proxy.admin, "/admin/engines/engine-0/resume", headers=page_of(proxy), method="POST")[0].status == 202
    proxy.ready(1)


def beyond_loopback(start_proxy, *flags):
    proxy = start_proxy("--admin", "0.0.0.0:0", *flags)
    proxy.admin = proxy.admin.replace("0.0.0.0", "127.0.0.1")
    return proxy


def test_on_a_network_the_page_asks_for_a_key(start_proxy, start_engine, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.touch(0o600)
    keys.write_text("alice alices-key-0123456789\n")
    proxy = beyond_loopback(start_proxy, "--backend", start_engine().url, "--api-keys-file", keys)
    assert call(proxy.admin, "/ui", headers=BROWSER)[0].status == 200
    for path in PATHS:
        assert call(proxy.admin, path, headers=BROWSER)[0].status == 401
    bearer = {"Authorization": "Bearer alices-key-0123456789", "Host": "gpus.example.org", **BROWSER}
    with watching(proxy, headers=bearer) as [stream]:
        assert stream.event() == ("hello", None, {"orders": True})
        stream.next()
        # A key that is withdrawn closes the streams that it has opened.
        keys.write_text("bob bobs-key-9876543210\n")
        assert call(proxy.admin, "/admin/reload", method="POST", headers={"Authorization": bearer["Authorization"]})[0].status == 200
        with pytest.raises(EOFError):
            while True:
                stream.event()
    proxy.stop()


def test_on_a_network_without_keys_it_is_read_only(start_proxy, start_engine):
    proxy = beyond_loopback(start_proxy, "--backend", start_engine().url, "--allow-unauthenticated")
    with watching(proxy, headers=page_of(proxy)) as [stream]:
        name, _, hello = stream.event()
        assert name == "hello" and hello["orders"] is False and "read-only here" in hello["why"]
    path = "/admin/engines/engine-0/restart"
    response, text = call(proxy.admin, path, headers=page_of(proxy), method="POST")
    assert response.status == 403 and b"read-only here" in text
    assert call(proxy.admin, path, method="POST")[0].status == 404, "a program is told that there is no such engine"
    proxy.stop()


def test_the_configuration_has_origins_and_no_secret(start_proxy, start_engine, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"batch_size": 7, "batchproxy": {
        "backends": [{"url": start_engine().url, "api_key": "hunter2-hunter2"}]}}))
    proxy = start_proxy("--config", config, "--log-level", "warning").ready(1)
    response, text = call(proxy.admin, "/admin/config")
    assert response.status == 200 and b"hunter2" not in text
    rows = {row["key"]: row for row in json.loads(text)}
    assert rows["batch_size"]["value"] == "7" and rows["batch_size"]["origin"].endswith("c.yaml:1:16")
    assert rows["log_level"]["origin"] == "--log-level" and rows["max_queue"]["origin"] == "default"
    assert rows["backends[0].api_key"]["value"] == "********"
