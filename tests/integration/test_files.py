"""Files of clients: uploaded in a stream, listed, read and deleted; whose they are; what a restart and a crash leave."""
import json
import os
import signal
import socket
import subprocess

import pytest

from tests.support.asking import call
from tests.support.builds import is_sanitized
from tests.support.waiting import DEADLINE, wait_until

ALICE, BOB = "alices-key-0123456789", "bobs-key-9876543210"
BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(content, purpose="batch", filename="questions.jsonl"):
    """A form as openai's package sends it."""
    return (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n").encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def upload(url, content=b"{}\n", headers=None, **how):
    response, text = call(url, "/v1/files", form(content, **how), {**FORM, **(headers or {})})
    return response, json.loads(text)


def get(url, path, headers=None, method=None):
    response, text = call(url, path, headers=headers, method=method)
    return response.status, json.loads(text)


def refused(answer):
    response, body = answer
    return response.status, body["error"]["code"], response.headers["x-batchproxy-code"]


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def start(start_proxy, state):
    """start(*flags): a proxy that keeps its files in the test's folder. No engine is asked."""
    return lambda *flags: start_proxy("--backend", "http://127.0.0.1:9", *flags, env={"XDG_STATE_HOME": str(state)})


def test_a_file_is_uploaded_listed_read_and_deleted(start, state):
    proxy = start()
    assert not state.exists()  # nothing is made for those who never need it
    content = os.urandom(3_000_000)
    response, file = upload(proxy.url, content, filename='a "b".jsonl'.replace('"', "%22"))
    assert response.status == 200 and response.headers["connection"] == "close"
    assert file.items() >= {"object": "file", "bytes": len(content), "purpose": "batch", "status": "processed"}.items()
    path = f"/v1/files/{file['id']}"
    assert get(proxy.url, path) == (200, file)
    assert get(proxy.url, "/v1/files?purpose=batch")[1] == {
        "object": "list", "data": [file], "first_id": file["id"], "last_id": file["id"], "has_more": False}
    response, read = call(proxy.url, path + "/content")
    assert read == content and response.headers["content-type"] == "application/octet-stream"
    assert get(proxy.url, path, method="DELETE") == (200, {"id": file["id"], "object": "file", "deleted": True})
    assert get(proxy.url, path)[0] == get(proxy.url, path + "/content")[0] == 404
    assert get(proxy.url, "/v1/files")[1]["data"] == []
    assert not list((state / "batchproxy/jobs/files").iterdir())


def test_curl_uploads(start, tmp_path):
    """It asks whether to go on (Expect: 100-continue) before it sends so much."""
    proxy = start()
    path = tmp_path / "big.jsonl"
    path.write_bytes(b"x" * 5_000_000)
    text = subprocess.run(["curl", "-sS", "-f", f"{proxy.url}/v1/files", "-F", "purpose=batch", "-F", f"file=@{path}",
                           "-H", "Expect: 100-continue"], capture_output=True, timeout=DEADLINE, check=True).stdout
    assert json.loads(text)["bytes"] == 5_000_000


def test_lists_come_in_pages(start):
    proxy = start()
    ids = [upload(proxy.url)[1]["id"] for _ in range(3)]
    _, first = get(proxy.url, "/v1/files?limit=2")
    assert [file["id"] for file in first["data"]] == [ids[2], ids[1]] and first["has_more"]
    _, second = get(proxy.url, f"/v1/files?limit=2&after={first['last_id']}")
    assert [file["id"] for file in second["data"]] == [ids[0]] and not second["has_more"]
    assert get(proxy.url, "/v1/files?limit=0")[1]["error"]["param"] == "limit"
    assert get(proxy.url, "/v1/files?after=file-none")[0] == 404


def test_files_survive_a_kill(start, state):
    proxy = start()
    _, file = upload(proxy.url, b"kept")
    with socket.create_connection(("127.0.0.1", proxy.port)) as half:
        half.sendall(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                     b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                     b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + b"x" * 1000)
        uploads = state / "batchproxy/jobs/uploads"
        wait_until(lambda: list(uploads.iterdir()), "an upload under way")
        proxy.stop(signal.SIGKILL)
    again = start()
    assert get(again.url, f"/v1/files/{file['id']}") == (200, file)
    assert call(again.url, f"/v1/files/{file['id']}/content")[1] == b"kept"
    assert not list(uploads.iterdir())


def test_an_upload_that_breaks_off_leaves_nothing(start, state):
    proxy = start()
    uploads = state / "batchproxy/jobs/uploads"
    with socket.create_connection(("127.0.0.1", proxy.port)) as half:
        half.sendall(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                     b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        wait_until(lambda: uploads.exists() and list(uploads.iterdir()), "an upload under way")
    wait_until(lambda: not list(uploads.iterdir()), "its end")
    assert get(proxy.url, "/v1/files")[1]["data"] == []


def test_nobody_sees_the_files_of_another(start, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.touch(0o600)
    keys.write_text(f"alice {ALICE}\nbob {BOB}\n")
    proxy = start("--api-keys-file", keys)
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in (ALICE, BOB))
    assert call(proxy.url, "/v1/files")[0].status == 401
    _, file = upload(proxy.url, headers=alice)
    path = f"/v1/files/{file['id']}"
    assert get(proxy.url, path, alice)[0] == 200
    assert get(proxy.url, path, bob)[0] == get(proxy.url, path + "/content", bob)[0] == 404
    assert get(proxy.url, path, bob, method="DELETE")[0] == 404
    assert get(proxy.url, "/v1/files", bob)[1]["data"] == []


def test_what_is_no_upload_is_refused(start):
    proxy = start()
    assert refused(upload(proxy.url, purpose="fine-tune")) == (400, "invalid_request", "invalid_request")
    assert upload(proxy.url, purpose="fine-tune")[1]["error"]["param"] == "purpose"
    for body, headers in [(b"{}", {}), (b"--x", FORM), (form(b"").replace(b'name="file"', b'name="fil"'), FORM)]:
        response, text = call(proxy.url, "/v1/files", body, headers)
        assert (response.status, json.loads(text)["error"]["code"]) == (400, "invalid_request")
    response, _ = call(proxy.url, "/v1/files", b"", method="PUT")
    assert response.status == 405 and response.headers["allow"] == "GET, POST, OPTIONS"


def test_files_have_a_quota(start, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("batchproxy:\n  jobs: {max_bytes: 1048576}\n")
    proxy = start("--config", config)
    _, first = upload(proxy.url, b"x" * 700_000)
    assert refused(upload(proxy.url, b"x" * 700_000)) == (413, "quota_exceeded", "quota_exceeded")
    get(proxy.url, f"/v1/files/{first['id']}", method="DELETE")
    assert upload(proxy.url, b"x" * 700_000)[0].status == 200


def test_two_proxies_do_not_share_a_folder(start):
    upload(start().url)
    second = start()
    wait_until(lambda: "files and batches cannot be used" in second.output(), "a warning")
    response, body = upload(second.url)
    assert (response.status, body["error"]["code"]) == (503, "jobs_unavailable")
    assert "is in use by process" in body["error"]["message"]


def test_a_file_is_not_held_in_memory(start):
    proxy = start()
    upload(proxy.url)

    def resident():
        status = open(f"/proc/{proxy.process.pid}/status").read()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    before = resident()
    assert upload(proxy.url, b"x" * 100_000_000)[0].status == 200
    assert call(proxy.url, "/v1/files", form(b"{}") + b"x" * 100_000_000, FORM)[0].status == 200  # behind the form
    assert resident() - before < 20_000 or is_sanitized()  # KiB; a sanitizer keeps freed memory


def test_uploads_in_parallel_share_what_is_free(start, state, tmp_path):
    """The one that was first sees what the second has taken meanwhile."""
    config = tmp_path / "config.yaml"
    config.write_text("batchproxy:\n  jobs: {max_bytes: 1048576}\n")
    proxy = start("--config", config)
    part = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' \
           b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    content = b"x" * 700_000
    with socket.create_connection(("127.0.0.1", proxy.port)) as first:
        first.sendall(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                      b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" % (len(part) + 700_011) + part + b"x")
        uploads = state / "batchproxy/jobs/uploads"
        wait_until(lambda: uploads.exists() and list(uploads.iterdir()), "an upload under way")
        assert upload(proxy.url, content)[0].status == 200
        first.sendall(content[1:] + b"\r\n--b--\r\n")
        assert first.makefile("rb").readline().startswith(b"HTTP/1.1 413")
    assert sum(file["bytes"] for file in get(proxy.url, "/v1/files")[1]["data"]) == 700_000
