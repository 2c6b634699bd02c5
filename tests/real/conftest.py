"""Real engines behind batchproxy, and real clients in front of it.

Runs in the virtual environment of scripts/python-tools:
    BATCHPROXY_BUILD=build/release build/python/bin/python -m pytest tests/real
`scripts/test --full` adds what takes minutes. Another Python finds no tests here."""
import contextlib
import importlib.util

import pytest

from tests.support import parts

from . import compatibility, servers, tiny_model
from .vllm import engines

NEEDED = ["anthropic", "openai", "langchain_openai", "requests", "xllamacpp"]
if not all(importlib.util.find_spec(name) for name in NEEDED):
    collect_ignore_glob = ["test_*.py", "vllm/test_*.py"]


class Ledger:
    """Which tests declare rows, and which of them passed. A known failure (xfail) gives no row."""

    def __init__(self, items):
        self.files = {item.path.name for item in items}
        self.items = [item for item in items
                      if compatibility.rows_of(item) and not item.get_closest_marker("xfail")]
        self.passed, self.skipped = set(), set()

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.skipped:
            self.skipped.add(report.nodeid)

    def rows(self, full):
        return [row for item in self.items if bool(item.get_closest_marker("full")) == full
                for row in compatibility.rows_of(item)]

    def not_passed(self):
        """Those that should have run and have not passed; what this machine cannot have is left out."""
        return [item.nodeid for item in self.items if item.nodeid not in self.passed | self.skipped
                and parts.asked_for() >= {part for mark in item.iter_markers("full") for part in mark.args}]


def pytest_configure(config):
    config.addinivalue_line("markers", "compatibility(row): a row of docs/COMPATIBILITY.md")


@pytest.hookimpl(tryfirst=True)  # before -k and -m deselect
def pytest_collection_modifyitems(config, items):
    config.pluginmanager.register(Ledger(items), "ledger")
    items.sort(key=lambda item: item.path.name == "test_compatibility.py")  # stable: it goes last


@pytest.fixture
def ledger(request):
    return request.config.pluginmanager.get_plugin("ledger")


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(tiny_model.model_bytes())
    return path


@contextlib.contextmanager
def pair_of_llama(cwd, model_file, *flags):
    with servers.running_llama(cwd, model_file, *flags) as engine, servers.proxy_before(cwd, engine.url) as proxy:
        yield servers.Pair(engine.url, proxy.url, servers.LLAMA_MODEL)


@pytest.fixture(scope="session")
def llama_pair(tmp_path_factory, model_file):
    with pair_of_llama(tmp_path_factory.mktemp("llama"), model_file) as pair:
        yield pair


@pytest.fixture(scope="session")
def wide_llama_pair(tmp_path_factory, model_file):
    """With two slots, which n=2 needs."""
    with pair_of_llama(tmp_path_factory.mktemp("wide"), model_file, "--max-num-seqs", "2") as pair:
        yield pair


@pytest.fixture(scope="session")
def pooling_llama_pair(tmp_path_factory, model_file):
    with pair_of_llama(tmp_path_factory.mktemp("pooling"), model_file, "--runner", "pooling") as pair:
        yield pair


@pytest.fixture(scope="session")
def sim_pair(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("sim")
    with servers.running_sim(cwd, "--max-model-len", "8192") as engine, servers.proxy_before(cwd, engine.url) as proxy:
        yield servers.Pair(engine.url, proxy.url, servers.SIM_MODEL)


@pytest.fixture(scope="session")
def pooling_sim_pair(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("pooling-sim")
    with servers.running_sim(cwd, "--max-model-len", "8192", "--runner", "pooling") as engine, \
            servers.proxy_before(cwd, engine.url) as proxy:
        yield servers.Pair(engine.url, proxy.url, servers.SIM_MODEL)


@pytest.fixture(scope="session")
def vllm_model(tmp_path_factory):
    """A folder as vLLM reads it, with a tokenizer that its clients can use, too."""
    engines.require()
    folder = tmp_path_factory.mktemp("vllm-model")
    engines.command("python", engines.HERE / "tiny_model.py", folder)
    return folder


@pytest.fixture(scope="session")
def vllm_template(tmp_path_factory, vllm_model):
    """Real vLLM engines, each in seconds."""
    template = engines.Template(tmp_path_factory.mktemp("vllm"), vllm_model)
    yield template
    template.close()


@pytest.fixture(scope="session")
def vllm_engines(vllm_template):
    """Two that nobody may kill."""
    with vllm_template.engines(2) as two:
        yield two


@pytest.fixture(scope="session")
def vllm_pair(tmp_path_factory, vllm_engines):
    with servers.proxy_before(tmp_path_factory.mktemp("vllm-pair"), vllm_engines[0].url) as proxy:
        yield servers.Pair(vllm_engines[0].url, proxy.url, engines.MODEL)


@pytest.fixture(scope="session")
def vllm_embedder(vllm_template):
    with vllm_template.engine("--runner", "pooling") as engine:
        yield engine


@pytest.fixture(scope="session")
def pooling_vllm_pair(tmp_path_factory, vllm_embedder):
    with servers.proxy_before(tmp_path_factory.mktemp("pooling-vllm"), vllm_embedder.url) as proxy:
        yield servers.Pair(vllm_embedder.url, proxy.url, engines.MODEL)


@pytest.fixture(scope="session")
def pairs(request):
    """pairs(name): an engine and the two ways to it, by the name that the table gives it."""
    fixtures = {compatibility.LLAMA: "llama_pair", compatibility.SIMULATED: "sim_pair", compatibility.VLLM: "vllm_pair"}
    return lambda engine: request.getfixturevalue(fixtures.get(engine, engine))
