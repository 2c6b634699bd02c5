"""What scripts/package makes, on fresh systems: installs, answers, upgrades, and leaves nothing behind."""
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from tests.support.asking import complete
from tests.support.builds import ROOT
from tests.support.waiting import DEADLINE, wait_until

from .roots import Root, why_not

pytestmark = [pytest.mark.full("packages"), pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
OUT = ROOT / "build" / "packages"


@pytest.fixture(scope="module")
def packages():
    done = subprocess.run([ROOT / "scripts" / "package"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-4000:]
    print(done.stdout)
    return OUT


def the(packages, pattern):
    [path] = packages.glob(pattern)
    return path


@pytest.fixture(params=["bookworm", "trixie"])
def root(request, tmp_path):
    made = Root(request.param, tmp_path)
    with made.mounted():
        yield made
    shutil.rmtree(made.path)


def put(root, path):
    shutil.copy(path, root.path / "tmp")
    return f"/tmp/{path.name}"


def serve_and_ask(root, program):
    """Seconds until `serve --sim 4` has answered."""
    begun = time.monotonic()
    command = root.command(program, "serve", "--sim", 4, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with open(root.path / "tmp" / "out", "w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            said = lambda: (root.path / "tmp" / "out").read_text()
            url = lambda: re.search(r"listening +(\S+)", said())
            wait_until(lambda: url() and "ready:" in said(), "it to be ready")
            response, body = complete(url()[1], "p", model="simulated")
            assert response.status == 200 and body["choices"], body
            return time.monotonic() - begun
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0


def test_the_wheel_answers_beside_nothing_but_python_and_pip(packages, root):
    wheel = the(packages, "*.whl")
    begun = time.monotonic()
    root.run("python3", "-m", "venv", "/venv")
    root.run("/venv/bin/pip", "install", "--no-index", put(root, wheel))
    installed = time.monotonic() - begun
    took = serve_and_ask(root, "/venv/bin/batchproxy")
    print(f"{root.path.name}: {wheel.stat().st_size / 2**20:.1f} MiB, venv and pip {installed:.1f} s, "
          f"first answer after {took:.1f} s")
    assert root.run("/venv/bin/batchproxy-bench", "--help").returncode == 0
    assert (root.path / "venv/share/man/man1/batchproxy.1").exists()
    root.run("/venv/bin/pip", "uninstall", "-y", "batchproxy")
    left = [path for path in (root.path / "venv").rglob("*batchproxy*")]
    assert not left


def test_the_tarball_installs_itself(packages, root):
    tarball = put(root, the(packages, "*.tar.gz"))
    root.run("tar", "-xzf", tarball, "-C", "/tmp")
    [folder] = (root.path / "tmp").glob("batchproxy-*/")
    said = root.run(f"/tmp/{folder.name}/install.sh").stdout
    assert "installed in /usr/local: batchproxy " in said
    serve_and_ask(root, "/usr/local/bin/batchproxy")


def test_the_deb_installs_upgrades_and_purges(packages, root):
    root.run("apt-get", "update", "-qq")
    root.run("apt-get", "install", "-y", "-qq", "systemd", "man-db")
    before = everything(root)
    deb = put(root, the(packages, "*.deb"))
    root.run("apt-get", "install", "-y", "-qq", deb)
    assert "batchproxy" in root.run("getent", "passwd", "batchproxy").stdout
    serve_and_ask(root, "/usr/bin/batchproxy")
    said = root.run("systemd-analyze", "verify", "/lib/systemd/system/batchproxy.service").stdout
    assert "batchproxy" not in said, said
    assert root.run("man", "--warnings", "-l", "/usr/share/man/man1/batchproxy.1.gz").returncode == 0
    assert root.run("batchproxy", "check", "/etc/batchproxy/batchproxy.yaml").returncode == 0

    configuration = root.path / "etc/batchproxy/batchproxy.yaml"
    configuration.write_text(configuration.read_text().replace("127.0.0.1:8000", "127.0.0.1:9000"))
    root.run("dpkg", "--force-confold", "-i", newer(root, deb))
    assert "127.0.0.1:9000" in configuration.read_text()

    root.run("apt-get", "purge", "-y", "-qq", "batchproxy")
    assert root.run("getent", "passwd", "batchproxy", check=False).returncode == 2
    root.run("apt-get", "autoremove", "-y", "-qq", "--purge")
    assert everything(root) - before == set()


def everything(root):
    """Files that a package may leave: not those of apt, dpkg and caches."""
    skipped = ("proc", "dev", "tmp", "var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "run", "root", "var/lib/systemd")
    found = set()
    for path in pathlib.Path(root.path).rglob("*"):
        place = path.relative_to(root.path).as_posix()
        if not place.startswith(skipped):
            found.add(place)
    return {place for place in found if not place.endswith(("-", ".lock", "~"))}


def newer(root, deb):
    """The same package under a higher version."""
    root.run("dpkg-deb", "-R", deb, "/tmp/newer")
    control = root.path / "tmp/newer/DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99", control.read_text()))
    root.run("dpkg-deb", "--build", "/tmp/newer", "/tmp/newer.deb")
    return "/tmp/newer.deb"


def test_lintian_finds_nothing(packages):
    said = subprocess.run(["lintian", "--allow-root", str(the(packages, "*.deb"))], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout
    assert not [line for line in said.splitlines() if line.startswith(("E:", "W:"))], said


def test_the_same_tree_makes_the_same_bytes(packages, tmp_path):
    first = {path.name: path.read_bytes() for path in packages.glob("*.whl")}
    subprocess.run([ROOT / "scripts" / "package"], check=True, stdout=subprocess.DEVNULL)
    assert {path.name: path.read_bytes() for path in packages.glob("*.whl")} == first
