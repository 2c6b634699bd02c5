"""What results of `batchproxy-bench run` say side by side, and as a page."""
import html.parser
import json
import re

import pytest

from tests.support.load import bench, completion, result, write_prompts
from tests.support.wire import answer


@pytest.fixture
def results(server, tmp_path):
    """Files of two runs against the same server."""
    engine = server(lambda *_: answer(completion(), extra=b"x-batchproxy-backend: e<0>\r\n"))
    questions = write_prompts(tmp_path / "q.jsonl", 60)
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file in files:
        done = bench("run", "--url", engine.url, "--questions", questions, "--workers", 4, "--repeats", 4,
                     "--json", file, "--html", tmp_path / "run.html")
        assert done.returncode == 0, done.stderr
    return files


def test_compare_tells_what_differs_and_by_how_much(results):
    done = bench("compare", *results)
    assert done.returncode == 0, done.stderr
    row = re.search(r"^questions/s +([\d.]+) +([\d.]+) +([+-][\d.]+) % +([\d.]+)  (within|better|worse)", done.stdout,
                    re.MULTILINE)
    first, second, change, p = (float(number) for number in row.groups()[:4])
    assert change == pytest.approx(100 * (second - first) / first, abs=0.2) and 0 < p <= 1
    # That is the mean of four repeats of some milliseconds, this one all of them together.
    assert first == pytest.approx(result(results[0])["request_throughput"], rel=0.5)
    assert "Permutation test over 4 and 4 repeats" in done.stdout
    assert "command: " in done.stdout  # the files' names differ


def test_compare_warns_of_runs_that_were_not_asked_the_same(results, tmp_path):
    other = result(results[1])
    other["batchproxy"]["facts"]["load"] = "closed loop, 5 workers"
    file = tmp_path / "other.json"
    file.write_text(json.dumps(other))
    assert "warning" not in bench("compare", *results).stdout
    done = bench("compare", results[0], file)
    assert done.returncode == 0 and done.stdout.startswith("warning: the runs are unlike (load): "), done.stdout
    assert "load: closed loop, 4 workers | closed loop, 5 workers" in done.stdout


def test_a_result_beside_itself_is_the_same(results):
    done = bench("compare", results[0], results[0])
    assert done.returncode == 0
    figures = [line for line in done.stdout.splitlines() if re.search(r" ms +\d|/s +\d", line)]
    assert figures and all(line.endswith("the same") and " 1.000 " in line for line in figures)


class Elements(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "line", "rect", "path", "p", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


@pytest.mark.parametrize("count", [1, 2])
def test_a_report_is_one_page_that_loads_nothing(results, tmp_path, count):
    page = tmp_path / "report.html"
    done = bench("report", *results[:count], "--html", page)
    assert done.returncode == 0 and str(page) in done.stdout
    text = page.read_text()
    elements = Elements()
    elements.feed(text)
    assert not elements.open, "all elements are closed"
    assert "svg" in elements.seen and "script" not in elements.seen and "link" not in elements.seen
    assert not re.search(r"""(src|href)=|url\(|@import""", text)
    assert "e&lt;0&gt;" in text and "e<0>" not in text
    assert ("before" in text and "after" in text) == (count == 2)


def test_a_run_writes_its_own_report(results, tmp_path):
    assert "<svg" in (tmp_path / "run.html").read_text()


def test_a_file_that_is_no_result_is_named(tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"duration": 3}')
    done = bench("compare", other, other)
    assert done.returncode == 1 and f"{other}: it is no result of `batchproxy-bench run`" in done.stderr
    done = bench("report", tmp_path / "none.json")
    assert done.returncode == 1 and "none.json cannot be read: No such file" in done.stderr
