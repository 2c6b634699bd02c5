"""Client API keys: who gets in, what of a key goes where, and what may be reached from the network."""
import concurrent.futures
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

from .list_engine import ListEngine

ALICE, BOB = "alices-key-0123456789", "bobs-key-9876543210"
PATHS = ["/v1/completions", "/v1/models", "/version", "/nothing", "//health", "/health/", "/HEALTH", "/%68ealth"]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys.txt"
    path.touch(0o600)
    path.write_text(f"alice {ALICE}\nbob: {BOB}\n")
    return path


@pytest.fixture
def guarded(start_proxy, keys_file):
    """A proxy with keys in front of a backend that shows the bytes it was sent."""
    backend = ScriptedEngine(lambda *_: answer())
    proxy = start_proxy("--backend", backend.url, "--api-keys-file", keys_file).ready(1)
    proxy.backend = backend
    yield proxy
    backend.close()


def run(*args, env=None):
    return subprocess.run([str(PROXY), *map(str, args)], capture_output=True, text=True, timeout=DEADLINE,
                          env={**os.environ, **(env or {})})


def refused(response, text):
    assert response.status == 401 and b'"type":"authentication_error"' in text
    assert response.headers["x-batchproxy-code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer" and response.headers["x-should-retry"] == "false"
    return True


# --- who gets in ------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [{}, bearer("wrong-key-0123456789"), {"Authorization": f"Basic {ALICE}"},
                                     {"X-Api-Key": "wrong-key-0123456789"}, bearer("alice")])
def test_without_a_key_there_is_only_health(guarded, path, headers):
    assert refused(*call(guarded.url, path, headers=headers))
    assert not guarded.backend.requests


def test_health_needs_none(guarded):
    assert call(guarded.url, "/health")[0].status == 200
    assert refused(*call(guarded.url, "/health", "a body", method="GET"))


def test_each_key_opens_and_is_counted_by_its_name(guarded):
    for key in (ALICE, BOB, BOB):
        assert complete(guarded.url, "x", model="m")[0].status == 401
        response, _ = call(guarded.url, "/v1/completions", {"model": "m", "prompt": "x"}, bearer(key))
        assert response.status == 200
    metrics = call(guarded.admin, "/metrics")[1].decode()
    assert 'batchproxy_key_requests_total{key="alice"} 1' in metrics
    assert 'batchproxy_key_requests_total{key="bob"} 2' in metrics
    assert 'batchproxy_errors_total{code="invalid_api_key"} 3' in metrics


def test_a_client_without_a_key_is_refused_before_it_has_sent_its_body(guarded):
    host, port = guarded.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n"
                       b"Expect: 100-continue\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_sends_its_body_anyway_can_read_why(guarded):
    assert refused(*call(guarded.url, "/v1/completions", b"x" * 3_000_000))


# --- what goes where --------------------------------------------------------------------------------

@pytest.mark.parametrize("own", ["", ", api_key: of-the-backend"])
def test_the_clients_key_never_reaches_a_backend(start_proxy, keys_file, tmp_path, own):
    backend = ScriptedEngine(lambda *_: answer())
    (tmp_path / "c.yaml").write_text(f"batchproxy: {{backends: [{{url: '{backend.url}'{own}}}], "
                                     f"api_keys_file: {keys_file}}}\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    response, _ = call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, bearer(ALICE))
    assert response.status == 200
    sent = backend.requests[0].lower()
    assert ALICE.encode() not in sent and (b"authorization: bearer of-the-backend\r\n" in sent) == bool(own)
    assert sent.count(b"authorization") == bool(own)
    backend.close()


def test_without_keys_any_bearer_is_welcome_and_passed_on(start_proxy):
    backend = ScriptedEngine(lambda *_: answer())
    proxy = start_proxy("--backend", backend.url).ready(1)
    for headers in ({}, {"Authorization": ""}, bearer("anything")):
        assert call(proxy.url, "/v1/completions", {"model": "m", "prompt": "x"}, headers)[0].status == 200
    assert b"Bearer anything" in backend.requests[2] and b"uthorization" not in backend.requests[0]
    backend.close()


def test_requests_of_different_keys_never_share_a_call(start_proxy, keys_file, tmp_path):
    engine = ListEngine()
    (tmp_path / "c.yaml").write_text(
        f"batch_timeout: 0.5\nbatchproxy: {{backends: [{{url: '{engine.url}'}}], merge: always, flush: fixed, "
        f"api_keys_file: {keys_file}}}\nbatch_size: 8\n")
    proxy = start_proxy("--config", tmp_path / "c.yaml").ready(1)
    prompts = {key: [f"{name}{i}" for i in range(4)] for key, name in ((ALICE, "a"), (BOB, "b"))}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(call, proxy.url, "/v1/completions", {"model": "m", "prompt": prompt, "max_tokens": 1},
                             bearer(key)) for key in prompts for prompt in prompts[key]]
        assert all(one.result()[0].status == 200 for one in asked)
    assert any(len(prompts) > 1 for prompts in engine.calls), engine.calls  # else this shows nothing
    for together in engine.calls:
        assert len({prompt[0] for prompt in together}) == 1, engine.calls
    engine.backend.close()


# --- what may be reached from the network -----------------------------------------------------------

