"""What `python3 -m bench.lab peers` measures with does what it says; the figures themselves are nobody's promise."""
import concurrent.futures
import contextlib
import json
import os
import re
import socket
import types
import urllib.request

import pytest

from bench.lab.build import Build
from bench.lab.engines import copy_hop, stub_engine
from bench.lab.peers.cases import HOPS, Counts
from bench.lab.peers.pairs import Side, interval, pair
from bench.lab.peers.report import Report
from tests.bench import lab
from tests.support.builds import BUILD

PATIENCE = 20  # seconds, for anything to happen


@pytest.fixture
def start(tmp_path):
    """start(stub_engine or copy_hop, ...): that server, until the end."""
    with contextlib.ExitStack() as running:
        def start(program, *args):
            server = program(Build(), tmp_path, *args)
            running.callback(server.kill)
            return server
        yield start


@pytest.fixture(params=["direct", "through the hop"])
def port(request, start):
    """The stub's, or that of a hop before it."""
    port = start(stub_engine).port
    return start(copy_hop, port).port if request.param == "through the hop" else port


def ask(port, path, body=None):
    """The answer's text; a stream's is put together."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=PATIENCE) as answer:
        return answer.read().decode()


def stats(port):
    return json.loads(ask(port, "/stats"))


def test_a_chat_and_a_prompt_get_a_choice_each(port):
    chat = json.loads(ask(port, "/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]}))
    assert [choice["message"]["content"] for choice in chat["choices"]] == ["B"]
    text = json.loads(ask(port, "/v1/completions", {"model": "stub", "prompt": "Is it so?"}))
    assert [choice["text"] for choice in text["choices"]] == [" B"]
    assert stats(port) == {"requests": 2, "prompts": 2}


@pytest.mark.parametrize("body, prompts", [
    (r'{"prompt": "a, [b]"}', 1),
    (r'{"prompt": ["a", "b", "c"]}', 3),
    (r'{"prompt":["a \" , \\", "]", "{,"] , "max_tokens":1}', 3),
    (r'{"prompt": []}', 0),
    (r'{"prompt": [1, 2, 3]}', 1),
    (r'{"prompt": [[1, 2], [3, 4, 5]]}', 2),
    (r'{"messages": [{"prompt": ["no", "no"]}], "x": "\"prompt\": [1,2", "prompt": [ "a" , "b" ]}', 2),
])
def test_prompts_are_counted_at_the_top_level(start, body, prompts):
    port = start(stub_engine).port
    answer = json.loads(ask(port, "/v1/completions", body.encode()))
    assert [choice["index"] for choice in answer["choices"]] == list(range(prompts))
    assert stats(port) == {"requests": 1, "prompts": prompts}


def test_a_stream_is_sixteen_events_and_an_end(port):
    lines = ask(port, "/v1/chat/completions", {"messages": [], "stream": True}).split("\n\n")
    assert lines[16:] == ["data: [DONE]", ""]
    assert all(json.loads(line.removeprefix("data: "))["choices"] for line in lines[:16])


def test_a_connection_is_kept_and_answers_in_turn(port):
    """Also when requests come in pieces, and several in one."""
    body = b'{"prompt": "?", "stream": false}'
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: %d\r\n\r\n" % len(body) + body
    streamed = request.replace(b"false", b"true ")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        for piece in (request[:50], request[50:-3], request[-3:] + streamed + request):
            client.sendall(piece)
        answers = b""
        while answers.count(b'" B"') < 2:
            answers += client.recv(65536)
    assert re.findall(rb"\[DONE\]|\"text\":\" B\"", answers) == [b'"text":" B"', b"[DONE]", b'"text":" B"']
    assert stats(port) == {"requests": 3, "prompts": 3}


def test_a_stub_may_be_several_backends(start):
    ports = start(stub_engine, 4).ports
    assert len(set(ports)) == 4
    for port in ports:
        assert ask(port, "/health") == ""
        assert json.loads(ask(port, "/v1/models"))["data"][0]["id"] == "stub"
        ask(port, "/v1/completions", {"prompt": "?"})
    assert stats(ports[0]) == {"requests": 4, "prompts": 4}


def send(end, data):
    end.sendall(data)
    end.shutdown(socket.SHUT_WR)


def receive(end):
    data = bytearray()
    while piece := end.recv(1 << 20):
        data += piece
    return bytes(data)


def test_the_hop_copies_both_ways_whatever_it_is(start):
    """More than any buffer holds, to peers that read one after the other, and then the ends."""
    there, back = os.urandom(8 << 20), os.urandom(8 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = start(copy_hop, server.getsockname()[1]).port
        server.settimeout(PATIENCE)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            backend, _ = server.accept()
            backend.settimeout(PATIENCE)
            with backend, concurrent.futures.ThreadPoolExecutor() as pool:
                sending = [pool.submit(send, client, there), pool.submit(send, backend, back)]
                assert receive(backend) == there
                assert receive(client) == back
                for each in sending:
                    each.result()


def test_missing_tools_are_named_with_what_installs_them(tmp_path):
    ended = lab("peers", BUILD, env={"PATH": str(tmp_path)})
    assert ended.returncode == 1
    # /usr/sbin, where two of them may be, is looked through whatever the path is.
    assert re.fullmatch(r"missing: (haproxy, )?(nginx, )?wrk; on Debian: apt-get install haproxy nginx wrk\n",
                        ended.stdout)


@pytest.mark.parametrize("wrong", [["--parts", "load,lunch"], ["--rounds", "0"], ["--core", "4096"]])
def test_wrong_usage_is_refused(wrong):
    ended = lab("peers", BUILD, *wrong)
    assert ended.returncode == 2
    assert "peers: error: " in ended.stdout


def test_the_report_has_medians_with_least_and_most_and_ratios_within_a_round(capsys):
    costs = {1: {"copy": 5, "haproxy": 10}, 2: {"copy": 6, "haproxy": 20}, 3: {"copy": 7, "haproxy": 15}}
    samples = [{"part": "stream", "round": number, "target": target, "cpu_us": costs[number].get(target, 15),
                "per_call": 1, "per_second": 1000 * number, "others": 0.01 * number, "failed": 0, "body": "stream",
                "connections": 64} for number in costs for target in HOPS]
    samples[-1]["failed"] = 7
    options = types.SimpleNamespace(parts=["stream"], rounds=3, seconds=2)
    Report(types.SimpleNamespace(options=options, counts=Counts(20_400), samples=samples)).show()
    said = capsys.readouterr().out
    assert said.startswith("\n3 rounds of 2 s each; medians (least-most), ratios within a round.\n\n64 str")
    assert "| nginx | 15.0 | 1.00 (0.75-1.50) | 2.50 (2.14-3.00) | 1.00 | 2,000 (1,000-3,000) |\n" in said
    assert "\nOther programs had 2 % of the core (most 3 %).\n" in said
    assert "**7 requests failed**: round 3, stream, batchproxy-merged, stream, 64 connections\n" in said


# --- pairs ----------------------------------------------------------------------------------------

def slower_each_time(first):
    """Slices on a machine that gets slower: each costs 10 % more than the one before, whoever's it is."""
    cost = [first]

    def of(times):
        def slice_of(_seconds):
            cost[0] *= 1.1
            return times * cost[0]
        return types.SimpleNamespace(slice=slice_of)
    return of


