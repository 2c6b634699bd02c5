"""`python3 -m bench.lab routers` puts what is installed before engines, and kills those; no figure is a promise."""
import asyncio
import json
import os
import re
import signal
import sys
import types

import pytest

from bench.lab import routers
from bench.lab.build import Build
from bench.lab.routers import faults, installed, questions, schedule
from bench.lab.routers.asking import GARBAGE, RIGHT, TIMEOUT, WRONG, Job, judge
from bench.lab.routers.engines import Engines
from bench.lab.routers.recipes import NONE, OURS, ROUTERS
from bench.lab.routers.report import Column, ahead, say_who_is_ahead
from bench.lab.routers.samples import Samples
from tests.bench import lab
from tests.support.builds import BUILD, ROOT
from tests.support.program import Program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.alone
FAST = ["--time-scale", 0.02]
FOREIGN = [name for name in ROUTERS if name not in (NONE, OURS)]
RATE = Column("questions/s", "per_second", more_is_better=True)


def table(text):
    """{router: its cells} of each table."""
    tables = re.findall(r"((?:^\|.*\n)+)", text, re.MULTILINE)
    return [{cells[0].strip(" *"): [cell.strip() for cell in cells[1:]] for cells in
             (line.strip("|").split("|") for line in rows.splitlines()[2:])} for rows in tables]


# --- what is asked --------------------------------------------------------------------------------

def test_made_questions_share_passages_and_are_always_the_same():
    made = questions.make()
    assert made == questions.make() and 2 * questions.PASSAGES <= len(made) <= 7 * questions.PASSAGES
    assert len({question["passage"] for question in made}) == questions.PASSAGES
    assert len({question["question"] for question in made}) == len(made)
    assert len({question["passage"] for question in questions.about_one_passage(made)}) == 1


def test_a_question_is_asked_as_batchproxy_asks_it():
    asked = questions.prompt_of({"passage": "P", "question": "Q?", "options": ["(A) x", "(B) y"]})
    assert asked == "Context:\nP\n\nQuestion:\nQ?\n(A) x\n(B) y\nAnswer:"
    assert questions.prompt_of({"question": "Q?", "options": ["(A) x"]}) == "Question:\nQ?\n(A) x\nAnswer:"
    assert questions.prompt_of({"prompt": "as it is"}) == "as it is"


