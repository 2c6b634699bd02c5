"""TLS for clients: what is spoken, what is refused, and that all else is as without it."""
import concurrent.futures
import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.certificates import make_certificate, make_expired
from tests.support.program import Program
from tests.support.waiting import DEADLINE, wait_until


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


class TlsProxy(Program):
    """A proxy whose clients speak TLS and trust `certificate`."""

    def __init__(self, cwd, certificate, *args):
        admin = [] if "--admin" in args else ["--admin", "127.0.0.1:0"]
        super().__init__([PROXY, "--listen", "127.0.0.1:0", *admin, *args], cwd,
                         env={"XDG_STATE_HOME": str(cwd / "state")})
        self.context = ssl.create_default_context(cafile=certificate)
        self.port = int(self.wait_for_line(r"listening +https://127.0.0.1:(\d+)")[0][1])
        self.admin = self.wait_for_line(r"admin +https?://([^/]+)")[0][1]

    def connect(self, context=None):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        return (context or self.context).wrap_socket(raw, server_hostname="127.0.0.1")

    def client(self, context=None):
        return contextlib.closing(http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE,
                                                              context=context or self.context))

    def ask(self, path="/v1/completions", body=None, context=None, headers=None, method=None):
        with self.client(context) as client:
            data = json.dumps(body) if body is not None else None
            client.request(method or ("POST" if body is not None else "GET"), path, data,
                           {"content-type": "application/json", **(headers or {})})
            response = client.getresponse()
            return response, response.read()

    def ready(self):
        wait_until(lambda: self.ask("/health")[0].status == 200, "GET /health")
        return self


@pytest.fixture
def start_tls(tmp_path, certificate):
    started = []

    def start(*args, files=certificate):
        flags = ["--tls-certificate", files[0], "--tls-key", files[1]]
        started.append(TlsProxy(tmp_path, files[0], *flags, *args))
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()
        assert not [line for line in proxy.errors if "Sanitizer" in line], proxy.output()


@pytest.fixture
def secured(start_tls, start_engine):
    return start_tls("--backend", start_engine().url).ready()


def body(prompt="x", **fields):
    return {"model": MODEL, "prompt": prompt, "max_tokens": 4, **fields}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_are_answered_on_one_connection(secured, certificate, version):
    context = ssl.create_default_context(cafile=certificate[0])
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured.client(context) as client:
        for number in range(5):
            client.request("POST", "/v1/completions", json.dumps(body(f"p{number}")),
                           {"content-type": "application/json"})
            response = client.getresponse()
            assert response.status == 200 and json.loads(response.read())["choices"]
        assert client.sock.selected_alpn_protocol() == "http/1.1"


def test_a_stream_and_large_bodies_come_whole(secured):
    response, text = secured.ask(body=body(max_tokens=50, stream=True))
    assert response.status == 200 and text.rstrip().endswith(b"data: [DONE]")
    # Beyond a record, and beyond what the sockets hold.
    response, text = secured.ask(body=body(["word " * 400] * 200, echo=True))
    assert response.status == 200 and len(json.loads(text)["choices"]) == 200 and len(text) > 300_000


def test_old_versions_and_strangers_are_refused(secured, certificate):
    old = ssl.create_default_context(cafile=certificate[0])
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        secured.connect(old)
    with pytest.raises(ssl.SSLCertVerificationError):
        secured.ask("/health", context=ssl.create_default_context())
    assert secured.ask("/health")[0].status == 200


def test_plain_http_is_told_to_use_https(secured):
    client = http.client.HTTPConnection("127.0.0.1", secured.port, timeout=DEADLINE)
    with contextlib.closing(client):
        client.request("GET", "/health")
        response = client.getresponse()
        assert response.status == 400 and b"https://" in response.read()


def test_a_client_that_stops_in_the_handshake_is_let_go(secured):
    with socket.create_connection(("127.0.0.1", secured.port)) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a hello
        began = time.monotonic()
        assert client.recv(100) == b""
        assert 5 < time.monotonic() - began < 20
    with socket.create_connection(("127.0.0.1", secured.port)) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"\x16\x03garbage that is no hello at all")
        client.recv(100)  # an alert, and the end


def test_two_hundred_shake_hands_at_once(secured):
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(lambda i: secured.ask(body=body(f"p{i}"))[0].status, range(200)))
    assert statuses == [200] * 200


