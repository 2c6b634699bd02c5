"""The openai package's files, as it is used with OpenAI."""
import openai
import pytest

from .compatibility import SIMULATED, row
from .servers import running_sim
from tests.support.proxy import running_proxy


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