def test_questions_go_round_with_other_beginnings_and_are_mixed_within_windows():
    some = [{"prompt": f"{number}"} for number in range(10)]
    asked = questions.in_order(some, 25, 4, "salt")
    assert asked == questions.in_order(some, 25, 4, "salt") and len(set(asked)) == 25
    numbers = [10 * int(re.search(r"salt, time (\d+)\.\n", prompt)[1]) + int(prompt[-1]) for prompt in asked]
    assert sorted(numbers) == list(range(25)) != numbers
    assert all(number // 4 == at // 4 for at, number in enumerate(numbers))


@pytest.mark.parametrize("line, said", [
    ('{"prompt": ', "q.jsonl:2: this is not JSON"),
    ('{"question": "Q?"}', 'q.jsonl:2: a line wants "prompt"'),
    ('["prompt"]', 'q.jsonl:2: a line wants "prompt"'),
    ('{"question": "Q?", "options": [1]}', 'q.jsonl:2: a line wants "prompt"'),
])
def test_a_line_that_is_no_question_is_named(line, said, tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text(f'{{"prompt": "x"}}\n{line}\n')
    with pytest.raises(SystemExit, match=re.escape(said)):
        questions.read(file)


def test_what_cannot_be_asked_is_told(tmp_path):
    with pytest.raises(SystemExit, match="none.jsonl cannot be read"):
        questions.read(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SystemExit, match="has no questions"):
        questions.read(tmp_path / "empty.jsonl")
    with pytest.raises(SystemExit, match="the first one has none"):
        questions.about_one_passage([{"prompt": "x"}])


# --- what comes of it -----------------------------------------------------------------------------

@pytest.mark.parametrize("status, data, kind", [
    (200, '{"choices": [{"text": "2d711642"}]}', RIGHT),  # sha256 of "x" begins so
    (200, '{"choices": [{"text": " 2d711643"}]}', WRONG),
    (200, '{"choices": [{"text": ""}]}', WRONG),
    (200, "[]", GARBAGE),
    (200, "no JSON", GARBAGE),
    (503, '{"error": {"code": "no_backend", "type": "x"}}', "503 no_backend"),
    (503, '{"type": "no_workers"}', "503 no_workers"),
    (502, "<html>", "502"),
    (500, '{"error": "so"}', "500"),
])
def test_answers_are_judged(status, data, kind):
    assert judge("x", status, data.encode()) == kind


def test_an_engine_can_be_killed_halted_and_started_again_where_it_was(tmp_path):
    def kinds(patience=60):
        job = Job([engines.ports[0]], ["one", "two"], 1, patience)
        asyncio.run(job.run())
        return [outcome.kind for outcome in job.outcomes]
    with Engines(Build(), tmp_path, 0.01) as engines:
        assert kinds() == [RIGHT, RIGHT] and engines.counted("request_success") == [2, 0, 0, 0]
        engines.halt(0)
        assert kinds(patience=0.2) == [TIMEOUT, TIMEOUT]
        engines.go_on(0)
        assert kinds() == [RIGHT, RIGHT]
        engines.kill(0, 1)
        assert kinds() == ["refused"] * 2
        engines.start_again(0, 1)
        assert kinds() == [RIGHT, RIGHT]


def sample(router, number, per_second, **seen):
    return {"router": router, "round": number, "per_second": per_second, "seen": {RIGHT: 9, **seen}}


def test_who_is_ahead_is_said_with_how_often(capsys):
    samples = [sample(OURS, 1, 100), sample(OURS, 2, 100), sample(OURS, 3, 100), sample("smg", 1, 110),
               sample("smg", 2, 120), sample("smg", 3, 90), sample("nginx", 1, 101),
               {"router": "haproxy", "round": 1, "failed": "x"}]
    assert ahead(samples, RATE) == [("smg", "1.10 times ours", 2, 3)]
    titles = {name: name for name in ROUTERS}
    say_who_is_ahead(samples, titles, [RATE])
    assert "**Ahead of batchproxy:**\n\n* in questions/s: smg (1.10 times ours, in 2 of 3 rounds)\n" in \
        capsys.readouterr().out
    say_who_is_ahead([one for one in samples if one["router"] != "smg"], titles, [RATE])
    assert capsys.readouterr().out == "\nNobody is ahead of batchproxy by more than 2 % in questions/s.\n"


def test_who_loses_questions_is_not_ahead_by_being_soon_through(capsys):
    samples = [sample(OURS, 1, 100), sample("smg", 1, 900, **{"503": 3})]
    say_who_is_ahead(samples, {name: name for name in ROUTERS}, [RATE], whole=True)
    assert "Nobody of those that lose no more questions is ahead" in capsys.readouterr().out


def test_a_stopped_run_goes_on_and_is_not_mixed_with_another(tmp_path):
    file = tmp_path / "out.jsonl"
    first = Samples(file, {"requests": 3})
    first.add(sample("nginx", 1, 5))
    first.add({"router": "smg", "round": 1, "failed": "it has ended"})
    with file.open("a") as out:
        out.write('{"router": "hap')  # killed as it wrote
    again = Samples(file, {"requests": 3})
    assert again.has(router="nginx", round=1) and not again.has(router="smg")  # which is tried again
    again.add(sample("haproxy", 1, 6))
    assert [json.loads(line).get("router") for line in file.read_text().splitlines()] == [None, "nginx", "haproxy"]
    with pytest.raises(SystemExit, match="requests 3, not 4; name another file"):
        Samples(file, {"requests": 4})
    file.write_text("x\n")
    with pytest.raises(SystemExit, match="is no file of this subcommand"):
        Samples(file, {})


# --- the whole ------------------------------------------------------------------------------------

def test_a_job_is_asked_with_and_without_us(tmp_path):
    words = ["routers", BUILD, "--parts", "schedule", "--routers", "direct,batchproxy", "--rounds", 2, "--workers",
             "4,8", "--requests", 60, "--out", tmp_path / "out.jsonl", *FAST]
    ended = lab(*words)
    assert ended.returncode == 0, ended.stdout
    assert [sorted(rows) for rows in table(ended.stdout)] == 2 * [
        sorted([re.search(r"batchproxy \d+\.\d+\.\d+", ended.stdout)[0], ROUTERS[NONE].title])], ended.stdout
    for rows in table(ended.stdout):
        assert all(cells[4] == "0" and float(cells[0].split()[0].replace(",", "")) > 0 for cells in rows.values()), ended.stdout
    assert "177 made ones" in ended.stdout and "ahead of batchproxy" in ended.stdout.lower()
    again = lab(*words)
    assert again.returncode == 0 and "round 1" not in again.stdout.partition("medians")[0], again.stdout
    assert table(again.stdout) == table(ended.stdout)


def test_ctrl_c_shows_what_there_is(tmp_path):
    run = Program([sys.executable, "-m", "bench.lab", "routers", BUILD, "--parts", "schedule", "--routers", "direct",
                   "--rounds", 1000, "--workers", 4, "--requests", 20, "--out", tmp_path / "out.jsonl", *FAST], ROOT)
    wait_until(lambda: any(line.startswith("round 2, ") for line in run.errors), f"a second round\n{run.output()}")
    assert run.stop(signal.SIGINT) == 130, run.output()
    assert f"stopped: the same command goes on with {tmp_path / 'out.jsonl'}" in run.errors
    [rows] = table("\n".join(run.lines) + "\n")
    assert list(rows) == [ROUTERS[NONE].title] and "Not measured" not in run.output()


class InterruptedInItsDestructor:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_drops_ends_it_after_the_row(monkeypatch, capsys):
    """Python prints «Exception ignored in», and goes on."""
    def measure(_part, cell, number, _options):
        InterruptedInItsDestructor()
        return {"part": "schedule", **cell, "round": number, "failed": "measured nothing"}

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(routers, "measure", measure)
    samples = Samples(None, {})
    options = types.SimpleNamespace(rounds=9, parts=["schedule"], workers=[1, 2], routers=["direct"], out=None)
    try:
        assert not routers.measure_all(samples, options)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(samples.of(part="schedule")) == 1 and "stopped" in capsys.readouterr().err


def test_all_engines_are_down_and_ours_loses_nothing():
    ended = lab("routers", BUILD, "--parts", "faults", "--scenarios", "kill,down", "--routers", "direct,batchproxy",
                "--rounds", 1, "--fault-requests", 200, "--fault-workers", 16, "--away", 0.5, "--outage", 1,
                "--time-scale", 0.5)  # slow enough that the trouble comes before the end
    assert ended.returncode == 0, ended.stdout
    _, down = table(ended.stdout)
    for rows in table(ended.stdout):
        [ours] = [cells for name, cells in rows.items() if name.startswith("batchproxy")]
        assert ours[0] == "0", ended.stdout
    lost = down[ROUTERS[NONE].title]
    assert int(lost[0]) > 0 and "refused" in lost[5], ended.stdout
    assert "Nobody of those that lose no more questions is ahead of batchproxy by more than 2 % in errors" in ended.stdout


@pytest.mark.parametrize("name", FOREIGN)
def test_each_router_that_is_installed_answers(name):
    try:
        installed.find(ROUTERS[name].package)
    except installed.Missing as missing:
        pytest.skip(str(missing))
    options = types.SimpleNamespace(build=Build(), asked=questions.make(), requests=40, window=8, time_scale=0.02,
                                    installed=installed.FOLDER)
    measured = schedule.measure(options, name, 4, 1)
    assert measured["seen"] == {RIGHT: 40} and measured["per_second"] > 0 and measured["router_cores"] > 0
    assert 0 < measured["hits"] < 100 and 25 <= measured["busiest"] <= 100


def test_routers_that_are_not_installed_are_left_out_and_named(tmp_path):
    ended = lab("routers", BUILD, "--parts", "schedule", "--routers", "direct,smg,litellm", "--rounds", 1, "--workers",
                4, "--requests", 20, "--installed", tmp_path, *FAST, env={"PATH": str(tmp_path)})
    assert ended.returncode == 0, ended.stdout
    for name in ("smg", "litellm"):
        assert f"left out: {name}: {name} is not installed (scripts/python-tools --routers)" in ended.stdout
        assert f"\nNot measured: {name}: {name} is not installed" in ended.stdout
    assert [list(rows) for rows in table(ended.stdout)] == [[ROUTERS[NONE].title]]


@pytest.mark.parametrize("words, said", [
    (["--routers", "lunch"], "there is no lunch; there are direct, nginx, haproxy, batchproxy, smg"),
    (["--scenarios", "fire"], "there is no fire; there are none, kill, hang, down"),
    (["--at", "1.5"], "must be between 0 and 1"),
    (["--workers", "4,0"], "must be more than 0"),
    (["--out", "/nowhere/at/all.jsonl"], "there is no folder /nowhere/at"),
    (["--out", "/"], "/ is a folder; name a file"),
])
def test_wrong_usage_is_refused_before_anything_runs(words, said):
    ended = lab("routers", BUILD, *words)
    assert ended.returncode == 2 and said in ended.stdout, ended.stdout


def test_the_longest_stall_is_between_right_answers():
    def right(end):
        return types.SimpleNamespace(kind=RIGHT, begun=0.0, took=end)
    assert faults.longest_stall([right(1.0), right(4.5), right(2.0)]) == 2.5
    assert faults.longest_stall([]) is None


def test_versions_are_told(tmp_path):
    script = tmp_path / "smg"
    script.write_text(f"#!{sys.executable}\n")
    assert installed.version_of("pytest", script) == pytest.__version__
    script.write_text("#!/bin/no\n")
    assert installed.version_of("smg", script) == "?"
