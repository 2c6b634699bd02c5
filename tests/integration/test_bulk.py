"""POST /v1/bulk: answers come while requests are still sent, in bounded memory; closing it ends it."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

from tests.support.asking import call
from tests.support.builds import PROXY
from tests.support.waiting import wait_until

from .test_batches import keys, line, lines, start, state  # noqa: F401 - fixtures

HEAD = b"POST /v1/bulk%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask(url, requests, query=""):
    response, text = call(url, f"/v1/bulk{query}", "\n".join(requests).encode())
    assert response.status == 200 and response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(one) for one in text.splitlines()]


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def test_each_line_is_answered(start, start_engine):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    found = ask(proxy.url, [*lines(1000), "{", "", line("x", url="/v1/models"), line("bad", max_tokens="many")])
    refused = [one for one in found if one["custom_id"] is None]
    assert [one["error"]["code"] for one in refused] == ["invalid_json_line"] * 2
    answered = [one for one in found if one["custom_id"]]
    assert keys(answered) == sorted([f"q{i}" for i in range(1000)] + ["bad"])
    assert sorted({one["response"]["status_code"] for one in answered}) == [200, 400]
    assert not ask(proxy.url, [])


def test_answers_come_while_requests_are_sent(start, start_engine):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        stream = client.makefile("rb")
        client.sendall(HEAD % b"" + chunk(line("first").encode() + b"\n"))
        while b'"first"' not in stream.readline():
            pass
        client.sendall(chunk(line("second").encode()) + b"0\r\n\r\n")
        assert b'"second"' in stream.read() and proxy.is_running()


def test_a_client_that_takes_no_answers_is_sent_few(start, start_engine):  # noqa: F811
    engine = start_engine("--sim-time-scale", "0.001")
    proxy = start(engine).ready(1)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", proxy.port))
        client.sendall(HEAD % b"")
        sender = threading.Thread(target=send_for_ever, args=[client])
        sender.start()

        def asked():
            return proxy.metrics()["batchproxy_requests_received_total"]
        wait_until(lambda: asked() > 500, "requests")
        seen = []

        def stands_still():
            seen.append(asked())
            return len(seen) > 100 and seen[-100] == seen[-1]
        wait_until(stands_still, "that no more are asked", 60)
        client.shutdown(socket.SHUT_RDWR)
        sender.join()


def send_for_ever(client):
    try:
        for i in range(1_000_000):
            client.sendall(chunk(line(f"q{i}", max_tokens=50).encode() + b"\n"))
    except OSError:
        pass


def test_closing_it_cancels(start, start_engine):  # noqa: F811
    proxy = start(start_engine("--max-num-seqs", "2")).ready(1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(HEAD % b"" + chunk("\n".join(line(f"q{i}", max_tokens=100) for i in range(200)).encode() + b"\n"))
        wait_until(lambda: proxy.status()["requests"]["inflight"] > 0, "requests in flight")
    wait_until(lambda: proxy.status()["requests"]["inflight"] == 0, "their end")
    assert proxy.status()["requests"]["finished"]["ok"] < 200


def test_a_named_one_is_answered_from_its_ledger(start, start_engine):  # noqa: F811
    engine = start_engine()
    proxy = start(engine).ready(1)
    first = ask(proxy.url, lines(100), "?job=night")
    proxy.stop(signal.SIGKILL)
    again = start(engine).ready(1)
    changed = [*lines(100), line("new")]
    changed[7] = line("q7", prompt="another question")
    second = ask(again.url, changed, "?job=night")
    assert again.metrics()["batchproxy_requests_received_total"] == 2
    assert keys(second) == keys([*first, {"custom_id": "new"}])
    before, after = ({one["custom_id"]: one["response"]["body"] for one in found} for found in (first, second))
    assert {key for key, body in after.items() if before.get(key) != body} == {"q7", "new"}
    assert len(ask(again.url, lines(3), "?job=other")) == 3
    assert again.metrics()["batchproxy_requests_received_total"] == 5


def test_a_client_that_expects_100_gets_it_before_the_answer(start, start_engine):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    text = line("late").encode()
    head = b"POST /v1/bulk HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(text)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        stream = client.makefile("rb")
        client.sendall(head)
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        client.sendall(text)
        whole = stream.read()
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n") and b"100 Continue" not in whole and whole.endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_behind_its_last_line_is_noticed(start, start_engine):  # noqa: F811
    proxy = start(start_engine("--sim-time-scale", "100")).ready(1)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(HEAD % b"?job=night" + chunk(line("slow", max_tokens=500).encode()) + b"0\r\n\r\n")
        wait_until(lambda: proxy.metrics()["batchproxy_requests_inflight"] == 1, "the request")
    wait_until(lambda: proxy.metrics()["batchproxy_requests_inflight"] == 0, "its end")
    proxy.assert_balanced()
    assert proxy.metrics()['batchproxy_requests_finished_total{result="client_gone"}'] == 1


def test_a_key_stands_for_one_request_of_a_durable_job(start, start_engine):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    requests = [line("a"), line("a", prompt="another question")]
    for _ in range(2):
        found = ask(proxy.url, requests, "?job=night")
        answered = [one for one in found if one["custom_id"] == "a"]
        refused = [one for one in found if one["custom_id"] is None]
        assert len(answered) == 1 and answered[0]["response"]["status_code"] == 200
        assert len(refused) == 1 and "'a' has come before" in refused[0]["error"]["message"]


def test_a_line_that_is_too_long_breaks_the_answer_off(start, start_engine):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        stream = client.makefile("rb")
        client.sendall(HEAD % b"" + chunk(line("first").encode() + b"\n"))
        try:
            for _ in range(40):
                client.sendall(chunk(b"x" * (1 << 20)))
        except OSError:
            pass
        whole = stream.read()
    assert b"32 MiB" in whole and not whole.endswith(b"0\r\n\r\n")


def test_ledgers_of_durable_jobs_are_pruned_by_their_age(start, start_engine, state):  # noqa: F811
    proxy = start(start_engine()).ready(1)
    folder = state / "batchproxy/jobs/bulk"

    def prune(age):
        ended = subprocess.run([PROXY, "jobs", "prune", "--older-than", age], capture_output=True, text=True,
                               env={**os.environ, "XDG_STATE_HOME": str(state)}, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    def forgotten(ledgers):
        return 0, f"{folder.parent}: {ledgers} ledgers of bulk jobs and 0 recorded answers forgotten\n"
    for name in ("old", "new"):
        ask(proxy.url, lines(3), f"?job={name}")
    wait_until(lambda: not list(folder.glob("*-wal")), "both are closed")
    old = min(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    assert prune("4d") == forgotten(0)
    assert prune("2d") == forgotten(1) and old not in list(folder.iterdir()) and len(list(folder.iterdir())) == 1
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(HEAD % b"?job=new" + chunk(line("slow", max_tokens=500).encode() + b"\n"))
        wait_until(lambda: proxy.metrics()["batchproxy_requests_inflight"] == 1, "the request")
        code, said = prune("0h")
        assert code == 1 and f"is in use by process {proxy.pid}" in said and len(list(folder.glob("[!.]*"))) >= 1
    assert prune("7 days")[0] == 2
