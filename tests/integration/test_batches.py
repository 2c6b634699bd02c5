"""Batches over files: each request asked once, through bad lines, kills and cancels; and who goes first."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

from .test_files import get, upload

COMPLETIONS = "/v1/completions"
OVER = {"completed", "failed", "expired", "cancelled"}
# An engine that needs half a minute for 2,000 lines: what a test must see before the end is seen on any machine.
SLOW = ("--max-num-seqs", "4", "--sim-time-scale", "1")


def line(key, url=COMPLETIONS, **fields):
    body = {"model": MODEL, "prompt": f"question {key}", "max_tokens": 3, **fields}
    return json.dumps({"custom_id": key, "method": "POST", "url": url, "body": body})


def lines(count):
    return [line(f"q{i}") for i in range(count)]


def post(url, path, body=None, headers=None):
    response, text = call(url, path, body or b"", headers, "POST")
    return response.status, json.loads(text)


def create(url, requests, headers=None, **fields):
    _, file = upload(url, "\n".join(requests).encode(), headers)
    return post(url, "/v1/batches", {"input_file_id": file["id"], "endpoint": COMPLETIONS, "completion_window": "24h",
                                     **fields}, headers)


def batch_of(url, batch, headers=None):
    status, body = get(url, f"/v1/batches/{batch['id']}", headers)
    assert status == 200, body
    return body


def wait_for(url, batch, headers=None):
    def over():
        now = batch_of(url, batch, headers)
        return now if now["status"] in OVER else None
    return wait_until(over, "the batch's end", 60)


def read_lines(url, file_id):
    text = call(url, f"/v1/files/{file_id}/content")[1].decode()
    return [json.loads(one) for one in text.splitlines()]


def keys(found):
    return sorted(one["custom_id"] for one in found)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def start(start_proxy, state):
    """start(engine, *flags): a proxy that keeps its batches in the test's folder."""
    return lambda engine, *flags: start_proxy("--backend", engine.url, *flags, env={"XDG_STATE_HOME": str(state)})


@pytest.mark.parametrize("count", [500, 5000])
def test_a_batch_with_lines_that_the_engine_refuses(start, start_engine, state, count):
    proxy = start(start_engine()).ready(1)
    requests = lines(count)
    for i in range(0, count, 50):
        requests[i] = line(f"q{i}", max_tokens="many")
    status, batch = create(proxy.url, requests, metadata={"name": "night"})
    assert status == 200
    assert batch.items() >= {"object": "batch", "endpoint": COMPLETIONS, "completion_window": "24h",
                             "metadata": {"name": "night"}, "errors": None, "output_file_id": None}.items()
    done = wait_for(proxy.url, batch)
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": count, "completed": count - count // 50, "failed": count // 50}
    assert done["created_at"] <= done["in_progress_at"] <= done["finalizing_at"] <= done["completed_at"]
    output, errors = (read_lines(proxy.url, done[f"{kind}_file_id"]) for kind in ("output", "error"))
    bad = [f"q{i}" for i in range(0, count, 50)]
    assert keys(errors) == sorted(bad)
    assert keys(output) == sorted({f"q{i}" for i in range(count)} - set(bad))
    assert {one["response"]["status_code"] for one in output} == {200}
    assert {one["response"]["status_code"] for one in errors} == {400}
    assert output[0].keys() == {"id", "custom_id", "response", "error"}
    asked = complete(proxy.url, f"question {output[0]['custom_id']}", max_tokens=3)[1]
    assert output[0]["response"]["body"]["choices"] == asked["choices"]
    assert len({one["id"] for one in output + errors}) == count
    _, file = get(proxy.url, f"/v1/files/{done['output_file_id']}")
    assert file["purpose"] == "batch_output" and file["filename"] == f"{batch['id']}_output.jsonl"
    assert not list((state / "batchproxy/jobs/ledgers").iterdir())


