"""`batchproxy-bench sweep`: settings of a running proxy, tried through its reload."""
import json
import signal

import pytest

from tests.support.asking import call, complete
from tests.support.builds import BENCH
from tests.support.load import bench, write_prompts
from tests.support.program import Program
from tests.support.waiting import wait_until

AXES = ["--flush", "eager,fixed", "--batch-size", "2,4", "--batch-timeout", "0.01", "--workers", "4", "--repeats", "1"]


def sweep(proxy, folder, *more):
    questions = write_prompts(folder / "q.jsonl", 12, max_tokens=1)
    return ["sweep", "--url", proxy.url, "--admin", proxy.admin, "--questions", questions,
            "--out", folder / "sweep.jsonl", *AXES, *more]


def points(folder):
    return [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()][1:]


def test_a_sweep_tries_each_setting_and_tells_the_best(served, tmp_path):
    done = bench(*sweep(served, tmp_path, "--html", tmp_path / "sweep.html"))
    assert done.returncode == 0, done.stderr
    measured = points(tmp_path)
    assert [(point["flush"], point["batch_size"]) for point in measured] == [("eager", 2), ("fixed", 2), ("fixed", 4)]
    assert all(point["questions_per_second"] > 0 and point["failed"] == 0 for point in measured)
    best = max(measured, key=lambda point: point["questions_per_second"])
    assert f"flush: {best['flush']}" in done.stdout
    # Where it does not matter it was not tried.
    assert (f"batch_size: {best['batch_size']}" in done.stdout) == (best["flush"] == "fixed")
    assert "<svg" in (tmp_path / "sweep.html").read_text()
    wait_until(lambda: all(change in "\n".join(served.errors) for change in
                           ("flush: eager -> fixed", "flush: fixed -> eager")), "both changes in the log")
    assert served.status()["flush"] == "eager"  # its own configuration is in force again


def test_a_sweep_goes_on_where_it_was(served, tmp_path):
    assert bench(*sweep(served, tmp_path)).returncode == 0
    file = tmp_path / "sweep.jsonl"
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([first, rest[0], rest[1][:20]]))  # killed as it wrote the second point
    done = bench(*sweep(served, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "1 of 2: fixed" in done.stderr  # the first is not measured again
    assert len(points(tmp_path)) == 3 and file.read_text().splitlines()[:2] == [first, rest[0]]  # to the byte
    received = served.status()["requests"]["received"]
    assert bench(*sweep(served, tmp_path)).returncode == 0
    assert served.status()["requests"]["received"] == received  # nothing was left to measure


def test_a_sweep_that_is_stopped_keeps_what_it_has(served, tmp_path):
    run = Program([BENCH, *sweep(served, tmp_path, "--duration", 600, "--requests", "100000000")], tmp_path)
    wait_until(lambda: served.status()["requests"]["received"] > 5, f"requests\n{run.output()}")
    assert run.stop(signal.SIGINT) == 130
    assert "the same command goes on" in run.output()
    assert points(tmp_path) == [] and served.status()["flush"] == "eager"


def test_a_sweep_of_something_else_is_not_mixed_in(served, tmp_path):
    assert bench(*sweep(served, tmp_path)).returncode == 0
    done = bench(*sweep(served, tmp_path, "--requests", 7))
    assert done.returncode == 1 and "is a sweep of something else" in done.stderr
    (tmp_path / "sweep.jsonl").write_text("{}\n")
    done = bench(*sweep(served, tmp_path))
    assert done.returncode == 1 and "sweep.jsonl:1: this is no line of a sweep" in done.stderr


@pytest.mark.parametrize("flag", ["--out", "--html"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_tried(flag, served, tmp_path):
    file = tmp_path / "none" / "s"
    words = sweep(served, tmp_path, "--html", tmp_path / "s.html")
    words[words.index(flag) + 1] = file
    done = bench(*words)
    assert done.returncode == 2 and f"{file} cannot be written: No such file or directory" in done.stderr, done.stderr
    assert served.status()["requests"]["received"] == 0


# --- the reload by which it does so ---------------------------------------------------------------

def test_keys_are_tried_until_the_next_reload(served):
    response, said = call(served.admin, "/admin/reload?flush=fixed&batch_size=4&batch_timeout=0.01", b"")
    assert response.status == 200 and b"flush: eager -> fixed" in said, said
    assert served.status()["flush"] == "fixed"
    assert complete(served.url, "a question")[0].getheader("x-batchproxy-batch").endswith("/1")
    assert call(served.admin, "/admin/reload?enable_batching=false", b"")[0].status == 200
    assert served.status()["flush"] == "off" and complete(served.url, "another")[0].status == 200
    assert call(served.admin, "/admin/reload", b"")[0].status == 200
    assert served.status()["flush"] == "eager"


@pytest.mark.parametrize("query, said", [
    ("allow_unauthenticated=true", b"allow_unauthenticated: error: may not be tried"),
    ("flus=fixed", b"did you mean 'flush'?"),
    ("flush=sometimes", b"flush"),
    ("batch_size=0", b"batch_size"),
])
def test_only_what_decides_when_requests_leave_is_tried(served, query, said):
    response, text = call(served.admin, f"/admin/reload?{query}", b"")
    assert response.status == 400 and said in text, text
    assert served.status()["flush"] == "eager"
