"""What scripts/package makes, on fresh systems: installs, answers, upgrades, and leaves nothing behind."""
import hashlib
import json
import os
import re
import subprocess
import time

import pytest

from tests.support.builds import ROOT
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

from .conftest import OUT, serve_and_ask
from .roots import why_not

pytestmark = [pytest.mark.full("packages"), pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
SUITES = pytest.mark.parametrize("suite", ["bookworm", "trixie"])


@SUITES
def test_the_wheel_answers_beside_nothing_but_python_and_pip(packages, fresh, suite):
    root = fresh(suite, "python3-pip", "python3-venv")
    wheel = packages.the("*.whl")
    begun = time.monotonic()
    root.run("python3", "-m", "venv", "/venv")
    made = time.monotonic()
    root.run("/venv/bin/pip", "install", "--no-index", root.put(wheel))
    installed = time.monotonic()
    took = serve_and_ask(root, "/venv/bin/batchproxy")
    print(f"{suite}: {wheel.stat().st_size / 2**20:.1f} MiB; venv {made - begun:.1f} s, pip {installed - made:.1f} s, "
          f"first answer after {took:.1f} s")
    assert root.run("/venv/bin/batchproxy-bench", "--help").returncode == 0
    assert (root.path / "venv/share/man/man1/batchproxy.1").exists()
    root.run("/venv/bin/pip", "uninstall", "-y", "batchproxy")
    assert not list((root.path / "venv").rglob("*batchproxy*"))


@SUITES
def test_the_tarball_installs_itself(packages, fresh, suite):
    root = fresh(suite, "python3-pip", "python3-venv")
    root.run("tar", "-xzf", root.put(packages.the("*.tar.gz")), "-C", "/tmp")
    [folder] = (root.path / "tmp").glob("batchproxy-*/")
    said = root.run(f"/tmp/{folder.name}/install.sh").stdout
    assert re.search(r"installed in /usr/local: batchproxy \S+, commit \S+, portable build by clang 19", said), said
    serve_and_ask(root, "/usr/local/bin/batchproxy")


@SUITES
def test_the_deb_installs_upgrades_and_purges(packages, fresh, suite):
    root = fresh(suite, "systemd", "man-db", "adduser", "ca-certificates")
    before = everything(root)
    deb = root.put(packages.the("*.deb"))
    root.run("apt-get", "install", "-y", "-qq", deb)
    assert "batchproxy" in root.run("getent", "passwd", "batchproxy").stdout
    serve_and_ask(root, "/usr/bin/batchproxy")
    for unit in ("/lib/systemd/system/batchproxy.service", "/usr/lib/systemd/user/batchproxy.service"):
        said = root.run("systemd-analyze", "verify", *(["--user"] if "user" in unit else []), unit, check=False).stdout
        assert "batchproxy" not in said, said
    for page in ("man1/batchproxy.1.gz", "man1/batchproxy-bench.1.gz", "man5/batchproxy.yaml.5.gz"):
        done = subprocess.run(root.command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", f"/usr/share/man/{page}"),
                              text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, ""), page
    assert root.run("batchproxy", "check", "/etc/batchproxy/batchproxy.yaml").returncode == 0

    configuration = root.path / "etc/batchproxy/batchproxy.yaml"
    mine = configuration.read_text().replace("127.0.0.1:8000", "127.0.0.1:9000")
    configuration.write_text(mine)
    root.run("dpkg", "-i", newer(root, deb, "98"))
    assert configuration.read_text() == mine
    root.run("dpkg", "--force-confold", "-i", newer(root, deb, "99", "# another one\n"))
    assert configuration.read_text() == mine
    assert (root.path / "etc/batchproxy/batchproxy.yaml.dpkg-dist").read_text() == "# another one\n"
    root.run("apt-get", "remove", "-y", "-qq", "batchproxy")
    assert configuration.read_text() == mine

    (root.path / "var/lib/batchproxy/jobs").mkdir(parents=True)
    root.run("apt-get", "purge", "-y", "-qq", "batchproxy")
    for kind in ("passwd", "group"):
        assert root.run("getent", kind, "batchproxy", check=False).returncode == 2
    assert everything(root) - before == set()
    left = [str(path) for part in ("etc", "usr", "var/lib", "var/log") for path in (root.path / part).rglob("*batchproxy*")
            if "var/lib/apt" not in str(path)]
    assert not left


def everything(root):
    """Files that a package may leave: not those of apt, dpkg and caches."""
    skipped = ("proc", "dev", "tmp", "var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "run", "root", "var/lib/systemd")
    found = set()
    for folder, inner, names in os.walk(root.path):
        place = os.path.relpath(folder, root.path)
        inner[:] = [name for name in inner if os.path.normpath(f"{place}/{name}") not in skipped]
        found |= {os.path.normpath(f"{place}/{name}") for name in [*inner, *names]}
    return {place for place in found if not place.endswith(("-", ".lock", "~"))}


def newer(root, deb, version, configuration=None):
    """The same package under a higher version; with another configuration, if one is given."""
    root.run("rm", "-rf", "/tmp/newer")
    root.run("dpkg-deb", "-R", deb, "/tmp/newer")
    control = root.path / "tmp/newer/DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    if configuration:
        (root.path / "tmp/newer/etc/batchproxy/batchproxy.yaml").write_text(configuration)
    root.run("dpkg-deb", "--root-owner-group", "-Znone", "--build", "/tmp/newer", "/tmp/newer.deb")
    return "/tmp/newer.deb"


def test_shells_complete_words_once_the_deb_is_there(packages, fresh):
    root = fresh("bookworm", "adduser", "ca-certificates", "bash-completion", "zsh", "fish")
    root.run("dpkg", "-i", root.put(packages.the("*.deb")))
    root.run("touch", "/root/answers-of-mine.jsonl")
    for program, begun, wanted in [("batchproxy", "batchproxy wor", "worker-config"),
                                   ("batchproxy", "batchproxy jobs ver", "verify"),
                                   ("batchproxy", "batchproxy serve --port-b", "--port-base"),
                                   ("batchproxy", "batchproxy jobs show answers-of", "answers-of-mine.jsonl"),
                                   ("batchproxy-bench", "batchproxy-bench comp", "compare")]:
        script = ("cd /root; . /usr/share/bash-completion/bash_completion; _completion_loader " + program +
                  f"; COMP_WORDS=({begun}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{begun}'; COMP_POINT=${{#COMP_LINE}}"
                  f"; $(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        assert wanted in root.run("bash", "-c", script).stdout.splitlines(), begun
        said = root.run("fish", "-c", f"cd /root; complete -C '{begun}'", HOME="/root").stdout
        assert wanted in [line.split("\t")[0].split("/")[-1] for line in said.splitlines()], said
        terminal = Terminal(root.command("zsh", "-f", "-i", TERM="dumb", PS1="> "))
        try:
            terminal.press("cd /root; autoload -U compinit && compinit -u -D && echo loa''ded\n")
            # At its next prompt; what comes before is not read as it is meant.
            wait_until(lambda: re.search(r"\nloaded\r\n.*\?2004h$", terminal.read(), re.S), f"a prompt: {terminal.text!r}")
            terminal.press(begun + "\t")
            terminal.shows(wanted)
        finally:
            terminal.process.kill()
            terminal.process.wait()


def test_lintian_finds_nothing(packages):
    said = subprocess.run(["lintian", "--allow-root", str(packages.the("*.deb"))], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout
    print(said or "lintian has nothing to say")
    assert not [line for line in said.splitlines() if line.startswith(("E:", "W:"))], said


def test_an_older_glibc_is_named_by_the_loader(packages, fresh):
    """Debian has no release with glibc 2.35: that of Ubuntu 22.04. The one before it refuses the program, and says why."""
    root = fresh("bullseye")
    root.run("tar", "-xzf", root.put(packages.the("*.tar.gz")), "-C", "/tmp")
    [folder] = (root.path / "tmp").glob("batchproxy-*/")
    done = root.run(f"/tmp/{folder.name}/bin/batchproxy", "--version", check=False)
    assert done.returncode != 0 and re.search(r"version `GLIBC_2\.3[45]' not found", done.stdout), done.stdout


def test_the_sums_the_bill_and_the_debug_symbols_belong_to_the_programs(packages):
    for line in packages.the("SHA256SUMS").read_text().splitlines():
        wanted, name = line.split()
        assert hashlib.sha256((OUT / name).read_bytes()).hexdigest() == wanted, name
    bill = json.loads(packages.the("*.cdx.json").read_text())
    assert {"openssl", "sqlite3", "boost1.81", "simdjson"} <= {part["name"] for part in bill["components"]}
    said = subprocess.run(["readelf", "-n", packages.the("batchproxy.debug"), ROOT / "build/portable/proxy/batchproxy"],
                          check=True, text=True, stdout=subprocess.PIPE).stdout
    first, second = re.findall(r"Build ID: (\S+)", said)
    assert first == second


def test_auditwheel_agrees_with_the_platform_of_the_wheel(packages, tmp_path):
    """auditwheel reads the programs themselves, and names the oldest system that they run on."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", "auditwheel"], check=True)
    wheel = packages.the("*.whl")
    said = subprocess.run([tmp_path / "venv/bin/auditwheel", "show", wheel], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout
    print(said)
    assert re.search(r"manylinux_2_3[45]_x86_64", said), said
    found = re.search(r"manylinux_2_(\d+)_x86_64", said)
    named = re.search(r"manylinux_2_(\d+)_x86_64", wheel.name)
    assert int(found[1]) <= int(named[1])


def test_the_same_source_makes_the_same_programs_in_another_folder(packages):
    """A library compiled anew in both, and the programs linked; `--whole` compiles all of it, which takes an hour."""
    done = subprocess.run([ROOT / "packaging" / "check-reproducible"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and "the same bytes in both folders" in done.stdout, done.stdout
    print(done.stdout)


def test_the_same_source_makes_the_same_packages(packages):
    def made():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for pattern in ("*.whl", "*.deb", "*.tar.gz", "*.json")
                for path in OUT.glob(pattern)}
    first = made()
    subprocess.run([ROOT / "scripts" / "package"], check=True, stdout=subprocess.DEVNULL)
    assert made() == first
