"""The image, built and run by a container tool of Debian's in a fresh system, which needs no daemon."""
import json
import re
import subprocess
import sys
import time

import pytest
import yaml

from tests.support.builds import ROOT
from tests.support.waiting import DEADLINE, wait_until

from .image import NAME, Composed, Container, build, container_tool
from .roots import cgroups, why_not

WHY_NOT = why_not() or (None if cgroups() else "a container tool needs control groups of version 2")
pytestmark = [pytest.mark.full("packages"), pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
IMAGE = ROOT / "packaging" / "image"
PROGRAM = ROOT / "build" / "portable" / "proxy" / "batchproxy"


def version():
    return subprocess.run([PROGRAM, "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def tools(packages, tmp_path_factory):
    """With the image. Objects that scripts/package has compiled are taken from the cache."""
    cache = subprocess.run(["ccache", "--get-config", "cache_dir"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    with container_tool(tmp_path_factory.mktemp("image"), cache) as found:
        begun = time.monotonic()
        said = build(found, re.search(r"commit (\S+),", version())[1])
        print(f"{said[-600:]}\nimage: built in {time.monotonic() - begun:.0f} s")
        yield found


@pytest.fixture
def container(tools):
    """Begun with what the Dockerfile says of `docker run`."""
    words = re.search(r"(?m)^# +docker run .*? batchproxy (.*)$", (IMAGE / "Dockerfile").read_text())[1].split()
    started = Container(tools, *words)
    yield started
    started.remove()


def ask(whom, port):
    script = f'from tests.support.asking import complete; print(complete("http://127.0.0.1:{port}", "p", model="simulated")[0].status)'
    return whom.from_its_network(sys.executable, "-c", script)


def test_the_image_has_the_program_of_the_packages(tools):
    size = json.loads(tools.run("podman", "image", "inspect", NAME).stdout)[0]["Size"]
    print(f"image: {size / 2**20:.0f} MiB with Debian's minimal system")
    with_it = Container(tools, "--version")
    try:
        assert with_it.process.wait(DEADLINE) == 0 and version() in with_it.said.read_text(), with_it.said.read_text()
    finally:
        with_it.remove()


def test_it_answers_as_nobody_special_is_healthy_and_ends(container):
    wait_until(lambda: "ready:" in container.said.read_text() or container.process.poll() is not None, "it to be ready")
    url = re.search(r"listening +http://0.0.0.0:(\d+)", container.said.read_text())
    assert url, container.said.read_text()
    assert ask(container, url[1]) == "200\n"
    assert container.is_healthy()

    # Whoever looks inside leaves orphans to process 1: `docker exec` of a shell, a hook of Kubernetes.
    left = container.inside("sleep 0.1 >/dev/null 2>&1 & echo $!").strip()
    look = "cat /proc/[0-9]*/status 2>/dev/null || true"
    wait_until(lambda: f"\nPid:\t{left}\n" not in container.inside(look), "an orphan to be gone")
    said = container.inside(look)
    assert len(re.findall(r"(?m)^Name:\tbatchproxy$", said)) > 4
    owners = set(re.findall(r"(?m)^Uid:\t(\d+)", said))
    assert len(owners) == 1 and owners != {"0"}

    container.tell("stop", "--time", str(int(DEADLINE)), "it")
    assert container.process.wait(DEADLINE) == 0, container.said.read_text()


def test_it_is_not_healthy_while_its_program_is_stopped(container):
    wait_until(container.is_healthy, "it to be healthy")
    container.inside("kill -STOP $(grep -lx batchproxy /proc/[0-9]*/comm | cut -d/ -f3)")
    assert not container.is_healthy()


@pytest.mark.parametrize("name", ["compose.yaml", "compose-vllm.yaml"])
def test_the_compose_files_name_services_that_they_have(tools, name):
    """What their commands say is checked by the program itself, and docker-compose reads them."""
    read = tools.run("docker-compose", "-f", f"/source/packaging/image/{name}", "config", MODEL="a-model").stdout
    services = yaml.safe_load(read)["services"]
    proxy = services["batchproxy"]
    backends = [word for word in proxy["command"] if word.startswith("http://")]
    assert [re.fullmatch(r"http://([\w-]+):8000", url)[1] for url in backends] == [each for each in services if each != "batchproxy"]
    done = subprocess.run([PROGRAM, "check", *proxy["command"]], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert proxy["build"] == {"context": "/source", "dockerfile": "packaging/image/Dockerfile"}


def test_compose_starts_the_simulated_engines_and_serves_on_without_one(tools):
    with Composed(tools, "compose.yaml") as services:
        ready = re.compile(r"ready: .*4", re.I)
        wait_until(lambda: ready.search(services.tell("logs", "batchproxy")), "all four to be ready")
        assert ask(services, 8000) == "200\n"
        services.tell("kill", "engine-2")
        wait_until(lambda: "engine-2" in services.tell("logs", "batchproxy").split("ready", 1)[1], "it to be missed")
        assert ask(services, 8000) == "200\n"
        services.tell("stop", "batchproxy")
        assert "Exit 0" in services.tell("ps", "batchproxy")