def test_lines_that_are_no_requests_fail_the_batch_before_anything_is_asked(start, start_engine):
    engine = start_engine()
    proxy = start(engine).ready(1)
    requests = lines(20)
    requests[3], requests[7], requests[11] = "{", line("q1"), line("q11", url="/v1/embeddings")
    done = wait_for(proxy.url, create(proxy.url, requests)[1])
    assert done["status"] == "failed" and done["failed_at"] and not done["output_file_id"]
    assert [(one["line"], one["code"]) for one in done["errors"]["data"]] == [
        (4, "invalid_json_line"), (8, "duplicate_custom_id"), (12, "mismatched_endpoint")]
    assert proxy.metrics()["batchproxy_requests_received_total"] == 0


def test_a_batch_goes_on_after_a_kill(start, start_engine):
    engine = start_engine("--max-num-seqs", "8")
    proxy = start(engine).ready(1)
    _, batch = create(proxy.url, lines(400))
    for answered in (50, 150, 250):
        wait_until(lambda: batch_of(proxy.url, batch)["request_counts"]["completed"] >= answered, "some answers")
        proxy.stop(signal.SIGKILL)
        proxy = start(engine).ready(1)
    assert batch_of(proxy.url, batch)["request_counts"]["completed"] >= 250
    done = wait_for(proxy.url, batch)
    assert done["status"] == "completed" and done["request_counts"]["completed"] == 400
    assert keys(read_lines(proxy.url, done["output_file_id"])) == sorted(f"q{i}" for i in range(400))


def test_a_batch_goes_on_after_a_drain(start, start_engine):
    engine = start_engine("--max-num-seqs", "8")
    proxy = start(engine).ready(1)
    _, batch = create(proxy.url, lines(300))
    wait_until(lambda: batch_of(proxy.url, batch)["request_counts"]["completed"] >= 50, "some answers")
    proxy.stop(signal.SIGTERM)
    again = start(engine).ready(1)
    done = wait_for(again.url, batch)
    assert done["request_counts"] == {"total": 300, "completed": 300, "failed": 0}
    assert keys(read_lines(again.url, done["output_file_id"])) == sorted(f"q{i}" for i in range(300))


def test_status_tells_of_a_batch_until_it_is_over(start, start_engine):
    proxy = start(start_engine(*SLOW)).ready(1)
    _, batch = create(proxy.url, lines(2000))

    def told():
        jobs = proxy.status()["jobs"]
        return jobs and jobs[0]["done"] >= 20 and jobs[0]
    job = wait_until(told, "it is told")
    assert job["id"] == batch["id"] and job["status"] == "in_progress" and job["total"] == 2000 and job["failed"] == 0
    assert proxy.metrics()["batchproxy_jobs_unfinished"] == 1
    post(proxy.url, f"/v1/batches/{batch['id']}/cancel")
    wait_for(proxy.url, batch)
    wait_until(lambda: proxy.status()["jobs"] == [], "it is over")


def test_a_cancelled_batch_keeps_what_it_has(start, start_engine):
    proxy = start(start_engine(*SLOW)).ready(1)
    _, batch = create(proxy.url, lines(2000))
    wait_until(lambda: batch_of(proxy.url, batch)["request_counts"]["completed"] >= 20, "some answers")
    file = f"/v1/files/{batch['input_file_id']}"
    assert get(proxy.url, file, method="DELETE")[0] == 400  # it is needed
    status, cancelling = post(proxy.url, f"/v1/batches/{batch['id']}/cancel")
    assert status == 200 and cancelling["status"] == "cancelling" and cancelling["cancelling_at"]
    done = wait_for(proxy.url, batch)
    assert done["status"] == "cancelled" and done["cancelled_at"]
    counts = done["request_counts"]
    assert 20 <= counts["completed"] < 2000 and counts["failed"] == 0
    assert len(read_lines(proxy.url, done["output_file_id"])) == counts["completed"]
    assert post(proxy.url, f"/v1/batches/{batch['id']}/cancel")[0] == 400
    assert get(proxy.url, file, method="DELETE")[0] == 200


