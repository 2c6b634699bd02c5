"""Certificates that are wrong, ours and others': each is told in words, with what to do, and costs nobody else anything."""
import contextlib
import http.client
import http.server
import json
import os
import re
import resource
import signal
import ssl
import subprocess
import threading

import pytest

from tests.support.asking import call
from tests.support.builds import PROXY, is_sanitized
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import MODELS

from .test_tls import behind_tls, body, certificate, config_of, make_certificate, make_expired, start_tls  # noqa: F401 (fixtures)


def check(tmp_path, *words, **keys):
    config = config_of(tmp_path, [{"url": "http://127.0.0.1:9"}], **keys)
    return subprocess.run([PROXY, "check", *words, config], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)


def tls_of(files):
    return {"tls": {"certificate": str(files[0]), "key": str(files[1])}}


def unreadable(path):
    path.unlink()
    path.mkdir()  # for root, too


@pytest.mark.parametrize("spoil, says", [
    (lambda cert, key: cert.unlink(), "cannot read .*cert.pem: No such file or directory"),
    (lambda cert, key: unreadable(key), "cannot read .*key.pem: it is a directory"),
    (lambda cert, key: cert.write_text("nothing"), "cannot read a certificate from .*cert.pem: there is none in PEM form"),
    (lambda cert, key: key.write_text(make_certificate(key.parent / "other")[1].read_text()),
     "cannot use the key in .*key.pem with the certificate in .*cert.pem: they do not belong together")])
def test_check_says_what_is_wrong_with_our_own_files(tmp_path, spoil, says):
    files = make_certificate(tmp_path / "own")
    spoil(*files)
    done = check(tmp_path, **tls_of(files))
    assert done.returncode == 2 and re.search(r"backends.yaml:\d+:\d+: error: tls: " + says, done.stderr), done.stderr


def test_check_warns_of_a_certificate_that_ends_soon_or_has_ended(tmp_path):
    files = make_certificate(tmp_path / "own")  # for two days
    done = check(tmp_path, **tls_of(files))
    assert done.returncode == 0 and "usable; see the warnings above" in done.stderr, done.stderr
    assert re.search(r"warning: tls: the certificate in .*cert.pem expires in 1 day, on \d{4}-", done.stderr), done.stderr
    assert check(tmp_path, "--strict", **tls_of(files)).returncode == 2
    done = check(tmp_path, **tls_of(make_expired(tmp_path / "old")))
    assert "expired on 2021-01-01" in done.stderr and "renew it" in done.stderr, done.stderr


def test_check_reads_what_others_are_trusted_by_and_the_access_logs_place(tmp_path):
    done = check(tmp_path, tls={"ca_file": str(tmp_path / "none.pem")})
    assert done.returncode == 2 and re.search("error: tls.ca_file: cannot read .*none.pem: No such file", done.stderr), done.stderr
    done = check(tmp_path, access_log={"file": str(tmp_path / "none" / "x.log")})
    assert done.returncode == 0 and re.search("warning: access_log: .*x.log cannot be written.*No such file", done.stderr), done.stderr
    done = check(tmp_path, access_log={"file": str(tmp_path / "x.log")})
    assert "access_log" not in done.stderr and not (tmp_path / "x.log").exists(), "it is looked at, and not made"


