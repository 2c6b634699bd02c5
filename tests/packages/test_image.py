"""The image's Dockerfile, replayed in folders; and the program as process 1, as it is in a container."""
import re
import shutil
import signal
import subprocess

import pytest
import yaml

from tests.support.asking import complete
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
    stage = replay(IMAGE / "Dockerfile", folder, {"COMMIT": commit}, [(cache, "/root/.cache/ccache")])
    yield stage
    stage.close()
    shutil.rmtree(folder)


def test_the_image_has_the_program_of_the_packages(image):
    said = subprocess.run(image.command("batchproxy", "--version"), check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "portable build by clang 19" in said
    size = sum(path.lstat().st_size for path in image.root.path.rglob("*") if path.is_file() and not path.is_symlink()
               and not path.is_relative_to(image.root.path / "proc") and not path.is_relative_to(image.root.path / "dev"))
    print(f"image: {size / 2**20:.0f} MiB with Debian's minimal system; {said}")


def test_it_runs_as_nobody_special_and_as_process_1(image):
    assert image.user == "batchproxy" and image.told["STOPSIGNAL"] == "SIGTERM"
    entry = words_of(image.told["ENTRYPOINT"])
    # Its own processes only, as in a container; it is the first of them.
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc=" + str(image.root.path / "proc"),
               *image.command(*entry, "serve", "--sim", "2", "--listen", "127.0.0.1:0")]
    said = image.root.path / "tmp" / "said"
    with open(said, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "ready:" in said.read_text() or process.poll() is not None, "it to be ready")
        url = re.search(r"listening +(\S+)", said.read_text())
        assert url, said.read_text()
        assert complete(url[1], "p", model="simulated")[0].status == 200
        assert subprocess.run(image.command(*words_of(image.told["HEALTHCHECK"])), stdout=subprocess.DEVNULL).returncode == 0
        [inside] = subprocess.run(["pgrep", "-P", str(process.pid)], text=True, stdout=subprocess.PIPE).stdout.split()
        numbers = re.search(r"(?m)^NSpid:(.*)$", open(f"/proc/{inside}/status").read())[1].split()
        assert numbers[-1] == "1"
        owner = re.search(r"(?m)^Uid:\s+(\d+)", open(f"/proc/{inside}/status").read())[1]
        assert owner != "0"
        subprocess.run(["kill", "-TERM", inside], check=True)
        assert process.wait(DEADLINE) == 0, said.read_text()
        assert "defunct" not in said.read_text()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert subprocess.run(image.command(*words_of(image.told["HEALTHCHECK"])), stderr=subprocess.DEVNULL).returncode != 0


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