def test_a_batch_whose_window_is_over_keeps_what_it_has(start, start_engine):
    proxy = start(start_engine("--max-num-seqs", "1")).ready(1)
    requests = [line(f"q{i}", max_tokens=50) for i in range(2000)]
    done = wait_for(proxy.url, create(proxy.url, requests, completion_window="2s")[1])
    assert done["status"] == "expired" and done["expired_at"] >= done["expires_at"] == done["created_at"] + 2
    output, errors = (read_lines(proxy.url, done[f"{kind}_file_id"]) for kind in ("output", "error"))
    assert {one["error"]["code"] for one in errors} == {"batch_expired"}
    assert len(output) == done["request_counts"]["completed"] > 0
    assert keys(output + errors) == sorted(f"q{i}" for i in range(2000))


def test_a_batch_waits_for_its_engine(start, scripted):
    good = answer(b'{"id":"x","object":"text_completion","choices":[{"text":"A","index":0}]}')
    engine = scripted(lambda *_: good)
    engine.close()
    proxy = start(engine)
    _, batch = create(proxy.url, [line(f"q{i}", model="m") for i in range(3)])
    wait_until(lambda: batch_of(proxy.url, batch)["status"] == "in_progress", "its beginning")
    scripted(lambda *_: good, address=("127.0.0.1", int(engine.url.rsplit(":", 1)[1])))
    assert wait_for(proxy.url, batch)["request_counts"]["completed"] == 3


def test_batches_are_listed_and_belong_to_a_key(start, start_engine, tmp_path):
    file = tmp_path / "keys.txt"
    file.touch(0o600)
    file.write_text("alice alices-key-0123456789\nbob bobs-key-9876543210\n")
    proxy = start(start_engine(), "--api-keys-file", file).ready(1)
    alice, bob = ({"Authorization": f"Bearer {key}"} for key in ("alices-key-0123456789", "bobs-key-9876543210"))
    made = [create(proxy.url, lines(2), alice)[1] for _ in range(3)]
    for batch in made:
        assert wait_for(proxy.url, batch, alice)["status"] == "completed"  # its requests need no key
    _, page = get(proxy.url, "/v1/batches?limit=2", alice)
    assert [one["id"] for one in page["data"]] == [made[2]["id"], made[1]["id"]] and page["has_more"]
    _, rest = get(proxy.url, f"/v1/batches?limit=2&after={page['last_id']}", alice)
    assert [one["id"] for one in rest["data"]] == [made[0]["id"]] and not rest["has_more"]
    assert get(proxy.url, "/v1/batches", bob)[1]["data"] == []
    assert get(proxy.url, f"/v1/batches/{made[0]['id']}", bob)[0] == 404
    status, body = post(proxy.url, "/v1/batches", {"input_file_id": made[0]["input_file_id"], "endpoint": COMPLETIONS,
                                                   "completion_window": "24h"}, bob)
    assert (status, body["error"]["param"]) == (404, "input_file_id")


def test_the_mark_of_a_batch_cannot_be_guessed(start, start_engine, tmp_path):
    file = tmp_path / "keys.txt"
    file.touch(0o600)
    file.write_text("alice alices-key-0123456789\n")
    proxy = start(start_engine(), "--api-keys-file", file).ready(1)
    for mark in ("", "x", "0" * 64, "0" * 64 + "batch_1"):
        assert call(proxy.url, "/v1/models", headers={"x-batchproxy-internal": mark})[0].status == 401


