"""A proxy before engines that fail, held to the conservation law by /metrics at its end."""
import pytest

from tests.support.builds import PROXY
from tests.support.engine_process import EngineProcess
from tests.support.waiting import wait_until

from .helpers import assert_law, write_keys


@pytest.fixture
def start_proxy(start_proxy):
    """As elsewhere, and held to its law by /metrics."""
    started = []

    def start(*args, **how):
        started.append(start_proxy(*args, **how))
        return started[-1]

    yield start
    for proxy in started:
        if proxy.process.poll() is None:
            assert_law(proxy)


@pytest.fixture
def serve(start_proxy, tmp_path):
    """serve(backends, ready=…, program=…, **keys): a proxy in front of them, once `ready` of them (all) are."""
    def make(backends, ready=None, batch_size=16, batch_timeout=0.5, program=PROXY, **keys):
        write_keys(tmp_path / "c.yaml", backends, batch_size, batch_timeout, **keys)
        proxy = start_proxy("--config", tmp_path / "c.yaml", program=program)
        return proxy if ready == 0 else proxy.ready(ready or len(backends))

    return make


@pytest.fixture
def engines(tmp_path):
    """engines(n, up=True, latency=…, slots=…): programs that can be killed, and started again on their port."""
    made = []

    def make(count, up=True, **how):
        folder = tmp_path / f"engines-{len(made)}"
        folder.mkdir()
        fresh = [EngineProcess(index, folder, **how) for index in range(count)]
        made.extend(fresh)
        if up:
            for engine in fresh:
                engine.start()
            for engine in fresh:
                wait_until(engine.listening, f"an engine at {engine.url}")
        return fresh

    yield make
    for engine in made:
        engine.close()
