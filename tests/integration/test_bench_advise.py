"""`batchproxy-bench advise`: topologies of simulated engines, started by a real batchproxy, measured and advised on."""
import json
import re
import signal
import subprocess

import pytest

from tests.support.builds import BENCH, PROXY
from tests.support.load import bench, write_prompts
from tests.support.program import Program
from tests.support.waiting import alive, wait_until

QUICK = ["--sim-time-scale", "0.05", "--ui", "none"]


def write_config(path, *arguments, **launcher):
    """A user's file, as the workers have it."""
    lines = "".join(f"\n      {argument}" for argument in arguments)
    path.write_text(f"""\
model:
  generator_settings:
    hf_model_id: a/model  # the comment is not kept
    vllm_args:
      tensor_parallel_size: 8{lines}
    batch_size: 16
batchproxy:
  launcher: {json.dumps({"keep": True, **launcher})}
""")
    return path


def advise(folder, *words):
    return ["advise", "--folder", folder / "logs", "--out", folder / "advised.yaml", "--json", folder / "a.json",
            *QUICK, *words]


def engine_pids(folder):
    return [int(pid) for log in folder.glob("logs/*/batchproxy.log")
            for pid in re.findall(r"engine-\d+: started, pid (\d+)", log.read_text())]


def assert_nothing_is_left(folder, *engines):
    """`engines`: so many there may have been."""
    pids = engine_pids(folder)
    assert len(pids) in engines, pids
    wait_until(lambda: not any(alive(pid) for pid in pids), "the engines' ends")


