"""batchproxy diagnose, on the logs of engines that fail."""
import json
import subprocess

import pytest

from tests.support.builds import PROXY, is_sanitized


def diagnose(log, *flags):
    """`log`: a path, or the bytes of one."""
    name, given = (log, None) if not isinstance(log, bytes) else ("-", log)
    return subprocess.run([PROXY, "diagnose", name, *flags], input=given, capture_output=True, timeout=60, check=False)


def log_of_failure(*flags):
    """What a simulated engine writes until it fails."""
    command = [PROXY, "sim-engine", "org/model", "--port", "0", "--sim-load-time", "0.01", *flags]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1, ended
    return ended.stdout


@pytest.mark.parametrize("version, longest", [("0.12", 9920), ("0.32", 9920), ("0.33", 9904)])
def test_tells_which_context_would_fit(version, longest):
    log = log_of_failure("--max-model-len", "32768", "--sim-kv-memory", "4.85GiB", "--sim-vllm-version", version)
    told = json.loads(diagnose(log, "--json").stdout)
    assert told["cause"] == "kv_too_small" and told["stage"] == "profiling_memory"
    assert f"estimated maximum model length is {longest}" in told["evidence"]
    assert told["advice"][0] == f"Set max_model_len to at most {longest}."


@pytest.mark.parametrize("failure, cause, stage", [
    ("free-memory", "free_memory", "engine_init"), ("nccl", "nccl", "engine_init"),
    ("oom-load", "oom_load", "loading_weights"), ("oom-profile", "oom_profile", "weights_loaded"),
    ("no-nvcc", "no_nvcc", "weights_loaded"), ("kv-none", "kv_none", "profiling_memory"),
    ("mamba-blocks", "mamba_blocks", "graphs"), ("oom-capture", "oom_graphs", "graphs"),
    ("oom-sampler", "oom_sampler", "graphs"), ("port-taken", "port_in_use", "boot"),
    ("killed", "killed", "loading_weights"), ("unknown", None, "loading_weights")])
def test_tells_what_a_simulated_engine_failed_of(failure, cause, stage):
    told = json.loads(diagnose(log_of_failure("--sim-fail", failure), "--json").stdout)
    assert (told["cause"], told["stage"]) == (cause, stage)
    assert told["outcome"] == ("failed" if cause else "unknown")
    assert bool(told["advice"]) == bool(cause)


def test_a_hang_is_told_from_what_is_said_again_and_again():
    command = [PROXY, "sim-engine", "m", "--port", "0", "--sim-load-time", "0.01", "--sim-fail", "hang-loading",
               "--sim-time-scale", "0.0001"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as engine:
        log = b""
        while log.count(b"No available shared memory broadcast block") < 3:
            log += engine.stdout.readline()
        engine.terminate()  # ignored, as vLLM does while it loads
        assert b"No available" in engine.stdout.readline()
        engine.kill()
    assert json.loads(diagnose(log, "--json").stdout)["cause"] == "slow_or_hung"


def test_reads_a_file_and_says_it_to_people(tmp_path):
    log = tmp_path / "engine-0.log"
    log.write_bytes(log_of_failure("--sim-fail", "oom-capture"))
    told = diagnose(log)
    assert told.returncode == 0
    lines = told.stdout.decode().splitlines()
    assert lines[0].startswith("cause     oom_graphs: ")
    assert lines[1] == "evidence  RuntimeError: CUDA error: out of memory"
    assert lines[2] == f"log       {log}"
    assert any(line.startswith("do        ") for line in lines)


def test_a_log_that_cannot_be_read_is_an_error(tmp_path):
    for path in (tmp_path / "none.log", tmp_path):
        told = diagnose(path)
        assert told.returncode == 2
        assert told.stderr.decode().startswith(f"error: {path}: ")
        assert told.stdout == b""


def test_of_a_long_log_little_is_kept(tmp_path):
    log = tmp_path / "long.log"
    line = b'(APIServer pid=7) INFO 06-03 03:00:00 [loggers.py:1] Engine 000: Avg prompt throughput: 10.0 tokens/s\n'
    with log.open("wb") as file:
        for _ in range(40):
            file.write(line * 10_000)
        file.write(b"OSError: [Errno 98] Address already in use\n")
    limit = [] if is_sanitized() else ["prlimit", "--data=33554432"]  # a sanitizer wants terabytes of addresses
    limited = subprocess.run([*limit, PROXY, "diagnose", log, "--json"], capture_output=True, timeout=60, check=False)
    assert json.loads(limited.stdout)["cause"] == "port_in_use", limited.stderr


def test_a_log_that_is_not_named():
    done = subprocess.run([PROXY, "diagnose"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "error: LOG is required\nRun with --help for more information.\n")