def test_a_client_that_leaves_is_noticed(start_tls, scripted):
    has_left = []
    engine = scripted(lambda *_: [lambda: wait_until(lambda: has_left, "the client to have left"), None])
    proxy = start_tls("--backend", engine.url).ready()

    def finished():
        admin = http.client.HTTPConnection(proxy.admin, timeout=DEADLINE)
        with contextlib.closing(admin):
            admin.request("GET", "/status")
            return json.loads(admin.getresponse().read())["requests"]["finished"]
    client = proxy.connect()
    client.sendall(b'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 29\r\n\r\n{"model":"m","prompt":"abcd"}')
    wait_until(lambda: engine.requests, "the request")
    client.close()
    wait_until(lambda: finished()["client_gone"] == 1, "its leaving")
    has_left.append(True)


def test_files_and_batches_work(secured):
    lines = "".join(json.dumps({"custom_id": f"q{i}", "method": "POST", "url": "/v1/completions", "body": body(f"p{i}")}) + "\n"
                    for i in range(5))
    form = ("--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
            f"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"q.jsonl\"\r\n\r\n{lines}\r\n--b--\r\n")
    with secured.client() as client:
        client.request("POST", "/v1/files", form, {"content-type": "multipart/form-data; boundary=b"})
        response = client.getresponse()
        text = response.read()
        assert response.status == 200, text
    file_id = json.loads(text)["id"]
    _, text = secured.ask("/v1/batches", {"input_file_id": file_id, "endpoint": "/v1/completions",
                                          "completion_window": "24h"})
    batch = json.loads(text)["id"]
    done = wait_until(lambda: (lambda b: b if b["status"] == "completed" else None)(
        json.loads(secured.ask(f"/v1/batches/{batch}")[1])), "the batch")
    assert done["request_counts"] == {"total": 5, "completed": 5, "failed": 0}
    _, text = secured.ask(f"/v1/files/{done['output_file_id']}/content")
    assert len(text.splitlines()) == 5


def test_a_drain_ends_what_is_under_way(start_tls, scripted):
    gate = []
    answer = json.dumps({"object": "text_completion", "choices": [{"index": 0, "text": "late"}]}).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)
    engine = scripted(lambda *_: [lambda: wait_until(lambda: gate, "the drain to begin"), reply])
    proxy = start_tls("--backend", engine.url).ready()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(proxy.ask, "/v1/completions", {"model": "m", "prompt": "x"})
        wait_until(lambda: engine.requests, "the request")
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any("stopping" in line for line in proxy.lines + proxy.errors), "the drain")
        gate.append(True)
        response, text = asked.result(DEADLINE)
    assert response.status == 200 and b"late" in text and response.getheader("connection") == "close"
    assert proxy.wait() == 0


def test_a_reload_reads_the_certificate_anew_and_refuses_a_bad_one(start_tls, start_engine, tmp_path):
    files = make_certificate(tmp_path / "own", "one")
    proxy = start_tls("--backend", start_engine().url, files=files).ready()

    def subject():
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        with proxy.connect(anyone) as client:
            return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True))
    assert subject() == files[0].read_text()
    kept = proxy.connect()
    old = files[0].read_text()
    files[0].write_text("no certificate")
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("cannot read a certificate" in line for line in proxy.errors), "the refusal")
    assert subject() == old
    make_certificate(tmp_path / "own", "two")
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: subject() == files[0].read_text() != old, "the new certificate")
    new = files[0].read_text()
    make_expired(tmp_path / "own")
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("expired on 2021-01-01" in line and "the one in use is kept" in line for line in proxy.errors),
               "the refusal of what has ended")
    assert subject() == new
    kept.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")  # who had connected goes on
    assert kept.recv(100).startswith(b"HTTP/1.1 200")
    kept.close()


@pytest.mark.parametrize("spoil, says", [
    (lambda cert, key: key.unlink(), "No such file"),
    (lambda cert, key: cert.write_text(""), "cannot read a certificate"),
    (lambda cert, key: key.write_text(make_certificate(key.parent / "other")[1].read_text()), "cannot use the key")])
