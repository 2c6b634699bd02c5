"""The lab starts what its subcommands say, and prints their tables; the figures themselves are nobody's promise."""
import re
import shutil

import pytest

from bench.lab import instructions, merging, policies, queued_prompts
from bench.lab.build import Build
from bench.lab.engines import pairs
from bench.lab.overload import goodput, neighbours
from tests.bench import lab
from tests.support.builds import BUILD, PROXY, ROOT, is_sanitized

pytestmark = pytest.mark.alone
NAMES = ["affinity", "batches", "claims", "idle-connections", "instructions", "job-tail", "lists", "load-ceiling",
         "many-engines", "merging", "overload", "peers", "policies", "queued-prompts", "recorded", "routers"]
FAST = {"sim_time_scale": 0.01}


def table(text):
    """The cells of each row."""
    return [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]


def test_help_has_a_line_for_each_subcommand():
    said = lab("--help").stdout
    assert re.findall(r"^  ([a-z-]+) +\w.*\.$", said, re.MULTILINE) == NAMES
    files = [*(ROOT / "bench" / "lab").glob("*.py"), *(ROOT / "bench" / "lab").glob("*/__init__.py")]
    runnable = [path for path in files if "\ndef run(options):" in path.read_text()]
    names = [path.parent.name if path.stem == "__init__" else path.stem for path in runnable]
    assert sorted(name.replace("_", "-") for name in names) == NAMES  # none is forgotten in the list


@pytest.mark.parametrize("name", NAMES)
def test_each_subcommand_has_its_own_help(name):
    ended = lab(name, "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: python3 -m bench.lab {name} ") and "[build]" in ended.stdout


