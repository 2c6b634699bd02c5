"""The openai package for Node.js on files and batches, as it is used with OpenAI."""
import json
import os
import shutil
import subprocess

import pytest

from .compatibility import SIMULATED, row
from .servers import SIM_MODEL, running_sim
from tests.support.builds import ROOT
from tests.support.proxy import running_proxy

PACKAGES = ROOT / "build" / "node" / "node_modules"
MISSING = ROOT / "build" / "node-missing"
SCRIPT = ROOT / "tests" / "real" / "node" / "batches.cjs"
pytestmark = pytest.mark.full("node")

# What OpenAI's reference says a file and a batch have.
FILE = {"id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status", "status_details"}
BATCH = {"id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status", "output_file_id",
         "error_file_id", "created_at", "in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at",
         "expired_at", "cancelling_at", "cancelled_at", "request_counts", "metadata"}
BAD = range(0, 5000, 50)


def write_questions(path, count, bad=()):
    path.write_text("".join(json.dumps({
        "custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": SIM_MODEL, "messages": [{"role": "user", "content": f"question {i}"}],
                 "max_tokens": "many" if i in bad else 2}}) + "\n" for i in range(count)))
    return path


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the script has seen."""
    if not PACKAGES.exists():
        pytest.skip(MISSING.read_text().strip() if MISSING.exists() else "scripts/python-tools --node installs what this needs")
    cwd = tmp_path_factory.mktemp("node")
    files = [write_questions(cwd / "in.jsonl", 5000, BAD), write_questions(cwd / "many.jsonl", 20_000)]
    with running_sim(cwd) as engine, running_proxy(cwd, "--backend", engine.url,
                                                   env={"XDG_STATE_HOME": str(cwd)}) as proxy:
        ended = subprocess.run([shutil.which("node"), SCRIPT, proxy.ready(1).url, *files], text=True, timeout=180,
                               env={**os.environ, "NODE_PATH": str(PACKAGES)}, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@row("openai for Node.js", "/v1/files", "upload, list, retrieve, content, delete", SIMULATED)
def test_files(seen):
    file = seen["file"]
    assert file.keys() == FILE and seen["retrieved"] == file
    assert file.items() >= {"object": "file", "filename": "in.jsonl", "purpose": "batch"}.items()
    assert seen["files"] == [seen["cancelled"]["input_file_id"], file["id"]]  # it asks for all pages
    assert seen["refused"] == "BadRequestError" and seen["gone"] == "NotFoundError"
    assert seen["deleted"] == {"id": file["id"], "object": "file", "deleted": True}


@row("openai for Node.js", "/v1/batches", "create, poll, list, download; lines that fail", SIMULATED)
def test_a_batch(seen):
    created, done = seen["created"], seen["done"]
    assert created.keys() == done.keys() == BATCH
    assert created["status"] == "validating" and created["metadata"] == {"name": "night"}
    assert done["request_counts"] == {"total": 5000, "completed": 4900, "failed": 100}
    assert seen["listed"] == [done["id"]]
    assert {one["custom_id"] for one in seen["errors"]} == {f"q{i}" for i in BAD}
    assert {one["response"]["status_code"] for one in seen["errors"]} == {400}
    assert {one["custom_id"] for one in seen["output"]} == {f"q{i}" for i in range(5000)} - {f"q{i}" for i in BAD}
    assert all(one.keys() == {"id", "custom_id", "response", "error"} and one["error"] is None
               and one["response"]["body"]["object"] == "chat.completion" for one in seen["output"])


@row("openai for Node.js", "/v1/batches", "cancel", SIMULATED)
def test_a_batch_is_cancelled(seen):
    assert seen["cancelling"] == "cancelling" and seen["cancelledTwice"] == "BadRequestError"
    cancelled = seen["cancelled"]
    assert cancelled["cancelled_at"] >= cancelled["cancelling_at"] > 0
    assert cancelled["request_counts"]["total"] == 20_000 > cancelled["request_counts"]["completed"]
