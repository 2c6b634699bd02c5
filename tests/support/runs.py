"""Runs of `batchproxy run`: files of questions, their runs, and whether the answers are right."""
import hashlib
import json
import subprocess

from .builds import PROXY
from .program import Program
from .waiting import DEADLINE, wait_until


def prompt_of(number):
    return f"passage {number % 7} question {number}"


def write_questions(path, count):
    path.write_text("".join(json.dumps({"id": f"k{i}", "prompt": prompt_of(i), "max_tokens": 1}) + "\n"
                            for i in range(count)))
    return path


def run(folder, *args, stdin=None, **how):
    return subprocess.run([PROXY, "run", *args], cwd=folder, input=stdin, capture_output=True, text=True,
                          timeout=DEADLINE, check=False, **how)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_right(answers, count):
    """Each key once, and the answer of its own prompt."""
    found = lines(answers)
    assert sorted(line["custom_id"] for line in found) == sorted(f"k{i}" for i in range(count))
    for line in found:
        text = line["response"]["body"]["choices"][0]["text"]
        digest = hashlib.sha256(prompt_of(int(line["custom_id"][1:])).encode()).hexdigest()
        assert text and digest.startswith(text)
        assert line["error"] is None and line["response"]["status_code"] == 200


def start(folder, engine, count=3000):
    """A run of a minute, in the middle."""
    write_questions(folder / "q", count)
    job = Program([PROXY, "run", "q", "-o", "a", "--url", engine.url, "--concurrency", "8"], folder)
    answers = folder / "a"
    wait_until(lambda: answers.exists() and answers.stat().st_size > 0, "first answers")
    return job


def jobs(folder, *args):
    return subprocess.run([PROXY, "jobs", *args], cwd=folder, capture_output=True, text=True, timeout=DEADLINE,
                          check=False)
