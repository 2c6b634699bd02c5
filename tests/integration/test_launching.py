"""What the launcher starts, how it pins GPUs, and that nothing is left behind."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import BENCH, PROXY, ROOT
from tests.support.proxy import write_config
from tests.support.waiting import alive, wait_until


def environment_of(pid):
    data = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    return dict(entry.split("=", 1) for entry in data.decode().split("\0") if "=" in entry)


def ours_alive(run_pid):
    """Every process that carries the marker of the run."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"BATCHPROXY_ENGINE_ID={run_pid}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("config, groups", [
    ("multi_gpu_batch_config.yaml", ["0,1,2,3,4,5,6,7"]),
    ("four_by_two.yaml", ["0,1", "2,3", "4,5", "6,7"]),
])
def test_pins_each_engine_to_its_gpus_and_leaves_nothing_behind(start_proxy, config, groups):
    proxy = start_proxy("--config", ROOT / "configs" / config, "--engine", "sim")
    pids = proxy.engine_pids(len(groups))
    seen = [environment_of(pid) for pid in pids]
    assert sorted(env["CUDA_VISIBLE_DEVICES"] for env in seen) == groups
    assert all(env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID" for env in seen)
    assert all("VLLM_PORT" not in env for env in seen)
    assert proxy.stop(signal.SIGINT) == 0
    assert not any(alive(pid) for pid in pids)
    assert ours_alive(proxy.process.pid) == []


def test_a_killed_launcher_takes_its_engines_with_it(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2))
    pids = proxy.engine_pids(2)
    proxy.process.kill()
    proxy.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the engines to go")


def test_serves_both_names_of_the_model(start_proxy, tmp_path):
    config = write_config(tmp_path / "c.yaml", servers=1)
    config.write_text(config.read_text().replace(f"hf_model_id: {MODEL}",
                                                 f"hf_model_id: {MODEL}\n    model: llama-short"))
    proxy = start_proxy("--config", config).ready(1)
    assert complete(proxy.url, "x")[0].status == 200
    assert complete(proxy.url, "x", model="llama-short")[0].status == 200
    response, body = complete(proxy.url, "x", model="no-such")
    assert response.status == 404
    assert response.headers["x-batchproxy-code"] == "unknown_model"
    assert "llama-short" in body["error"]["message"] and body["error"]["param"] == "model"


def test_an_engine_that_dies_is_reported_and_the_others_serve_on(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2)).ready(2)
    proxy.wait_for_line("engine-\\d: ready", 2)
    os.kill(proxy.engine_pids(2)[0], signal.SIGKILL)
    wait_until(lambda: any("has ended" in line for line in proxy.errors), "the report of its end")
    for i in range(20):
        assert complete(proxy.url, f"question {i}")[0].status == 200


def test_there_is_no_list_of_models_before_an_engine_has_named_one(start_proxy):
    proxy = start_proxy("--backend", "http://127.0.0.1:1")
    response, body = call(proxy.url, "/v1/models")
    assert response.status == 503 and response.headers["x-batchproxy-code"] == "no_backend"
    assert int(response.headers["retry-after"]) > 0 and b"data" not in body


def test_an_engine_that_cannot_start_shows_the_end_of_its_log(start_proxy, tmp_path):
    config = write_config(tmp_path / "c.yaml", servers=1)
    config.write_text(config.read_text().replace("max_model_len: 8192", "max_model_len: 99999999"))
    proxy = start_proxy("--config", config)
    assert proxy.wait() == 4
    assert any("did not start" in line for line in proxy.errors), proxy.output()
    assert any("KV cache" in line for line in proxy.errors), proxy.output()