def test_others_go_before_a_batch(start_proxy, state, tmp_path):
    """One slot, which a request of a batch has; more of the batch wait for it, and then another client does."""
    go = threading.Event()
    engine = ScriptedEngine(lambda number, *_: [lambda: number > 1 or go.wait(DEADLINE), answer()])
    engine.models = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
    config = tmp_path / "config.yaml"
    config.write_text(f"batch_timeout: 60\nbatchproxy:\n  backends: [{{url: '{engine.url}', max_num_seqs: 1}}]\n")
    proxy = start_proxy("--config", config, env={"XDG_STATE_HOME": str(state)}).ready(1)
    _, batch = create(proxy.url, lines(12))
    with contextlib.closing(engine), concurrent.futures.ThreadPoolExecutor(5) as pool:
        wait_until(lambda: proxy.status()["requests"]["queued"] == 11, "the batch in the queue")
        mine = [pool.submit(complete, proxy.url, f"mine {i}") for i in range(5)]
        wait_until(lambda: proxy.status()["requests"]["queued"] == 16, "mine in the queue")
        go.set()
        assert all(each.result()[0].status == 200 for each in mine)
        assert wait_for(proxy.url, batch)["request_counts"]["completed"] == 12
        assert ["mine" in str(request) for request in engine.requests] == [False] + 5 * [True] + 11 * [False]


def test_a_batch_whose_file_cannot_be_read_holds_up_no_one(start, start_engine, state):
    proxy = start(start_engine()).ready(1)
    _, file = upload(proxy.url, "\n".join(lines(3)).encode())
    next(state.rglob(file["id"])).unlink()
    _, batch = post(proxy.url, "/v1/batches",
                    {"input_file_id": file["id"], "endpoint": COMPLETIONS, "completion_window": "24h"})
    wait_until(lambda: "cannot be read" in proxy.output(), "the log's word of it")
    assert wait_for(proxy.url, create(proxy.url, lines(3))[1])["status"] == "completed"
    assert batch_of(proxy.url, batch)["status"] == "validating"
    assert proxy.output().count("cannot be read") < 3
    assert post(proxy.url, f"/v1/batches/{batch['id']}/cancel")[0] == 200


def test_a_batch_that_is_stopped_while_it_is_read_goes_on(start, start_engine):
    engine = start_engine("--sim-time-scale", "0.001")
    proxy = start(engine).ready(1)
    _, batch = create(proxy.url, lines(5000))
    proxy.stop(signal.SIGTERM)
    proxy = start(engine).ready(1)
    done = wait_for(proxy.url, batch)
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 5000, "completed": 5000, "failed": 0})
    assert len(set(keys(read_lines(proxy.url, done["output_file_id"])))) == 5000


def test_a_message_about_a_long_line_is_short(start, start_engine):
    proxy = start(start_engine()).ready(1)
    _, batch = create(proxy.url, [line("k" * 100_000), line("k" * 100_000)])
    failed = wait_for(proxy.url, batch)
    assert failed["status"] == "failed" and len(json.dumps(failed)) < 3000


def test_a_disk_that_fills_under_a_batch_loses_nothing(start, start_engine, state, tiny_disk):
    """It says so, waits, and goes on once there is room."""
    state.symlink_to(tiny_disk)
    proxy = start(start_engine("--max-num-seqs", "8")).ready(1)
    _, batch = create(proxy.url, lines(1000))
    wait_until(lambda: batch_of(proxy.url, batch)["request_counts"]["completed"], "some answers")
    (tiny_disk / "filler").write_bytes(b"x" * (os.statvfs(tiny_disk).f_bavail * 4096 - 40_000))
    wait_until(lambda: re.search(f"batch {batch['id']}: .*(is full|No space left)", proxy.output()), "a sentence", 60)
    now = batch_of(proxy.url, batch)
    assert now["status"] == "in_progress" and 0 < now["request_counts"]["completed"] < 1000
    (tiny_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", tiny_disk], check=True)
    done = wait_for(proxy.url, batch)
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 1000, "completed": 1000, "failed": 0}
    assert keys(read_lines(proxy.url, done["output_file_id"])) == sorted(f"q{i}" for i in range(1000))
