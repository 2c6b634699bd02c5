"""Benchmark clients in front of a real vLLM: what they count of its answers is the same through batchproxy."""
import json

import pytest

from .compatibility import VLLM, row
from .vllm.engines import command

pytestmark = pytest.mark.full("benchmarks")
REQUESTS = 24
AT_ONCE = 4
INPUT, OUTPUT = 48, 8  # tokens


def guidellm(url, endpoint, model, out):
    """Every request of a run that names no model, in the order of prompts; what else the report counts."""
    backend = {"kind": "openai_http", "target": url, "request_format": endpoint, "extras": {"body": {"temperature": 0}}}
    data = {"kind": "synthetic_text", "prompt_tokens": INPUT, "output_tokens": OUTPUT}
    command("guidellm", "run", "--backend", json.dumps(backend), "--data", json.dumps(data),
            "--profile", f"kind=concurrent,streams={AT_ONCE}", "--constraint", f"kind=max_requests,count={REQUESTS}",
            "--tokenizer", f"kind=huggingface_auto,model={model}", "--output", f"kind=json,path={out}",
            "--disable-console")
    (report,) = json.loads(out.read_text())["benchmarks"]
    requests = [(json.loads(one["request_args"])["body"], one["output"], one["prompt_tokens"], one["output_tokens"])
                for one in report["requests"]["successful"]]
    return sorted(requests, key=str), report["metrics"]["request_totals"]


@pytest.mark.parametrize("endpoint", [
    pytest.param(endpoint, marks=row("guidellm", endpoint, f"{REQUESTS} streams, {AT_ONCE} at once", VLLM))
    for endpoint in ("/v1/chat/completions", "/v1/completions", "/v1/responses")])
def test_guidellm(vllm_pair, vllm_model, tmp_path, endpoint):
    direct, totals = guidellm(vllm_pair.direct, endpoint, vllm_model, tmp_path / "direct.json")
    assert totals == {"successful": REQUESTS, "errored": 0, "incomplete": 0, "total": REQUESTS}
    assert len({str(body) for body, *_ in direct}) == REQUESTS and all(tokens == OUTPUT for *_, tokens in direct)
    assert guidellm(vllm_pair.proxied, endpoint, vllm_model, tmp_path / "proxied.json") == (direct, totals)


def bench(url, backend, endpoint, model, folder):
    """The report of `vllm bench serve`, without its times."""
    command("vllm", "bench", "serve", "--backend", backend, "--endpoint", endpoint, "--base-url", url,
            "--dataset-name", "random", "--input-len", str(INPUT), "--output-len", str(OUTPUT), "--ignore-eos",
            "--num-prompts", str(REQUESTS), "--max-concurrency", str(AT_ONCE), "--tokenizer", model,
            "--temperature", "0", "--save-result", "--save-detailed", "--result-dir", folder,
            "--result-filename", "result.json", "--disable-tqdm")
    report = json.loads((folder / "result.json").read_text())
    return {key: report[key] for key in ("model_id", "completed", "failed", "errors", "total_input_tokens",
                                         "total_output_tokens", "input_lens", "output_lens", "generated_texts")}


@pytest.mark.parametrize("backend, endpoint", [
    pytest.param(backend, endpoint, marks=row(
        "vllm bench serve", endpoint, f"{REQUESTS} streams, {AT_ONCE} at once, `--backend {backend}`", VLLM))
    for backend, endpoint in (("openai", "/v1/completions"), ("openai-chat", "/v1/chat/completions"))])
def test_vllm_bench(vllm_pair, vllm_model, tmp_path, backend, endpoint):
    direct, proxied = tmp_path / "direct", tmp_path / "proxied"
    expected = bench(vllm_pair.direct, backend, endpoint, vllm_model, direct)
    assert (expected["completed"], expected["failed"]) == (REQUESTS, 0)
    assert expected["output_lens"] == [OUTPUT] * REQUESTS
    assert bench(vllm_pair.proxied, backend, endpoint, vllm_model, proxied) == expected