def test_serves_engines_of_any_command(start_proxy, tmp_path):
    config = write_config(tmp_path / "c.yaml", servers=2, engine="command", command=[
        str(PROXY), "sim-engine", "{model}", "--port", "{port}", "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    proxy = start_proxy("--config", config).ready(2)
    assert complete(proxy.url, "x")[0].status == 200


def run(*args, env=None, cwd="/"):
    return subprocess.run([PROXY, *map(str, args)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, **(env or {})}, timeout=60)


@pytest.mark.parametrize("line, said", [
    ("--lissten 127.0.0.1:0", "unknown flag '--lissten'; did you mean '--listen'?"),
    ("--listen=127.0.0.1:0 --bakend=http://x", "unknown flag '--bakend'; did you mean '--backend'?"),
    ("check --strit c.yaml", "unknown flag '--strit'; did you mean '--strict'?"),
    ("chek c.yaml", "unexpected argument 'chek'; did you mean 'check'?"),
    ("sim_engine my/model --port 8101", "unexpected argument 'sim_engine'; did you mean 'sim-engine'?"),
    ("mine.yaml", "unexpected argument 'mine.yaml'; to serve with it: --config FILE"),
    ("--zzz", "unknown flag '--zzz'\n")])
def test_a_misspelt_command_line_is_told_what_may_have_been_meant(line, said):
    done = run(*line.split())
    assert done.returncode == 2 and done.stdout == ""
    assert f"error: {said}" in done.stderr


def test_without_vllm_it_says_so_and_never_listens(tmp_path):
    config = ROOT / "configs" / "multi_gpu_batch_config.yaml"
    text = config.read_text() + "\nbatchproxy:\n  launcher: {gpus: 8}\n"
    (tmp_path / "c.yaml").write_text(text)
    done = run("--config", tmp_path / "c.yaml", env={"PATH": "/nowhere"})
    assert done.returncode == 2
    assert "vllm" in done.stderr and "PATH" in done.stderr
    assert "listening" not in done.stdout


def test_without_enough_gpus_it_says_how_many_are_missing(tmp_path):
    text = (ROOT / "configs" / "four_by_two.yaml").read_text()
    text = re.sub(r"(?m)^(\s*)servers:", r"\1gpus: 4\n\1servers:", text)
    (tmp_path / "c.yaml").write_text(text)
    done = run("--config", tmp_path / "c.yaml")
    assert done.returncode == 2
    assert "8" in done.stderr and "4" in done.stderr and "GPU" in done.stderr


def test_dry_run_prints_commands_that_can_be_pasted(tmp_path):
    text = (ROOT / "configs" / "four_by_two.yaml").read_text()
    text = re.sub(r"(?m)^(\s*)servers:", r"\1gpus: 8\n\1servers:", text)
    (tmp_path / "c.yaml").write_text(text)
    done = run("--config", tmp_path / "c.yaml", "--dry-run", env={"PATH": "/nowhere"})
    assert done.returncode == 0, done.stderr
    assert "warning: `vllm`" in done.stderr  # it is not here, and need not be to look
    for group in ("0,1", "2,3", "4,5", "6,7"):
        assert f"CUDA_VISIBLE_DEVICES={group}" in done.stdout
    assert done.stdout.count("serve meta-llama/Llama-2-7b-chat-hf") == 4
    assert done.stdout.count("--tensor-parallel-size 2") == 4
    assert len(set(re.findall(r"--host 127.0.0.1 --port (\d+)", done.stdout))) == 4


@pytest.mark.parametrize("words, flags", [
    ("-tp 2 --max-num-seqs 64", "--tensor-parallel-size 2 --max-num-seqs 64"),
    ("--tensor-parallel-size 2 --enforce-eager", "--tensor-parallel-size 2 --enforce-eager"),
    ("-tp=2 --allowed-origins a b", "--tensor-parallel-size 2 --allowed-origins a b"),
    ("--some-new-flag 7 -tp 2", "--some-new-flag 7 --tensor-parallel-size 2"),
])
def test_serve_takes_a_model_and_any_flag_of_vllm(tmp_path, words, flags):
    done = run("serve", "org/m", "--gpus", 4, *words.split(), "--servers", 2, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vllm serve org/m --host 127.0.0.1 --port ") == 2
    assert sum(line.endswith(flags) for line in done.stdout.splitlines()) == 2, done.stdout
    for group in ("0,1", "2,3"):
        assert f"CUDA_VISIBLE_DEVICES={group} " in done.stdout


@pytest.mark.parametrize("words, said", [
    ("", "MODEL is required"),
    ("m --serverz 4", "unknown flag '--serverz'; did you mean '--servers'?"),
    ("m --port 9", "vllm_args.--port: batchproxy picks the engines' ports"),
    ("m --max-num-seqs many", "--max-num-seqs: expected a whole number from 1 on"),
    ("--sim many", "expected a number of engines"),
])
def test_serve_says_what_is_wrong_with_its_words(tmp_path, words, said):
    done = run("serve", *words.split(), "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_serve_tries_it_without_a_gpu(start_proxy):
    proxy = start_proxy("serve", "--sim", 2).ready(2)
    response, body = complete(proxy.url, "p", model="simulated")
    assert response.status == 200 and body["choices"]


@pytest.mark.parametrize("place", ["batchproxy.yaml", "home/.config/batchproxy/batchproxy.yaml"])
def test_a_configuration_is_found_in_the_usual_places(tmp_path, place):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("batchproxy:\n  backends: [{url: http://127.0.0.1:7}]\n")
    env = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": ""}
    assert "http://127.0.0.1:7\n" in run("--dry-run", cwd=tmp_path, env=env).stdout
    given = run("--backend", "http://127.0.0.1:8", "--dry-run", cwd=tmp_path, env=env).stdout
    assert "http://127.0.0.1:8\n" in given and "http://127.0.0.1:7" not in given
    told = str(file) if "home" in place else place
    for words in (["--dry-run"], ["serve", "--dry-run"], ["doctor"], ["run", "none.jsonl", "-o", "a.jsonl"]):
        assert f"notice: without --config, {told} is taken\n" in run(*words, cwd=tmp_path, env=env).stderr, words
    assert f"{told}: fine\n" in run("check", cwd=tmp_path, env=env).stderr
    assert run("--config", file, "--dry-run", cwd=tmp_path, env=env).stderr == ""


def test_serve_takes_a_file_in_place_of_a_model(tmp_path):
    (tmp_path / "c.yaml").write_text("batchproxy:\n  backends: [{url: http://127.0.0.1:7}]\n")
    done = run("serve", "--config", "c.yaml", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "# 1 backend, nothing to start\nhttp://127.0.0.1:7\n"), done.stderr
    done = run("serve", "--backend", "http://127.0.0.1:8", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and "http://127.0.0.1:8\n" in done.stdout


def test_engines_get_ports_from_the_one_that_a_flag_names(tmp_path):
    done = run("serve", "--sim", 2, "--port-base", 23100, "--dry-run", cwd=tmp_path)
    ports = [int(port) for port in re.findall(r"--port (\d+)", done.stdout)]
    assert len(ports) == 2 and all(23100 <= port < 23200 for port in ports), done.stdout + done.stderr


def test_versions_name_commit_and_build():
    for program in (PROXY, BENCH):
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
        assert re.fullmatch(rf"{program.name} \d+\.\d+\.\d+, commit \S+, \w+ build by (clang|g\+\+) [\d.]+\n", done.stdout), done.stdout


@pytest.mark.parametrize("words, said", [
    ("jobs lsit", "'lsit'; did you mean 'list'?"),
    ("jobs shwo a.jsonl", "'shwo'; did you mean 'show'?"),
    ("serv --sim 4", "'serv'; did you mean 'serve'?"),
    ("engines puase", "did you mean 'pause'?"),
    ("completion bahs", "bash, zsh or fish"),
])
def test_a_misspelt_word_of_a_command_is_told(tmp_path, words, said):
    done = run(*words.split(), cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_a_taken_port_is_named_before_any_engine_starts(start_proxy, tmp_path):
    config = write_config(tmp_path / "c.yaml", servers=1)
    first = start_proxy("--config", config).ready(1)
    second = run("--config", config, "--listen", first.address, "--admin", "127.0.0.1:0", cwd=tmp_path)
    assert second.returncode == 1
    assert first.address in second.stderr and "--listen" in second.stderr
    assert "started" not in second.stdout
    assert call(first.url, "/health")[0].status == 200


def test_worker_config_is_the_users_file_with_our_address(tmp_path):
    done = run("worker-config", ROOT / "configs" / "multi_gpu_batch_config.yaml")
    assert done.returncode == 0, done.stderr
    assert "boot_local: false" in done.stdout and "enable_batching: false" in done.stdout
    assert re.search(r"port: 8000\b", done.stdout)
    (tmp_path / "w.yaml").write_text(done.stdout)
    again = run("check", "--listen", "127.0.0.1:9000", tmp_path / "w.yaml")
    assert again.returncode == 0, again.stderr


def test_check_tells_warnings_from_errors(tmp_path):
    (tmp_path / "c.yaml").write_text("enable_batching: true\nbatch_sise: 4\n"
                                     "batchproxy: {backends: [http://a:1]}\n")
    assert run("check", tmp_path / "c.yaml").returncode == 0
    strict = run("check", "--strict", tmp_path / "c.yaml")
    assert strict.returncode == 2
    assert "c.yaml:2:1: warning:" in strict.stderr and "batch_size" in strict.stderr
