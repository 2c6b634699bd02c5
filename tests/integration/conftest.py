"""A proxy, a simulated engine or a scripted one for a test, each stopped at its end."""
import signal
import subprocess

import pytest

from tests.support.proxy import Proxy, SimEngine
from tests.support.scripted_engine import ScriptedEngine


@pytest.fixture
def start_proxy(tmp_path):
    """start_proxy(*flags, env=None, prefix=(), program=…): a proxy that is stopped, and held to its law, at the end."""
    started = []

    def start(*args, **how):
        proxy = Proxy(args, tmp_path, **how)
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        if proxy.is_running():
            try:
                proxy.assert_balanced()
            finally:
                proxy.stop()
        proxy.assert_clean()


@pytest.fixture
def start_engine(tmp_path):
    """start_engine(*flags, env=None): a simulated engine and its URL."""
    started = []

    def start(*flags, env=None):
        engine = SimEngine(tmp_path, *flags, env=env)
        started.append(engine)
        return engine

    yield start
    for engine in started:
        engine.stop(signal.SIGTERM)


@pytest.fixture
def scripted():
    """scripted(script, **how): a ScriptedEngine."""
    made = []

    def make(script, **how):
        made.append(ScriptedEngine(script, **how))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def server(scripted):
    """server(script, **how): a ScriptedEngine whose script is asked for nothing but answers to questions."""
    return lambda script, **how: scripted(script, pages={"/version": None}, **how)


@pytest.fixture
def serve(start_proxy, start_engine):
    """serve(*flags): a proxy in front of one simulated engine with these flags, its `engine`."""
    def start(*flags):
        engine = start_engine(*flags)
        proxy = start_proxy("--backend", engine.url).ready(1)
        proxy.engine = engine
        return proxy

    return start


@pytest.fixture
def served(serve):
    """A proxy in front of one simulated engine, `served.engine`."""
    return serve()


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 800 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "none", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
