"""The image's Dockerfile, replayed in folders; and the program as process 1, as it is in a container."""
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.support.builds import ROOT
from tests.support.waiting import DEADLINE, wait_until

from .image import replay, words_of
from .roots import why_not

pytestmark = [pytest.mark.full("packages"), pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
IMAGE = ROOT / "packaging" / "image"


@pytest.fixture(scope="module")
def image(packages, tmp_path_factory):
    """The image as its Dockerfile says. Objects that scripts/package has compiled are taken from the cache."""
    said = subprocess.run([ROOT / "build/portable/proxy/batchproxy", "--version"], check=True, text=True, stdout=subprocess.PIPE)
    commit = re.search(r"commit (\S+),", said.stdout)[1]
    cache = subprocess.run(["ccache", "--get-config", "cache_dir"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    folder = tmp_path_factory.mktemp("image")
    begun = time.monotonic()
    with replay(IMAGE / "Dockerfile", folder, {"COMMIT": commit}, [(cache, "/root/.cache/ccache")]) as stage:
        print(f"image: replayed in {time.monotonic() - begun:.0f} s")
        yield stage


def test_the_image_has_the_program_of_the_packages(image):
    said = subprocess.run(image.command("batchproxy", "--version"), check=True, text=True, stdout=subprocess.PIPE).stdout
    assert said == subprocess.run([ROOT / "build/portable/proxy/batchproxy", "--version"], check=True, text=True,
                                  stdout=subprocess.PIPE).stdout
    size = sum(path.lstat().st_size for path in image.root.path.rglob("*") if path.is_file() and not path.is_symlink()
               and not path.is_relative_to(image.root.path / "proc") and not path.is_relative_to(image.root.path / "dev"))
    print(f"image: {size / 2**20:.0f} MiB with Debian's minimal system; {said}")


class Container:
    """What a container gives to a program: its own processes, of which it is the first, and its own network."""

    def __init__(self, image, *words):
        self.image = image
        self.said = image.root.path / "tmp" / "said"
        with open(self.said, "w") as out:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", f"--mount-proc={image.root.path / 'proc'}",
                 "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *image.command(*words_of(image.told["ENTRYPOINT"]), *words)],
                stdout=out, stderr=subprocess.STDOUT)

    @property
    def first(self):
        """The number on this machine of its process 1."""
        [inside] = subprocess.run(["pgrep", "-P", str(self.process.pid)], text=True, stdout=subprocess.PIPE).stdout.split()
        return int(inside)

    def inside(self, *words):
        return subprocess.run(["nsenter", "-t", str(self.first), "--net", "--pid", "--mount", *words], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def processes(self):
        """{number: (name, user's number)} inside."""
        found = self.inside(*self.image.root.command("sh", "-c", "cat /proc/[0-9]*/status")).stdout
        return {int(pid): (name, int(uid)) for name, pid, uid in
                re.findall(r"^Name:\s+(.*)\n(?:.*\n)*?Pid:\s+(\d+)\n(?:.*\n)*?Uid:\s+(\d+)", found, re.M)}

    def is_healthy(self):
        return self.inside(*self.image.command(*words_of(self.image.told["HEALTHCHECK"]))).returncode == 0

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def container(image):
    """Begun with what the Dockerfile says of `docker run`."""
    words = re.search(r"(?m)^# +docker run .*? batchproxy (.*)$", (IMAGE / "Dockerfile").read_text())[1].split()
    started = Container(image, *words)
    yield started
    started.end()


def test_it_runs_as_nobody_special_answers_is_healthy_and_ends(image, container):
    assert image.user == "batchproxy" and image.told["STOPSIGNAL"] == "SIGTERM"
    wait_until(lambda: "ready:" in container.said.read_text() or container.process.poll() is not None, "it to be ready")
    port = re.search(r"listening +http://0.0.0.0:(\d+)", container.said.read_text())
    assert port and port[1] == image.told["EXPOSE"], container.said.read_text()
    ask = f'from tests.support.asking import complete; print(complete("http://127.0.0.1:{port[1]}", "p", model="simulated")[0].status)'
    asked = container.inside("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", ask)
    assert asked.stdout == "200\n", asked.stderr
    assert container.is_healthy()

    # Whoever looks inside leaves orphans to process 1: `docker exec` of a shell, a hook of Kubernetes.
    left = container.inside("sh", "-c", "exec >/dev/null; sleep 0.1 & echo $! >&2").stderr.strip()
    wait_until(lambda: int(left) not in container.processes(), "an orphan to be gone")
    ours = [(name, uid) for name, uid in container.processes().values() if name not in ("sh", "cat")]
    assert len([name for name, _ in ours if name == "batchproxy"]) > 4 and all(uid != 0 for _, uid in ours), ours

    subprocess.run(["kill", "-TERM", str(container.first)], check=True)
    assert container.process.wait(DEADLINE) == 0, container.said.read_text()


def test_it_is_not_healthy_while_nothing_serves(image):
    alone = ["unshare", "--net", *image.command(*words_of(image.told["HEALTHCHECK"]))]
    assert subprocess.run(alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.parametrize("name", ["compose.yaml", "compose-vllm.yaml"])
def test_the_compose_files_name_services_that_they_have(packages, name):
    """No compose tool is here: what their commands say is checked by the program itself."""
    services = yaml.safe_load((IMAGE / name).read_text())["services"]
    proxy = services["batchproxy"]
    backends = [word for word in proxy["command"] if word.startswith("http://")]
    assert [re.fullmatch(r"http://([\w-]+):8000", url)[1] for url in backends] == [each for each in services if each != "batchproxy"]
    program = ROOT / "build/portable/proxy/batchproxy"
    done = subprocess.run([program, "check", *proxy["command"]], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert proxy["build"] == {"context": "../..", "dockerfile": "packaging/image/Dockerfile"}