def test_each_topology_is_measured_and_one_is_advised(tmp_path):
    config = write_config(tmp_path / "mine.yaml")
    questions = write_prompts(tmp_path / "q.jsonl", 40, max_tokens=1)
    done = bench(*advise(tmp_path, "--config", config, "--questions", questions, "--simulate", 2, "--workers", "1,8",
                         "--sample", 20, "--html", tmp_path / "a.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "a.json").read_text())
    assert [(each["engines"], each["tensor_parallel_size"]) for each in told["candidates"]] == [(1, 2), (2, 1)]
    for each in told["candidates"]:
        assert [trial["workers"] for trial in each["trials"]] == [1, 8]
        assert each["context"] and each["kv_tokens"] > each["context"]
        for trial in each["trials"]:
            assert trial["questions_per_second"] > 0 and trial["failed"] == 0
            assert trial["p50_seconds"] <= trial["p99_seconds"] and trial["bound"] and trial["virtual_time"]
    assert told["simulated"] and "a sample of 20 of 40" in told["facts"]["questions"]
    assert done.stdout.startswith("Which topology: simulated A100 engines")
    assert "Which topology: simulated A100 engines" in (tmp_path / "a.html").read_text()
    assert_nothing_is_left(tmp_path, 3)
    # What is advised is a configuration, and says that nothing real was measured.
    advised = (tmp_path / "advised.yaml").read_text()
    advice = told["advice"]
    assert f"tensor_parallel_size: {advice['tensor_parallel_size']}\n" in advised
    assert f"servers: {advice['engines']}\n" in advised and f"parallel_workers: {advice['workers']}\n" in advised
    assert "SIMULATED" in advised and "keep: true" in advised and "engine: sim" not in advised
    dry = subprocess.run([PROXY, "--config", tmp_path / "advised.yaml", "--engine", "sim", "--dry-run"],
                         capture_output=True, text=True, check=False)
    assert dry.returncode == 0 and dry.stdout.count(" sim-engine ") == advice["engines"], dry.stdout + dry.stderr


def test_a_topology_that_does_not_start_is_named_and_skipped(tmp_path):
    # On one GPU the cache is too small for such a context, on two it is not.
    config = write_config(tmp_path / "mine.yaml", "max_model_len: 200000", restart="never")
    done = bench(*advise(tmp_path, "--config", config, "--synthetic", 8, "--prompt-tokens", 20, "--output-tokens", 1,
                         "--simulate", 2, "--workers", 2))
    assert done.returncode == 0, done.stdout + done.stderr
    whole, parts = json.loads((tmp_path / "a.json").read_text())["candidates"]
    assert whole["trials"] and whole["context"] == 200000
    assert not parts["trials"] and "engine-" in parts["skipped"]
    assert f"2 x TP1     skipped: {parts['skipped']}" in done.stdout
    assert "Advice: 1 x TP2 with 2 workers." in done.stdout
    assert_nothing_is_left(tmp_path, 2, 3)  # the second of those that do not start need not have begun


def test_when_none_starts_the_reasons_are_told(tmp_path):
    config = write_config(tmp_path / "mine.yaml", "sim-fail: no-nvcc", repair=False)
    done = bench(*advise(tmp_path, "--config", config, "--synthetic", 8, "--simulate", 1, "--workers", 2))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 x TP1     skipped: engine-0" in done.stdout and "None can be advised" in done.stdout
    assert not (tmp_path / "advised.yaml").exists()


def test_ctrl_c_stops_all_that_was_started_and_prints_what_there_is(tmp_path):
    config = write_config(tmp_path / "mine.yaml")
    run = Program([BENCH, *advise(tmp_path, "--config", config, "--synthetic", 2000, "--output-tokens", 400,
                                  "--simulate", 2, "--workers", "1,2,4,8", "--duration", 86400)], tmp_path)
    wait_until(lambda: any("1 x TP2: 1 worker" in line for line in run.errors), f"the first run\n{run.output()}")
    assert run.stop(signal.SIGINT) == 130, run.output()
    assert "Stopped before all were tried: there is no advice yet" in run.output()
    assert_nothing_is_left(tmp_path, 1)
    assert json.loads((tmp_path / "a.json").read_text())["stopped"]
    assert not (tmp_path / "advised.yaml").exists()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_nothing_outlives_it_while_engines_load(tmp_path, number, code):
    config = write_config(tmp_path / "mine.yaml", "sim-load-time: 86400")
    run = Program([BENCH, *advise(tmp_path, "--config", config, "--synthetic", 8, "--simulate", 2)], tmp_path)
    wait_until(lambda: engine_pids(tmp_path), f"a started engine\n{run.output()}")
    assert run.stop(number) == code, run.output()
    assert_nothing_is_left(tmp_path, 1)


@pytest.mark.parametrize("words, code, said", [
    ([], 2, "Give your configuration with --config, or --model"),
    (["--config", "none.yaml"], 1, "none.yaml cannot be read"),
    (["--model", "m", "--topology", "3xTP3"], 1, "--topology: 2 GPUs can be 1xTP2, 2xTP1"),
    (["--model", "m", "--program", "none"], 1, "--program none: there is no such program"),
    (["--model", "m", "--questions", "none.jsonl"], 2, "none.jsonl cannot be read"),
])
def test_what_cannot_be_tried_is_refused_in_words(tmp_path, words, code, said):
    done = bench("advise", "--simulate", 2, *words, cwd=tmp_path)
    assert done.returncode == code and said in done.stderr, done.stderr


@pytest.mark.parametrize("text, said", [
    ("model: {generator_settings: {hf_model_id: m, batch_size: many}}\n", "mine.yaml:1:"),
    ("batchproxy: {launcher: {servers: 2}}\n", "names no model"),
    ("model: {generator_settings: {boot_local: true, hf_model_id: m}}\n"
     "batchproxy: {launcher: {servers: [{count: 2}]}}\n", "lists several kinds of engines"),
])
def test_a_file_that_says_nothing_of_use_is_refused_in_words(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    done = bench("advise", "--config", "mine.yaml", "--simulate", 2, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_a_file_of_somebody_else_is_not_written_over(tmp_path):
    (tmp_path / "advised.yaml").write_text("mine: true\n")
    questions = write_prompts(tmp_path / "q.jsonl", 2)
    done = bench("advise", "--model", "m", "--simulate", 1, "--questions", questions, cwd=tmp_path)
    assert done.returncode == 2 and "advised.yaml is there already" in done.stderr
    assert (tmp_path / "advised.yaml").read_text() == "mine: true\n"


def test_policy_takes_the_users_own_questions(tmp_path):
    questions = write_prompts(tmp_path / "q.jsonl", 30, max_tokens=1)
    done = bench("policy", "--questions", questions, "--workers", "1,4", "--json", tmp_path / "p.json")
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "p.json").read_text())["cells"]
    assert [(cell["workers"], cell["shape"]) for cell in cells] == [
        (workers, shape) for workers in (1, 4) for shape in ("1xTP8", "2xTP4", "4xTP2", "8xTP1")]
    best = max(cells[4:], key=lambda cell: cell["throughput"])
    assert f"- 4 workers on A100: {best['shape'].replace('x', ' x ')}, {best['throughput']:.1f}" in done.stdout
    assert "What do the words mean?" in done.stdout and "promises" not in done.stdout


def test_policy_takes_lengths(tmp_path):
    done = bench("policy", "--prompt-tokens", 600, "--shared-tokens", 500, "--sharing", 4, "--output-tokens", 2,
                 "--workers", 32, "--shape", "4xTP2", "--json", tmp_path / "p.json")
    assert done.returncode == 0, done.stderr
    cell, = json.loads((tmp_path / "p.json").read_text())["cells"]
    assert 0.4 < cell["hit_rate"] < 0.8 and 0 < cell["fraction_of_bound"] < 1.1
    assert "500 of them shared by 4" in done.stdout
