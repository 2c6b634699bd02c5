"""`batchproxy diagnose` on the logs of a real vLLM that fails: each failure is provoked here."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from tests.support.asking import call
from tests.support.builds import PROXY
from tests.support.waiting import alive, wait_until

from .engines import BIN, ENVIRONMENT, MODEL, SETTINGS, START, as_flags

pytestmark = pytest.mark.full("vllm")


def diagnose(log):
    told = subprocess.run([PROXY, "diagnose", log, "--json"], capture_output=True, timeout=60, check=True)
    return json.loads(told.stdout)


@pytest.fixture
def failing(vllm_template, tmp_path):
    """`failing(model, *flags)`: what is told of a vLLM with these, once it has ended by itself."""
    started = []

    def start(model, *flags, port=None):
        log = tmp_path / "engine.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = port or free.getsockname()[1]
        arguments = [str(model), "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port),
                     *as_flags(SETTINGS), *flags]
        started.append(vllm_template.fork(arguments, {}, log))
        wait_until(lambda: not alive(started[-1]), f"the end of vLLM: see {log}", START)
        return diagnose(log)

    yield start
    for pid in started:
        if alive(pid):
            os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def broken_model(vllm_model, tmp_path):
    """A copy of the model to break."""
    return pathlib.Path(shutil.copytree(vllm_model, tmp_path / "broken"))


def change_config(model, **fields):
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_context_that_does_not_fit(failing, broken_model):
    change_config(broken_model, max_position_embeddings=4_000_000)
    told = failing(broken_model, "--max-model-len", "3000000")
    assert told["cause"] == "kv_too_small"
    assert "estimated maximum model length is" in told["evidence"]
    assert told["advice"][0].startswith("Set max_model_len to at most ")


def test_a_context_beyond_the_model(failing, vllm_model):
    assert failing(vllm_model, "--max-model-len", "99999")["cause"] == "len_gt_derived"


def test_a_model_that_is_not_there(failing, tmp_path):
    assert failing(tmp_path / "none")["cause"] == "model_not_found"


def test_an_architecture_that_it_does_not_know(failing, broken_model):
    change_config(broken_model, architectures=["NobodysForCausalLM"])
    assert failing(broken_model)["cause"] == "arch_unsupported"


def test_weights_that_are_cut_off(failing, broken_model):
    [weights] = broken_model.glob("*.safetensors")
    os.truncate(weights, weights.stat().st_size // 2)
    told = failing(broken_model)
    assert told["cause"] == "weights_broken" and "SafetensorError" in told["evidence"]
    assert told["stage"] == "loading_weights"


def test_no_weights(failing, broken_model):
    [weights] = broken_model.glob("*.safetensors")
    weights.unlink()
    assert failing(broken_model)["cause"] == "model_not_found"


def test_weights_of_another_shape(failing, broken_model):
    change_config(broken_model, intermediate_size=512)
    assert failing(broken_model)["cause"] == "weights_mismatch"


def test_heads_that_cannot_be_divided(failing, vllm_model):
    assert failing(vllm_model, "--tensor-parallel-size", "3")["cause"] == "heads_tp"


def test_a_chat_template_that_is_not_there(failing, vllm_model):
    assert failing(vllm_model, "--chat-template", "/no/such.jinja")["cause"] == "chat_template"


def test_a_port_that_is_taken(failing, vllm_model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert failing(vllm_model, port=taken.getsockname()[1])["cause"] == "port_in_use"


def test_a_flag_that_it_does_not_have(vllm_model, tmp_path):
    log = tmp_path / "engine.log"
    with log.open("wb") as file:
        subprocess.run([BIN / "vllm", "serve", vllm_model, "--no-such-flag"], stdout=file, stderr=subprocess.STDOUT,
                       env={**os.environ, **ENVIRONMENT}, timeout=START, check=False)
    told = diagnose(log)
    assert told["cause"] == "bad_args" and "--no-such-flag" in told["evidence"]


def test_an_engine_that_is_killed_while_it_serves_and_one_that_is_not(vllm_template):
    question = {"model": MODEL, "prompt": "On and on", "max_tokens": 4000, "ignore_eos": True}
    with vllm_template.engine() as engine, concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert diagnose(engine.log_file)["outcome"] == "healthy"
        asked = pool.submit(call, engine.url, "/v1/completions", question)
        wait_until(lambda: engine.metric("vllm:num_requests_running") == 1, "it to run")
        os.kill(engine.core(), signal.SIGKILL)
        engine.wait_for_end()
        asked.exception()  # whatever it was told
        told = diagnose(engine.log_file)
        assert told["cause"] == "killed" and told["stage"] == "ready"