OPEN = ["--backend", "http://127.0.0.1:9", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"]
OPEN_ADMIN = ["--backend", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"]


@pytest.mark.parametrize("command", [[], ["check"]])
@pytest.mark.parametrize("flags, key", [(OPEN, "listen"), (OPEN_ADMIN, "admin")])
def test_an_address_on_the_network_without_keys_is_refused(command, flags, key):
    done = run(*command, *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert f"error: {key}: 0.0.0.0:0 is not a loopback address" in done.stderr
    assert "batchproxy.api_keys_file" in done.stderr and "batchproxy.allow_unauthenticated: true" in done.stderr


@pytest.mark.parametrize("flags", [OPEN, OPEN_ADMIN])
def test_unless_that_is_meant_or_there_are_keys(flags, keys_file):
    assert run("check", "--strict", *flags, "--api-keys-file", keys_file).returncode == 0
    allowed = run("check", "--strict", *flags, env={"BATCHPROXY_ALLOW_UNAUTHENTICATED": "true"})
    assert allowed.returncode == 0 and "notice" in allowed.stderr


def test_an_admin_address_on_the_network_asks_for_a_key(start_proxy, start_engine, keys_file):
    engine = start_engine()
    proxy = start_proxy("--backend", engine.url, "--admin", "0.0.0.0:0", "--api-keys-file", keys_file)
    admin = proxy.admin.replace("0.0.0.0", "127.0.0.1")
    proxy.admin = admin
    asked = {path: call(admin, path)[0] for path in ("/status", "/metrics", "/readyz", "/livez", "/")}
    assert {path: response.status for path, response in asked.items()} == {
        "/status": 401, "/metrics": 401, "/readyz": 401, "/livez": 200, "/": 401}
    assert asked["/status"].headers["www-authenticate"] == "Bearer"
    assert call(admin, "/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "b"})[0].status == 401
    wait_until(lambda: call(admin, "/readyz", headers=bearer(BOB))[0].status == 200, "ready")
    assert b"alice" in call(admin, "/metrics", headers=bearer(ALICE))[1]
    assert call(admin, "/status", headers=bearer("no-key-0123456789"))[0].status == 401
    proxy.stop()


def test_keys_come_from_the_environment_too(start_proxy, start_engine):
    engine = start_engine()
    proxy = start_proxy("--backend", engine.url, env={"BATCHPROXY_API_KEYS": f"alice {ALICE},bob:{BOB}"}).ready(1)
    assert call(proxy.url, "/v1/models")[0].status == 401
    assert MODEL.encode() in call(proxy.url, "/v1/models", headers=bearer(BOB))[1]


def test_a_file_that_others_may_read_is_refused(keys_file):
    keys_file.chmod(0o644)
    for command in ([], ["check"]):
        done = run(*command, "--backend", "http://127.0.0.1:9", "--api-keys-file", keys_file)
        assert done.returncode == 2 and f"chmod 600 {keys_file}" in done.stderr and ALICE not in done.stderr


def test_show_effective_shows_no_key(keys_file):
    done = run("check", "--show-effective", "--backend", "http://127.0.0.1:9", "--api-keys-file", keys_file,
               env={"BATCHPROXY_API_KEYS": "carol carols-key-0123456789"})
    assert done.returncode == 0 and "--api-keys-file" in done.stdout
    assert not any(key in done.stdout + done.stderr for key in (ALICE, BOB, "carols-key"))


# --- hygiene ----------------------------------------------------------------------------------------

def dumps_core(pid, kill_with=signal.SIGABRT):
    os.kill(pid, kill_with)
    return os.WCOREDUMP(os.waitpid(pid, 0)[1])


def test_no_core_dump_holds_prompts_and_keys(tmp_path):
    # Unlike others on this machine: a dump is asked for, and a program that does not refuse makes one.
    shell = ["/bin/sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "sh"]
    other = subprocess.Popen([*shell, "/bin/cat"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdin.write(b"x")
    other.stdin.flush()
    other.stdout.read(1)
    if not dumps_core(other.pid):
        pytest.skip("no program dumps core here")
    proxy = subprocess.Popen([*shell, str(PROXY), "--backend", "http://127.0.0.1:9", "--listen", "127.0.0.1:0",
                              "--admin", "127.0.0.1:0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    for line in proxy.stdout:
        if "admin" in line:
            break
    assert not dumps_core(proxy.pid)


def test_the_program_is_hardened():
    """What CMakeLists.txt asks for has reached the program: see SECURITY.md."""
    readelf = shutil.which("readelf")
    if not readelf:
        pytest.skip("no readelf")
    described = subprocess.run([readelf, "-hdlW", str(PROXY)], capture_output=True, text=True, check=True).stdout
    assert "Position-Independent Executable" in described or "DYN (Shared object file)" in described
    assert "BIND_NOW" in described and "GNU_RELRO" in described
    assert re.search(r"GNU_STACK .* RW +0", described)  # and not RWE


def said(proxy, pattern):
    return wait_until(lambda: any(re.search(pattern, line) for line in [*proxy.lines, *proxy.errors]), pattern)


def test_a_reload_says_which_keys_it_changed(guarded, keys_file):
    keys_file.write_text(f"bob: {BOB}\ncarol carols-key-0123456789\n")
    guarded.process.send_signal(signal.SIGHUP)
    assert said(guarded, "reload: API key alice: removed") and said(guarded, "reload: API key carol: added")
    assert call(guarded.url, "/v1/models", headers=bearer(BOB))[0].status == 200
    assert not any(re.search(f"nothing has changed|{ALICE}", line) for line in [*guarded.lines, *guarded.errors])


def test_who_looks_at_the_log_sees_that_clients_are_refused(guarded):
    for _ in range(3):
        call(guarded.url, "/v1/models", headers=bearer("not-a-key-0123456789"))
    assert said(guarded, r"requests refused: \d+ invalid_api_key")
