"""Requests of a job (x-batchproxy-job): answered from the record, one for all that ask the same, apart by job and key."""
import json
import signal
import socket
import subprocess
import threading

import pytest

from tests.support.asking import call, metrics
from tests.support.builds import PROXY
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import answer

JOB = {"x-batchproxy-job": "night"}
REPLAYED = "x-batchproxy-replayed"


class Counting:
    """Answers the n-th request with its number; waits for `gate` before each; `status` may be another."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.status = b"200 OK"
        self.asked = 0

    def __call__(self, number, request, connection):
        self.asked += 1
        self.gate.wait(DEADLINE)
        text = json.dumps({"object": "text_completion", "choices": [{"index": 0, "text": f"answer {number}"}]})
        return answer(text.encode(), self.status)


@pytest.fixture
def engine():
    script = Counting()
    engine = ScriptedEngine(script)
    engine.counting = script
    yield engine
    script.gate.set()
    engine.close()


@pytest.fixture
def start(start_proxy, tmp_path, engine):
    def start(*flags, **keys):
        config = tmp_path / "proxy.yaml"
        config.write_text(json.dumps({"batchproxy": {"backends": [{"url": engine.url, "max_num_seqs": 4}],
                                                     "jobs": {"directory": str(tmp_path / "jobs"), **keys.pop("jobs", {})},
                                                     **keys}}))
        return start_proxy("--config", config, *flags).ready(1)

    return start


def ask(proxy, prompt="p", headers=JOB, **fields):
    body = json.dumps({"model": "m", "prompt": prompt, "temperature": 0, **fields}).encode()
    response, text = call(proxy.url, "/v1/completions", body, headers)
    return response.status, response.headers.get(REPLAYED), text


def received(proxy):
    return metrics(proxy.admin)["batchproxy_requests_received_total"]


def test_what_was_answered_is_not_asked_again_even_after_a_kill(start, engine):
    proxy = start()
    first = ask(proxy)
    assert first[:2] == (200, None)
    again = ask(proxy)
    assert again == (200, "true", first[2])
    assert engine.counting.asked == 1
    assert metrics(proxy.admin)["batchproxy_requests_replayed_total"] == 1
    told = wait_until(lambda: proxy.status()["recorded_jobs"], "the job")
    assert told[0]["name"] == "night" and metrics(proxy.admin)["batchproxy_recorded_jobs"] == 1
    wait_until(lambda: (lambda job: (job["recorded"], job["replayed"], job["under_way"]) == (1, 1, 0))(
        proxy.status()["recorded_jobs"][0]), "its counts")
    proxy.stop(signal.SIGINT)
    proxy = start()
    assert ask(proxy) == again
    proxy.kill()
    proxy = start()
    assert ask(proxy) == again
    assert engine.counting.asked == 1


def test_each_job_body_and_path_is_asked_for_itself(start, engine):
    proxy = start()
    ask(proxy)
    assert ask(proxy, headers={"x-batchproxy-job": "day"})[1] is None
    assert ask(proxy, max_tokens=5)[1] is None
    assert ask(proxy, prompt="q")[1] is None
    body = json.dumps({"model": "m", "prompt": "p", "temperature": 0}).encode()
    response, _ = call(proxy.url, "/v1/chat/completions", body, JOB)
    assert response.headers.get(REPLAYED) is None
    assert engine.counting.asked == 5


@pytest.mark.parametrize("fields, headers", [
    ({"temperature": 0.7}, JOB), ({"temperature": None}, JOB), ({}, {})],
    ids=["other answers each time", "no temperature", "no job"])
def test_others_are_asked_each_time(start, engine, fields, headers):
    proxy = start()
    answers = [ask(proxy, headers=headers, **fields) for _ in range(2)]
    assert answers[0][2] != answers[1][2] and engine.counting.asked == 2


def test_a_seed_is_as_good_as_temperature_0(start, engine):
    proxy = start()
    assert ask(proxy, temperature=0.7, seed=1)[1] is None
    assert ask(proxy, temperature=0.7, seed=1)[1] == "true"


def test_equal_requests_in_flight_share_one_answer(start, engine):
    proxy = start()
    engine.counting.gate.clear()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(proxy))) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: received(proxy) == 8, "the eighth request")
    engine.counting.gate.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert len({text for _, _, text in answers}) == 1 and engine.counting.asked == 1
    assert sorted(str(replayed) for _, replayed, _ in answers) == ["None"] + ["true"] * 7
    proxy.assert_balanced()
    seen = metrics(proxy.admin)
    assert seen['batchproxy_requests_finished_total{result="ok"}'] == 8 and seen["batchproxy_requests_queued"] == 0


def test_when_the_first_gets_no_good_answer_the_next_asks(start, engine):
    proxy = start()
    engine.counting.status = b"400 Bad Request"
    assert ask(proxy)[0] == 400
    engine.counting.status = b"200 OK"
    assert ask(proxy)[:2] == (200, None)
    assert ask(proxy)[1] == "true"


def test_a_client_that_leaves_leaves_its_place_to_the_next(start, engine):
    proxy = start()
    engine.counting.gate.clear()
    body = json.dumps({"model": "m", "prompt": "p", "temperature": 0}).encode()
    host, port = proxy.url.removeprefix("http://").split(":")
    leaver = socket.create_connection((host, int(port)))
    leaver.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nx-batchproxy-job: night\r\ncontent-length: %d\r\n\r\n"
                   % len(body) + body)
    wait_until(lambda: engine.counting.asked == 1, "the first call")
    answers = []
    stayer = threading.Thread(target=lambda: answers.append(ask(proxy)))
    stayer.start()
    wait_until(lambda: received(proxy) == 2, "the second request")
    leaver.close()
    wait_until(lambda: engine.counting.asked == 2, "the second call")
    engine.counting.gate.set()
    stayer.join(DEADLINE)
    assert answers[0][:2] == (200, None)
    wait_until(lambda: metrics(proxy.admin)['batchproxy_requests_finished_total{result="client_gone"}'] == 1,
               "the end of the first")


def test_an_api_keys_requests_may_be_a_job_and_never_anothers(start, engine, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alice alices-key-0123456789\nbob bobs-key-9876543210\n")
    keys.chmod(0o600)
    proxy = start(api_keys_file=str(keys), jobs={"by_key": True})
    alice = {"Authorization": "Bearer alices-key-0123456789"}
    bob = {"Authorization": "Bearer bobs-key-9876543210"}
    assert ask(proxy, headers=alice)[:2] == (200, None)
    assert ask(proxy, headers=alice)[1] == "true"
    assert ask(proxy, headers=bob)[1] is None
    assert ask(proxy, headers={**bob, "x-batchproxy-job": "alice"})[1] is None


def test_a_name_that_is_none_is_refused(start):
    proxy = start()
    for name in ("", "two words", "x" * 129):
        status, _, text = ask(proxy, headers={"x-batchproxy-job": name})
        assert status == 400 and b"x-batchproxy-job" in text


def test_a_record_that_cannot_be_kept_costs_no_answer(start, engine, tmp_path):
    (tmp_path / "jobs").write_text("a file stands where the folder should be")
    proxy = start()
    assert ask(proxy)[:2] == (200, None)
    assert ask(proxy)[0] == 200
    wait_until(lambda: "not recorded" in proxy.output(), "the log's word of it")
    wait_until(lambda: metrics(proxy.admin)["batchproxy_requests_unrecorded_total"] > 0, "the count of it")


def test_records_are_pruned_by_their_age_once_no_proxy_has_them(start, engine, tmp_path):
    proxy = start()
    assert ask(proxy)[:2] == (200, None)
    wait_until(lambda: ask(proxy)[1] == "true", "the record")

    def prune(age):
        return subprocess.run([PROXY, "--config", tmp_path / "proxy.yaml", "jobs", "prune", "--older-than", age], capture_output=True,
                              text=True, check=False)
    held = prune("0h")
    assert held.returncode == 1 and f"recorded.db is in use by process {proxy.pid}" in held.stderr
    proxy.stop(signal.SIGTERM)
    assert " 0 recorded answers" in prune("1h").stdout
    pruned = prune("0h")
    assert pruned.returncode == 0 and " 1 recorded answers forgotten" in pruned.stdout, pruned.stderr
    assert ask(start())[1] is None
