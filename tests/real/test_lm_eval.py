"""lm-evaluation-harness: four engines behind batchproxy give the scores, and the samples, of one asked directly."""
import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

from .compatibility import LLAMA, SIMULATED, row
from .servers import HERE, LLAMA_MODEL, ROOT, SIM_MODEL, proxy_before, running_llama, running_sim

CONCURRENT = 32
ENGINES = 4


def evaluate(url, model, endpoint, task, out, *flags, **model_args):
    """lm_eval's scores, every sample's answers, and the seconds it took."""
    kind = "local-chat-completions" if "chat" in endpoint else "local-completions"
    arguments = {"model": model, "base_url": url + endpoint, "num_concurrent": CONCURRENT,
                 "max_retries": 1, **model_args}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", kind,
         "--model_args", ",".join(f"{key}={value}" for key, value in arguments.items()),
         "--tasks", task, "--include_path", HERE / "lm_eval_tasks", "--output_path", out, "--log_samples", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "HF_HOME": str(out / "cache"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"})
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = out.glob("*/results_*.json")
    (samples,) = out.glob("*/samples_*.jsonl")
    parsed = json.loads(results.read_text())
    answers = {sample["doc_id"]: sample["resps"] for sample in map(json.loads, samples.read_text().splitlines())}
    return parsed["results"][task], answers, seconds, float(parsed["total_evaluation_time_seconds"])


def compare(tmp_path, engine, running, model, *call, **model_args):
    """Evaluates directly and through batchproxy, prints both, and returns the scores if they are equal."""
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(running()).url for _ in range(ENGINES)]
        proxy = stack.enter_context(proxy_before(tmp_path, *urls))
        outcomes = {}
        for name, url in (("direct", urls[0]), ("batchproxy", proxy.url)):
            endpoint, task, *flags = call
            outcomes[name] = evaluate(url, model, endpoint, task, tmp_path / name, *flags, **model_args)
            scores, answers, seconds, evaluation = outcomes[name]
            numbers = {key: value for key, value in scores.items() if isinstance(value, float) and "stderr" not in key}
            print(f"\n{task} on {engine}, {name}: {numbers}, {len(answers)} questions, "
                  f"{seconds:.1f} s, of it evaluating {evaluation:.1f} s")
        assert len(outcomes["direct"][1]) == 151
        assert outcomes["batchproxy"][:2] == outcomes["direct"][:2]
        return outcomes["direct"][0]


@pytest.mark.full("lm_eval")
@row("lm-evaluation-harness", "/v1/completions", "`generate_until`, `num_concurrent=32`", LLAMA)
def test_generation_on_llama(tmp_path, model_file):
    compare(tmp_path, LLAMA, lambda: running_llama(tmp_path, model_file), LLAMA_MODEL, "/v1/completions",
            "questions_generation", tokenizer_backend="None", tokenized_requests=False)


@pytest.mark.full("lm_eval")
@row("lm-evaluation-harness", "/v1/chat/completions", "`generate_until`, `num_concurrent=32`", SIMULATED)
def test_generation_on_simulated_engines(tmp_path):
    scores = compare(tmp_path, SIMULATED, lambda: running_sim(tmp_path), SIM_MODEL, "/v1/chat/completions",
                     "questions_generation", "--apply_chat_template")
    assert 0 < scores["exact_match,letter"] < 1


@pytest.mark.full("lm_eval")
@row("lm-evaluation-harness", "/v1/completions",
     "`multiple_choice` (`echo`, `logprobs`, `/tokenize`), `num_concurrent=32`", SIMULATED)
def test_multiple_choice_on_simulated_engines(tmp_path):
    scores = compare(tmp_path, SIMULATED, lambda: running_sim(tmp_path, "--enable-tokenizer-info-endpoint"), SIM_MODEL,
                     "/v1/completions", "questions_choice", tokenizer_backend="remote")
    assert 0 < scores["acc,none"] < 1
