"""The openai package's files and batches, as it is used with OpenAI."""
import json

import openai
import pytest

from .compatibility import SIMULATED, row
from .servers import SIM_MODEL, running_sim
from tests.support.proxy import running_proxy
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("batches")
    with running_sim(cwd) as engine, running_proxy(cwd, "--backend", engine.url,
                                                   env={"XDG_STATE_HOME": str(cwd)}) as proxy:
        yield openai.OpenAI(base_url=proxy.ready(1).url + "/v1", api_key="any")


@row("openai", "/v1/files", "upload, list, retrieve, content, delete", SIMULATED)
def test_files(client, tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("{}\n" * 100_000)
    with path.open("rb") as opened:
        file = client.files.create(file=opened, purpose="batch")
    assert (file.filename, file.bytes, file.purpose, file.object) == ("questions.jsonl", 300_000, "batch", "file")
    other = client.files.create(file=("other.jsonl", b"{}"), purpose="batch")
    assert [one.id for one in client.files.list(limit=1)] == [other.id, file.id]  # it asks for all pages
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == path.read_bytes()
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=b"{}", purpose="vision")


def requests(count, bad):
    """So many lines; those of the keys in `bad` ask for what no engine takes."""
    for i in range(count):
        body = {"model": SIM_MODEL, "messages": [{"role": "user", "content": f"question {i}"}],
                "max_tokens": "many" if i in bad else 2}
        yield json.dumps({"custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions", "body": body})


@row("openai", "/v1/batches", "create, poll, list, download; lines that fail", SIMULATED)
def test_a_batch(client):
    bad = range(0, 500, 50)
    file = client.files.create(file=("in.jsonl", "\n".join(requests(500, bad)).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
                                  metadata={"name": "night"})
    assert batch.object == "batch" and batch.metadata == {"name": "night"}
    done = wait_until(lambda: (now := client.batches.retrieve(batch.id)).status == "completed" and now, "its end")
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (500, 490, 10)
    output, errors = ([json.loads(line) for line in client.files.content(one).text.splitlines()]
                      for one in (done.output_file_id, done.error_file_id))
    assert {one["custom_id"] for one in errors} == {f"q{i}" for i in bad}
    assert len({one["custom_id"] for one in output}) == 490
    assert all(one["response"]["body"]["object"] == "chat.completion" for one in output)
    assert [one.id for one in client.batches.list(limit=1)] == [batch.id]


@row("openai", "/v1/batches", "cancel", SIMULATED)
def test_a_batch_is_cancelled(client):
    file = client.files.create(file=("in.jsonl", "\n".join(requests(20_000, ())).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert wait_until(lambda: client.batches.retrieve(batch.id).status == "cancelled", "its end")
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)