def test_a_start_with_bad_files_ends_with_a_sentence(tmp_path, spoil, says):
    certificate, key = make_certificate(tmp_path / "own")
    spoil(certificate, key)
    ended = subprocess.run([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", "http://127.0.0.1:9",
                            "--tls-certificate", certificate, "--tls-key", key],
                           cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode != 0 and says in ended.stderr and "error" in ended.stderr, ended.stderr


def test_a_certificate_needs_a_key(tmp_path):
    ended = subprocess.run([PROXY, "--backend", "http://127.0.0.1:9", "--tls-certificate", "x.pem"],
                           cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 2 and "certificate needs key" in ended.stderr


def test_the_admin_address_speaks_tls_beyond_loopback(start_tls, start_engine):
    proxy = start_tls("--backend", start_engine().url, "--admin", "0.0.0.0:0", "--allow-unauthenticated").ready()
    port = int(re.search(r":(\d+)$", proxy.admin)[1])
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE, context=proxy.context)) as client:
        for _ in range(2):
            client.request("GET", "/status")
            response = client.getresponse()
            assert response.status == 200 and json.loads(response.read())["requests"]
        # The page there, and its stream, which ends with the proxy: see start_tls.
        origin = f"https://127.0.0.1:{port}"
        client.request("GET", "/ui/events", headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
        events = client.getresponse()
        assert events.status == 200
        while not events.readline().startswith(b"id: 2"):
            pass
        assert json.loads(events.readline().removeprefix(b"data: "))["state"] == "ready"


@pytest.fixture
def behind_tls(start_engine, tmp_path):
    """behind_tls(certificate, key): a simulated engine behind a batchproxy that speaks TLS; its port."""
    made = []

    def start(files):
        folder = tmp_path / f"front-{len(made)}"
        folder.mkdir()
        flags = ["--tls-certificate", files[0], "--tls-key", files[1]]
        made.append(TlsProxy(folder, files[0], "--backend", start_engine().url, *flags))
        made[-1].context.check_hostname, made[-1].context.verify_mode = False, ssl.CERT_NONE
        return made[-1].ready()

    yield start
    for proxy in made:
        proxy.stop()


def config_of(tmp_path, backends, **keys):
    path = tmp_path / "backends.yaml"
    path.write_text(json.dumps({"batchproxy": {"backends": backends, **keys}}))
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_engine_behind_tls_serves(start_proxy, behind_tls, certificate, tmp_path, host):
    engine = behind_tls(certificate)
    config = config_of(tmp_path, [{"url": f"https://{host}:{engine.port}"}], tls={"ca_file": str(certificate[0])})
    proxy = start_proxy("--config", config).ready(1)
    assert proxy.status()["backends"][0]["url"] == f"https://{host}:{engine.port}"
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: complete(proxy.url, f"p{i}")[0].status, range(60)))
    assert answers == [200] * 60
    response, text = call(proxy.url, "/v1/completions", body(max_tokens=50, stream=True))
    assert response.status == 200 and text.rstrip().endswith(b"data: [DONE]")


def test_an_engine_with_a_wrong_certificate_is_not_ready_and_says_why(start_proxy, behind_tls, certificate, tmp_path):
    # Another name; another signer; one that has expired.
    wrong_name = make_certificate(tmp_path / "name", "elsewhere", names="DNS:elsewhere")
    expired = make_expired(tmp_path / "expired")
    engines = [behind_tls(files) for files in (wrong_name, certificate, expired)]
    backends = [{"url": f"https://127.0.0.1:{engine.port}", "ca_file": str(ca)} for engine, ca in
                zip(engines, (wrong_name[0], wrong_name[0], expired[0]))]
    proxy = start_proxy("--config", config_of(tmp_path, backends))

    def problems():
        return [backend.get("problem") or "" for backend in proxy.status()["backends"]]
    for number, says in enumerate(("is for elsewhere and not for 127.0.0.1", "is self-signed, and not trusted here",
                                   "expired on 2021-01-01")):
        wait_until(lambda: says in problems()[number], f"{says} in {problems()}")


def test_a_plain_engine_behind_https_is_not_ready(start_proxy, start_engine, tmp_path):
    port = start_engine().url.rsplit(":", 1)[1]
    proxy = start_proxy("--config", config_of(tmp_path, [{"url": f"https://127.0.0.1:{port}"}]))
    wait_until(lambda: "GET /health: it does not speak TLS: begin its URL with http://"
               in (proxy.status()["backends"][0].get("problem") or ""), "the problem")


def test_a_missing_ca_file_is_told(tmp_path):
    config = config_of(tmp_path, [{"url": "https://127.0.0.1:9"}], tls={"ca_file": str(tmp_path / "none.pem")})
    ended = subprocess.run([PROXY, "--config", config], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 2 and "none.pem: No such file" in ended.stderr, ended.stderr
