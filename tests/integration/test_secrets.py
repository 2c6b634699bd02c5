"""The canary: what a client says, and every key, stay between those whom they concern, whatever goes wrong;
and nothing that others say writes lines into our log or commands the terminal."""
import json
import secrets
import socket

import pytest

from tests.support.asking import call
from tests.support.scripted_engine import ScriptedEngine, model_list
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

PLACES = ["prompt", "answer", "client_key", "backend_key", "header", "query", "broken", "path", "engine_error", "field"]
# What a backend may say to a request. None closes without a word.
FAULTS = {
    "answers": lambda m: answer(json.dumps({"choices": [{"text": m["answer"]}]}).encode()),
    "dies": lambda m: None,
    "says garbage": lambda m: m["answer"].encode() + b" is no HTTP\r\n\r\n",
    "is cut off": lambda m: b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\nconnection: close\r\n\r\n" + m["answer"].encode(),
    "has a field with the marker": lambda m: answer(extra=f"x-secret: {m['answer']}\r\nbad field\r\n".encode()),
    "fails": lambda m: answer(json.dumps({"error": {"message": m["engine_error"]}}).encode(), b"500 Internal Server Error"),
    "fails bare": lambda m: answer(b"", b"502 " + m["engine_error"].encode()),
    "refuses": lambda m: answer(json.dumps({"error": {"message": m["engine_error"]}}).encode(), b"400 Bad Request"),
    "breaks its stream": lambda m: (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
                                    b"connection: close\r\n\r\n%x\r\ndata: %s\n\n\r\n"
                                    % (len(m["answer"]) + 8, m["answer"].encode())),
}


class Canary:
    """A proxy at log level debug with a marker in every place, and what it must not tell."""

    def __init__(self, start_proxy, tmp_path, fault, keyed):
        self.marks = {place: "canary" + secrets.token_hex(12) for place in PLACES}
        self.backend = ScriptedEngine(lambda *_: FAULTS[fault](self.marks))
        settings = {"backends": [{"url": self.backend.url, "api_key": self.marks["backend_key"]}], "log_level": "debug",
                    "hold_timeout": 0.2}
        if keyed:
            keys = tmp_path / "keys.txt"
            keys.touch(0o600)
            keys.write_text(f"mine {self.marks['client_key']}\nother another-key-0123456789\n")
            settings["api_keys_file"] = str(keys)
        (tmp_path / "c.yaml").write_text(json.dumps({"batchproxy": settings}))
        self.proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)

    def headers(self):
        return {"Authorization": f"Bearer {self.marks['client_key']}", "X-Custom": self.marks["header"],
                "Cookie": self.marks["header"], "Traceparent": self.marks["header"]}

    def ask(self, body, path="/v1/completions", headers=None):
        query = f"{path}?q={self.marks['query']}"
        return call(self.proxy.url, query, body, self.headers() if headers is None else headers)

    def raw(self, data):
        host, port = self.proxy.address.split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as client:
            client.sendall(data)
            received = b""
            try:
                while more := client.recv(65536):
                    received += more
            except ConnectionResetError:
                pass
            return received

    def speak(self):
        """Says everything that a client can say; all that it is told."""
        m = self.marks
        told = []
        whole = {"model": "m", "prompt": m["prompt"], m["field"]: m["field"]}
        chat = {"model": "m", "messages": [{"role": "user", "content": m["prompt"]}]}
        for path, body in [("/v1/completions", whole), ("/v1/completions", {**whole, "prompt": [m["prompt"]] * 40}),
                           ("/v1/chat/completions", chat), ("/v1/embeddings", {"model": "m", "input": m["prompt"]}),
                           ("/v1/completions", '{"model":"m","prompt":"' + m["broken"]),
                           ("/v1/completions", {"model": "m", "prompt": {m["field"]: 1}}),
                           ("/v1/completions", {"model": m["prompt"], "prompt": "x"}),
                           ("/v1/completions", {"model": [m["prompt"]], "prompt": "x"}),
                           ("/" + m["path"], {}), ("/tokenize", m["broken"])]:
            told.append(self.ask(body, path)[1])
        try:
            told.append(self.ask({**whole, "stream": True})[1])
        except OSError:
            pass  # a stream that breaks ends in mid-air
        except Exception as cut:  # http.client.IncompleteRead
            told.append(getattr(cut, "partial", b""))
        told.append(self.ask(whole, headers={**self.headers(), "Authorization": "Bearer wrong" + m["client_key"]})[1])
        told.append(self.raw(f"GET /{m['path']} HTTP/1.1\r\nHost: x\r\nAuthorization : {m['client_key']}\r\n\r\n".encode()))
        told.append(self.raw(f"{m['path']}\x1b[31m\r\n\r\n".encode()))
        told.append(self.raw(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {m['client_key']}\r\n"
                             f"Transfer-Encoding: chunked\r\n\r\n{m['broken']}\r\n".encode()))
        return told

    def told_to_operator(self):
        texts = [call(self.proxy.admin, path)[1].decode() for path in ("/metrics", "/status", "/readyz", "/nothing")]
        return "\n".join([*texts, self.proxy.output()])

    def told_to_another(self):
        other = {"Authorization": "Bearer another-key-0123456789"}
        asked = [call(self.proxy.url, path, body, other) for path, body in [
            ("/v1/models", None), ("/health", None), ("/version", None), ("/v1/completions", "{"), ("/nothing", None),
            ("/v1/completions", {"model": "no such model", "prompt": "x"})]]
        return "\n".join(str(response.headers) + text.decode() for response, text in asked)

    def found(self, text, places=PLACES):
        return [place for place in places if self.marks[place] in text]