def test_serving_warns_of_our_own_and_tells_when_it_ends(start_tls, start_engine, tmp_path):  # noqa: F811
    proxy = start_tls("--backend", start_engine().url, files=make_certificate(tmp_path / "own")).ready()
    wait_until(lambda: any("own/cert.pem expires in 1 day" in line for line in proxy.errors), "the warning")
    assert sum("expires in 1 day" in line for line in proxy.errors) == 1
    metrics = call(f"http://{proxy.admin}", "/metrics")[1].decode()
    ends = float(re.search(r"^batchproxy_tls_certificate_expires_seconds (\S+)$", metrics, re.M)[1])
    shown = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", tmp_path / "own" / "cert.pem"],
                           capture_output=True, text=True, check=True).stdout
    assert abs(ends - ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter="))) < 1


def certificate_of(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_a_refused_reload_leaves_both_addresses_their_certificate(start_tls, behind_tls, certificate, tmp_path):  # noqa: F811
    own = make_certificate(tmp_path / "own", "one")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(certificate[0].read_text())
    engine = behind_tls(certificate)
    config = config_of(tmp_path, [{"url": f"https://127.0.0.1:{engine.port}"}], tls={"ca_file": str(trusted)})
    proxy = start_tls("--config", config, "--admin", "0.0.0.0:0", "--allow-unauthenticated", files=own).ready()
    admin = int(re.search(r":(\d+)$", proxy.admin)[1])
    before = certificate_of(admin)
    assert before == certificate_of(proxy.port) == own[0].read_text()
    make_certificate(tmp_path / "own", "two")
    trusted.unlink()
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for_error("was not reloaded")
    proxy.wait_for_error("trusted.pem: No such file")
    assert certificate_of(admin) == certificate_of(proxy.port) == before
    trusted.write_text(certificate[0].read_text())
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: certificate_of(admin) == certificate_of(proxy.port) == own[0].read_text() != before, "the new one")


def test_a_client_is_told_why_no_backend_is_ready(start_proxy, behind_tls, tmp_path):  # noqa: F811
    expired = make_expired(tmp_path / "expired")
    engine = behind_tls(expired)
    config = config_of(tmp_path, [{"url": f"https://127.0.0.1:{engine.port}", "ca_file": str(expired[0])}], hold_timeout=0.5)
    proxy = start_proxy("--config", config)
    wait_until(lambda: "expired on 2021-01-01: it must be renewed there" in
               (proxy.status()["backends"][0].get("problem") or ""), "the reason")
    assert "expired on 2021-01-01" in proxy.status()["backends"][0]["last_problem"]["text"]
    wait_until(lambda: any("is not ready" in line and "expired on 2021-01-01" in line for line in proxy.errors), "the log")
    response, text = call(proxy.url, "/v1/completions", body())
    message = json.loads(text)["error"]["message"]
    assert response.status == 503 and f"Of 127.0.0.1:{engine.port} is known: GET /health: its certificate expired on" in message


class TlsEngine(http.server.ThreadingHTTPServer):
    """Is well and lists a model, behind the certificate of the moment: `show(files)`."""
    daemon_threads = True

    class Pages(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = {"/health": b"", "/v1/models": MODELS}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("Connection", "close")  # the next one shakes hands anew
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), self.Pages)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show(files)
        self.socket = self.context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def show(self, files):
        self.context.load_cert_chain(*files)

    def handle_error(self, *_):
        pass  # of clients who do not like the certificate


def test_an_engine_whose_certificate_expires_while_it_serves_is_told(start_proxy, tmp_path):
    files, expired = make_certificate(tmp_path / "own", "engine"), make_expired(tmp_path / "expired")
    both = tmp_path / "both.pem"
    both.write_text(files[0].read_text() + expired[0].read_text())
    with TlsEngine(files) as engine:
        config = config_of(tmp_path, [{"url": f"https://127.0.0.1:{engine.server_port}", "ca_file": str(both)}],
                           health_interval=0.2)
        proxy = start_proxy("--config", config).ready(1)
        engine.show(expired)
        wait_until(lambda: any("is not ready" in line and "expired on 2021-01-01" in line for line in proxy.errors),
                   "the reason")
        engine.shutdown()


# UBSan looks at memory by way of descriptors of its own.
@pytest.mark.skipif(is_sanitized(), reason="sanitizers need descriptors themselves")
def test_files_without_a_descriptor_are_answered_503(start_tls, start_engine):  # noqa: F811
    proxy = start_tls("--backend", start_engine().url, "--io-threads", "1").ready()
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=DEADLINE, context=proxy.context)) as client:
        client.request("GET", "/health")
        assert client.getresponse().read() is not None
        limits = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        # None is free from here on.
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{proxy.pid}/fd")) // 2, limits[1]))
        client.request("GET", "/v1/files")
        response = client.getresponse()
        text = response.read()
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, limits)
    assert response.status == 503 and json.loads(text)["error"]["code"] == "overloaded", text
    assert b"out of file descriptors" in text
    assert proxy.ask("/v1/files")[0].status == 200