def test_in_abba_order_a_drift_is_nobodys_advantage():
    of = slower_each_time(10)
    ours, peer = of(1.0), of(1.0)
    starts = [[pair(ours, peer, number, 0.5) for number in range(40)]]
    assert [round(mine / theirs, 3) for mine, theirs in starts[0][:4]] == [0.909, 1.1, 0.909, 1.1]
    middle, low, high = interval(starts)
    assert low < 1 < high and 0.9 < middle < 1.1


def test_an_interval_is_as_wide_as_the_starts_differ():
    def start(ratio):
        return [(ratio * (100 + number % 3), 100 + number % 3) for number in range(10)]

    alike, apart = interval([start(0.9)] * 4), interval([start(0.8), start(0.9), start(0.9), start(1.0)])
    assert alike == pytest.approx((0.9, 0.9, 0.9))
    assert apart[0] == pytest.approx(0.9) and apart[1] < 0.9 < apart[2]


def test_a_slice_is_what_the_hop_has_used_for_what_has_arrived(monkeypatch):
    cpu, asked, said = iter([1.0, 1.5]), iter([100, 50_100]), []
    monkeypatch.setattr("bench.lab.peers.pairs.cpu_seconds", lambda _pid: next(cpu))
    side = Side.__new__(Side)
    side._lab = types.SimpleNamespace(prompts=lambda: next(asked))
    side.hop = types.SimpleNamespace(pid=1, name="hop")
    side._load = types.SimpleNamespace(go_on=lambda: said.append("on"), halt=lambda: said.append("halt"))
    assert side.slice(0.001) == pytest.approx(10)  # microseconds
    assert said == ["on", "halt"]