@pytest.fixture
def canary(start_proxy, tmp_path):
    made = []

    def make(fault, keyed):
        made.append(Canary(start_proxy, tmp_path, fault, keyed))
        return made[-1]

    yield make
    for one in made:
        one.backend.close()


@pytest.mark.parametrize("keyed", [True, False], ids=["keys", "no keys"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_client_says_is_told_to_nobody_else(canary, fault, keyed):
    bird = canary(fault, keyed)
    told = "\n".join(text.decode(errors="replace") for text in bird.speak())
    sent = b"\n".join(bird.backend.requests).decode()
    # Else the test shows nothing: the backend has been told what it is to be told.
    assert set(bird.found(sent)) >= {"prompt", "query", "backend_key"}
    assert "client_key" not in bird.found(sent)
    assert not bird.found(told, ["client_key", "backend_key"])
    if fault == "answers":
        assert bird.found(told, ["answer"])
    assert not bird.found(bird.told_to_another())
    assert not bird.found(bird.told_to_operator())
    bird.backend.close()  # and while it is gone
    wait_until(lambda: bird.proxy.status()["backends"][0]["state"] == "unready", "the backend is down")
    bird.ask({"model": "m", "prompt": bird.marks["prompt"]})
    assert not bird.found(bird.told_to_another())
    bird.proxy.assert_balanced()
    bird.proxy.stop()
    assert not bird.found(bird.proxy.output())


def test_a_configured_key_is_not_told_by_the_configuration_either(tmp_path, start_proxy):
    marker = "canary" + secrets.token_hex(12)
    (tmp_path / "c.yaml").write_text(json.dumps(
        {"generator_settings": {"api_key": marker, "server": "127.0.0.1", "port": 9},
         "batchproxy": {"log_level": "debug", "drain_timeout": 0, "hold_timeout": 0}}))
    proxy = start_proxy("--config", tmp_path / "c.yaml")
    call(proxy.url, "/v1/completions", {"prompt": "x"})
    shown = call(proxy.admin, "/status")[1].decode() + call(proxy.admin, "/metrics")[1].decode()
    proxy.stop()
    assert marker not in proxy.output() + shown


# --- control bytes ----------------------------------------------------------------------------------

EVIL = "m\n2026-01-01 00:00:00.000 error all is lost\r\x1b]0;owned\x07\x1b[2J\u009b31m"


def assert_no_control_bytes(proxy):
    output = "\n".join(proxy.lines + proxy.errors)
    assert not [c for c in output if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160], ascii(output)
    assert not any(line.startswith("2026-01-01") for line in proxy.lines + proxy.errors)


def test_a_models_name_writes_no_lines_and_commands_no_terminal(start_proxy):
    backend = ScriptedEngine(lambda *_: answer(), {"/v1/models": model_list(EVIL)})
    proxy = start_proxy("--backend", backend.url).ready(1)
    proxy.wait_for_line("ready: 1 of 1 backends serve m")
    response, text = call(proxy.url, "/v1/completions", {"model": "x" + EVIL, "prompt": "x"})
    assert response.status == 404 and json.loads(text)["error"]["code"] == "unknown_model"
    assert not any(byte < 32 or byte == 127 for byte in text)
    proxy.stop()
    assert_no_control_bytes(proxy)
    backend.close()


def test_an_engines_last_words_write_no_lines_and_command_no_terminal(start_proxy, tmp_path):
    words = "ValueError: \\033[31mred\\033]0;owned\\007\\033[2J"
    (tmp_path / "c.yaml").write_text(json.dumps({
        "model": {"generator_settings": {"boot_local": True, "hf_model_id": "m"}},
        "batchproxy": {"launcher": {"engine": "command", "gpus": 1, "command": [
            "/bin/sh", "-c", f"printf '{words}\\n'; exit 3 # {{port}}"]}}}))
    proxy = start_proxy("--config", tmp_path / "c.yaml")
    assert proxy.wait() == 4
    assert "ValueError" in proxy.output()
    assert_no_control_bytes(proxy)
