"""What bench/peers measures with does what it says; the figures themselves are nobody's promise.

BATCHPROXY_BUILD names the build folder to test (default: build/release)."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BATCHPROXY_BUILD", ROOT / "build" / "release")).resolve()
PATIENCE = 20  # seconds, for anything to happen


@contextlib.contextmanager
def started(program, *args):
    """The ports that a program of the bench has printed, while it runs."""
    count = int(args[0]) if program == "stub_engine" and args else 1
    with subprocess.Popen([BUILD / "bench" / program, *map(str, args)], stdout=subprocess.PIPE, text=True) as running:
        try:
            yield [int(re.search(r":(\d+)$", running.stdout.readline())[1]) for _ in range(count)]
        finally:
            running.kill()


@pytest.fixture(params=["direct", "through the hop"])
def port(request):
    """The stub's, or that of a hop before it."""
    with contextlib.ExitStack() as running:
        [port] = running.enter_context(started("stub_engine"))
        if request.param == "through the hop":
            [port] = running.enter_context(started("copy_hop", port))
        yield port


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
def test_prompts_are_counted_at_the_top_level(body, prompts):
    with started("stub_engine") as [port]:
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


def test_a_stub_may_be_several_backends():
    with started("stub_engine", 4) as ports:
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


def test_the_hop_copies_both_ways_whatever_it_is():
    """More than any buffer holds, to peers that read one after the other, and then the ends."""
    there, back = os.urandom(8 << 20), os.urandom(8 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server, started("copy_hop", server.getsockname()[1]) as [port]:
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


def peers(*args, path=os.environ["PATH"]):
    return subprocess.run([sys.executable, ROOT / "bench" / "peers", *map(str, args)], env={**os.environ, "PATH": path},
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)


def test_missing_tools_are_named_with_what_installs_them(tmp_path):
    ended = peers(BUILD, path=str(tmp_path))
    assert ended.returncode == 1
    # /usr/sbin, where two of them may be, is looked through whatever the path is.
    assert re.fullmatch(r"missing: (haproxy, )?(nginx, )?wrk; on Debian: apt-get install haproxy nginx wrk\n",
                        ended.stdout)


def test_a_build_without_its_programs_is_named(tmp_path):
    ended = peers(tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.startswith(f"{tmp_path / 'proxy' / 'batchproxy'} is not there; build it: ")


@pytest.mark.parametrize("wrong", [["--parts", "load,lunch"], ["--rounds", "0"], ["--core", "4096"], []])
def test_wrong_usage_is_refused(wrong):
    ended = peers(*wrong, *([BUILD] if wrong else []))
    assert ended.returncode == 2
    assert "peers: error: " in ended.stdout