@pytest.mark.parametrize("words, said", [
    ([], "required: SUBCOMMAND"),
    (["lunch"], "invalid choice: 'lunch'"),
    (["overload", "--parts", "lunch"], "there is no lunch; there are goodput, neighbours"),
    (["overload", "--loads", "much"], "--loads"),
    (["merging", "build", "0"], "must be more than 0"),
    (["affinity", "build", "questions", "some"], "invalid int value: 'some'"),
])
def test_wrong_usage_is_refused(words, said):
    ended = lab(*words)
    assert ended.returncode == 2
    assert said in ended.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_build_without_its_programs_is_named(name, tmp_path):
    ended = lab(name, tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.startswith(str(tmp_path))
    assert f" is not there; build it: cmake --build {tmp_path}" in ended.stdout


def test_affinity_has_a_row_with_it_and_one_without():
    ended = lab("affinity", BUILD, ROOT / "configs" / "questions.jsonl", 64, 0.01, "--rounds", 1)
    header, _, on, off = table(ended.stdout)
    assert header[:3] == [" round ", " affinity ", " questions/s "]
    assert (on[1], off[1], off[6]) == (" on ", " off ", "  ")
    assert float(on[6]) == pytest.approx(float(on[2]) / float(off[2]), abs=0.01)
    assert ended.returncode == 0


def test_batches_measures_both_sides():
    ended = lab("batches", BUILD, 2, "--rates", 10, "--requests", 20_000, "--tokens", 8, "--time-scale", 0.05)
    _, _, cells = table(ended.stdout)
    assert cells[0] == " 10/s "
    assert float(cells[5]) == pytest.approx(float(cells[4]) / float(cells[3]), rel=0.2)
    assert ended.returncode == 0


def test_job_tail_has_a_row_for_each_trouble():
    ended = lab("job-tail", BUILD, 600, "--tokens", 4, "--time-scale", 0.05, "--max-num-seqs", 16, "--hung", 0.5)
    _, *cells = table(ended.stdout)[1:]
    assert [row[0] for row in cells] == [" four alike ", " one 6 times slower ", " one hangs for 0.5 s at the end "], ended
    assert all(0 <= float(row[2]) <= float(row[1]) for row in cells)
    assert ended.returncode == 0


def test_claims_are_held_against_one_request_at_a_time():
    ended = lab("claims", BUILD, "--workers", 4, "--time-scale", 0.02)
    cells = [row for row in table(ended.stdout) if row[1].startswith(" 1 x TP") or row[0].startswith(" combined,")]
    assert len(cells) == 12, ended
    for individual, *others in (cells[:6], cells[6:]):
        assert individual[0] == " individual " and individual[5] == " 1.0x "
        for row in others:
            ratio = float(row[3]) / float(individual[3])
            assert float(row[5].strip(" x")) == pytest.approx(ratio, rel=0.02, abs=0.1)
    assert ended.returncode == 0


def test_lists_compares_the_answers():
    ended = lab("lists", BUILD, "--rounds", 1)
    assert [row[4] for row in table(ended.stdout)[2:]] == [" identical "], ended.stdout
    assert ended.returncode == 0


@pytest.mark.skipif(not shutil.which("wrk") or not shutil.which("nginx"), reason="needs wrk and nginx")
def test_load_ceiling_asks_by_both_clients():
    ended = lab("load-ceiling", BUILD, "--seconds", 1, "--rounds", 1)
    cells = table(ended.stdout)[2:]
    assert [(row[0], row[1]) for row in cells] == [(gives, count) for gives in (" all it can ", " 5,000/s ")
                                                   for count in (" 1 ", " 8 ", " 64 ")], ended.stdout
    assert all(float(row[4]) == pytest.approx(float(row[3]) / float(row[2]), abs=0.01) for row in cells)
    assert ended.returncode == 0


def test_idle_connections_weighs_them_alone_and_beside_load():
    ended = lab("idle-connections", BUILD, 50, "--seconds", 1)
    assert re.findall(r"^(?:50 idle connections|8 workers) (\w+)", ended.stdout, re.MULTILINE) == [
        "alone", "without", "beside", "beside"], ended.stdout
    assert ended.returncode == 0


@pytest.mark.skipif(not Build().microbench.exists(), reason="needs libbenchmark-dev")
def test_many_engines_has_a_row_for_each_number_of_them():
    ended = lab("many-engines", BUILD, "--engines", "2,5", "--requests", 50, "--seconds", 0.2)
    lane, waiting, (few, *_), (many, *figures) = table(ended.stdout)[2:4] + table(ended.stdout)[6:]
    assert len(lane) == len(waiting) == 4 and float(lane[3]) > float(lane[1]), ended.stdout
    assert (few, many) == (" 2 ", " 5 ")
    assert all(float(part) >= 0 for cell in figures for part in cell.split(",")), ended.stdout
    assert ended.returncode == 0


def test_overload_counts_the_good_answers_of_a_window(monkeypatch):
    """An engine that is asked for half of what it can give answers all, in either loop."""
    monkeypatch.setattr(goodput, "SETTLING", 0.5)
    for loop in ("closed", "open"):
        assert 0.5 < goodput.share(PROXY, True, loop, "clients leave after 120 s", 0.5, 1) < 1.3


def test_a_bad_worker_is_beside_the_good_ones(monkeypatch):
    monkeypatch.setattr(neighbours, "SETTLING", 0.5)
    assert neighbours.good_workers(PROXY, True, 2, "404", 1) > 16


def test_merging_asks_short_questions_and_has_the_proxys_status(tmp_path):
    short = merging.write_short_questions(tmp_path / "short.jsonl")
    result, status = merging.ask(Build(), "off", short, 8, 64, 1, {"launcher": FAST})
    assert result["answered"] == status["requests"]["received"] == 64
    assert status["merged_calls"] == 0


def test_policies_asks_a_lone_request_both_ways():
    with pairs(Build(), launcher=FAST) as proxy:
        alone = policies.ask_alone({"proxy": proxy.url, "direct": proxy.engine})
    assert alone["proxy"] > 0 and alone["direct"] > 0


def test_queued_prompts_weighs_what_waits(capsys):
    queued_prompts.weigh(Build(), "one prompt", 300, 20, queued_prompts.body_of_one, 1)
    [[shape, size, prompts, before, beside, *_]] = table(capsys.readouterr().out)
    assert (shape, size, prompts) == (" one prompt ", " 300 B ", " 20 ")
    assert 0 < int(before) <= int(beside)


@pytest.mark.skipif(not shutil.which("valgrind") or is_sanitized(), reason="needs valgrind and a plain build")
def test_instructions_grow_with_the_requests(tmp_path):
    few, many = (instructions.count_hop(Build(), tmp_path, "", times) for times in (5, 55))
    assert many - few > 50 * 1000
