"""Runs of `batchproxy-bench`: what it has said, and what it has written."""
import json
import subprocess

from .builds import BENCH
from .waiting import DEADLINE


def bench(*args, env=None, **how):
    return subprocess.run([str(word) for word in (BENCH, *args)], capture_output=True, text=True, timeout=DEADLINE,
                          check=False, env=env, **how)


def write_prompts(path, count=20, **fields):
    """Questions of a line each, all of which differ."""
    path.write_text("".join(json.dumps({"prompt": f"Case {number}. Which?\nAnswer:", **fields}) + "\n"
                            for number in range(count)))
    return path


def write_choices(path, labels="AB"):
    """Multiple-choice questions with these labels."""
    path.write_text("".join(json.dumps({"question": f"case {number}", "options": ["(A) x", "(B) y"], "label": label})
                            + "\n" for number, label in enumerate(labels)))
    return path


def result(path):
    """What `--json` has written."""
    return json.loads(path.read_text())


def completion(text="ok", **fields):
    """The body of a completion, with the fields of its choice."""
    return json.dumps({"choices": [{"text": text, **fields}],
                       "usage": {"prompt_tokens": 9, "completion_tokens": 2}}).encode()
