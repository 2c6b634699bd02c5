"""Four real engines and scoring workers in the shape of distllm's: every answer is the engine's own.

distllm opens a connection for each call, waits 120 s, never tries again, and takes the text of any
failure for the answer. BATCHPROXY_QUESTIONS names another file of questions."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import threading
import time

import pytest
import requests

from .compatibility import LLAMA, row
from .servers import LLAMA_MODEL, ROOT, launcher_config, proxy_before, running_llama, running_proxy, wait_until

WORKERS = 32
QUESTIONS = [json.loads(line) for line in pathlib.Path(
    os.environ.get("BATCHPROXY_QUESTIONS", ROOT / "configs" / "questions.jsonl")).read_text().splitlines()]


def prompt_of(question):
    context = f"Context:\n{question['passage']}\n\n" if question["passage"] else ""
    return "\n".join([f"{context}Question:\n{question['question']}", *question["options"]])


def post(url, path, body):
    response = requests.post(
        url + path, timeout=120, headers={"Authorization": "Bearer CELS", "Content-Type": "application/json"},
        json={"model": LLAMA_MODEL, "temperature": 0.0, "max_tokens": 12, **body})
    response.raise_for_status()
    return response


def ask(url, question):
    """The answer, or what distllm would take for one."""
    try:
        response = post(url, "/v1/chat/completions", {"messages": [{"role": "user", "content": prompt_of(question)}]})
        return response.json()["choices"][0]["message"]["content"]
    except requests.RequestException as error:
        return f"Error: {error}"


def complete(url, question):
    """The same through the other endpoint, whose requests can share a call."""
    try:
        return post(url, "/v1/completions", {"prompt": prompt_of(question)}).json()["choices"][0]["text"]
    except requests.RequestException as error:
        return f"Error: {error}"


def ask_all(url, workers=WORKERS, on_answer=lambda done: None, ask=ask):
    """Every question once: the answers in order."""
    done = 0
    lock = threading.Lock()

    def one(question):
        nonlocal done
        answer = ask(url, question)
        with lock:
            done += 1
            mine = done
        on_answer(mine)
        return answer

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, QUESTIONS))


def report(what, answers, direct, seconds):
    """One line for whoever runs pytest -s."""
    equal = sum(mine == theirs for mine, theirs in zip(answers, direct, strict=True))
    print(f"\n{what}: {equal}/{len(direct)} answers equal to the direct ones, {seconds:.1f} s")


@contextlib.contextmanager
def four_engines(cwd, model_file):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running_llama(cwd, model_file)) for _ in range(4)]


@pytest.fixture(scope="module")
def direct_answers(tmp_path_factory, model_file):
    """What one engine says when it is asked directly: the same both times, else nothing can be compared."""
    with running_llama(tmp_path_factory.mktemp("direct"), model_file) as engine:
        first, again = ask_all(engine.url, workers=1), ask_all(engine.url, workers=4)
    assert first == again
    assert not any(answer.startswith("Error:") for answer in first)
    assert len(set(first)) > 0.9 * len(first)  # another question's answer would be seen
    return first


@row("distllm's calls", "/v1/chat/completions", "32 workers, four engines that batchproxy starts", LLAMA)
def test_every_worker_gets_the_answer_of_a_direct_call(tmp_path, model_file, direct_answers):
    (tmp_path / "four.yaml").write_text(launcher_config(model_file, servers=4))
    with running_proxy(tmp_path, "--config", "four.yaml") as proxy:
        proxy.ready(4)
        started = time.monotonic()
        answers = ask_all(proxy.url)
        report("four engines", answers, direct_answers, time.monotonic() - started)
        assert answers == direct_answers
        status = proxy.status()
        assert status["requests"]["finished"]["ok"] == len(QUESTIONS)
        assert all(backend["answered"] for backend in status["backends"])


@row("distllm's calls", "/v1/chat/completions", "an engine is killed half-way and started again", LLAMA)
def test_the_same_while_an_engine_is_killed_and_started_again(tmp_path, model_file, direct_answers):
    with four_engines(tmp_path, model_file) as engines, \
            proxy_before(tmp_path, *[engine.url for engine in engines]) as proxy, \
            contextlib.ExitStack() as restarted:
        victim = engines[1]
        port = victim.url.rsplit(":", 1)[1]
        answered_by_the_dead = None

        def of_the_victim():
            return proxy.status()["backends"][1]

        def kill_and_restart(done):
            nonlocal answered_by_the_dead
            if done == len(QUESTIONS) // 2:
                victim.process.kill()
                victim.wait()
                answered_by_the_dead = of_the_victim()["answered"]
                restarted.enter_context(running_llama(tmp_path, model_file, "--port", port))

        started = time.monotonic()
        answers = ask_all(proxy.url, on_answer=kill_and_restart)
        report("one killed and restarted", answers, direct_answers, time.monotonic() - started)
        assert answers == direct_answers
        assert 0 < answered_by_the_dead < len(QUESTIONS) / 2
        wait_until(lambda: of_the_victim()["state"] == "ready", "the new engine to be taken in")
        answered_before = of_the_victim()["answered"]
        assert ask_all(proxy.url) == direct_answers
        assert of_the_victim()["answered"] > answered_before
        print(f"retried by batchproxy: {proxy.status()['requests']['retried']}; answered by the new engine, "
              f"asked all again: {of_the_victim()['answered'] - answered_before}")


@row("distllm's calls", "/v1/completions", "32 workers whose requests share calls (`merge: always`)", LLAMA,
     "`usage` is a share of the call's, marked `x-batchproxy-usage: apportioned`")
def test_answers_out_of_shared_calls_are_those_of_direct_ones(tmp_path, model_file):
    with four_engines(tmp_path, model_file) as engines:
        direct = ask_all(engines[0].url, workers=1, ask=complete)
        assert not any(answer.startswith("Error:") for answer in direct)
        (tmp_path / "merge.yaml").write_text(
            f"batchproxy: {{merge: always, backends: {json.dumps([engine.url for engine in engines])}}}\n")
        with running_proxy(tmp_path, "--config", "merge.yaml") as proxy:
            proxy.ready(4)
            started = time.monotonic()
            answers = ask_all(proxy.url, workers=128, ask=complete)
            report("shared calls", answers, direct, time.monotonic() - started)
            status = proxy.status()
            print(f"{status['requests']['merged']} of {len(direct)} requests shared {status['merged_calls']} calls")
            assert answers == direct
            assert status["requests"]["merged"] > 0
