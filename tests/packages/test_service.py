"""The .deb's service under a real systemd, which is process 1 of a fresh system in a folder."""
import re

import pytest

from tests.support.asking import complete
from tests.support.waiting import wait_until

from .roots import cgroups, why_not
from .test_packages import newer

WHY_NOT = why_not() or (None if cgroups() else "systemd needs control groups of version 2")
pytestmark = [pytest.mark.full("packages"), pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]

CONFIGURATION = """\
model: {generator_settings: {boot_local: true, hf_model_id: simulated}}
batchproxy:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  launcher: {engine: sim, servers: 2, stagger: 0, log_directory: /var/log/batchproxy}
"""


class Service:
    def __init__(self, root):
        self.root = root

    def state(self):
        """What systemd knows of it."""
        said = self.root.tell("systemctl", "show", "batchproxy", "-p",
                              "ActiveState,SubState,StatusText,MainPID,NRestarts,Result,ExecMainStatus,User,Type")
        return dict(line.split("=", 1) for line in said.splitlines())

    def is_ready(self, **wanted):
        """Waits until both engines are, and `wanted` is so; what systemd knows then."""
        def look():
            now = self.state()
            is_so = now["StatusText"].startswith("2 of 2 backends ready") and wanted.items() <= now.items()
            return now if is_so and now["ActiveState"] == "active" else None
        return wait_until(look, f"2 of 2 backends: {self.state()}\n{self.log()[-3000:]}")

    def log(self):
        return self.root.tell("journalctl", "-u", "batchproxy", "-o", "cat", "--no-pager")

    def answers(self):
        """Whether the last start's address does."""
        url = re.findall(r"listening +(\S+)", self.log())[-1]
        return complete(url, "p", model="simulated")[0].status == 200

    def processes(self):
        """Its own and its engines': all are this program. A purge takes the user away, who cannot be asked for then."""
        return self.root.tell("pgrep", "-x", "batchproxy", check=False).split()


@pytest.fixture
def service(packages, fresh):
    root = fresh("bookworm", "systemd", "dbus", "procps", "adduser", "ca-certificates")
    root.run("dpkg", "-i", root.put(packages.the("*.deb")))
    (root.path / "etc/batchproxy/batchproxy.yaml").write_text(CONFIGURATION)
    with root.booted():
        yield Service(root)


def test_systemd_starts_reloads_restarts_and_stops_it(service):
    root = service.root
    assert service.state()["ActiveState"] == "inactive", "nothing says yet which model it shall serve"
    root.tell("systemctl", "enable", "--now", "batchproxy")  # returns when it has said READY=1
    first = service.state()
    assert (first["ActiveState"], first["SubState"], first["Type"], first["User"]) == ("active", "running", "notify", "batchproxy")
    service.is_ready()
    assert service.answers() and len(service.processes()) > 2
    assert (root.path / "var/lib/batchproxy").is_dir() and list((root.path / "var/log/batchproxy").glob("engine-*.log"))

    root.tell("systemctl", "reload", "batchproxy")
    wait_until(lambda: "reload" in service.log(), "the reload to be told")
    assert service.state()["MainPID"] == first["MainPID"]

    root.tell("kill", "-KILL", first["MainPID"])
    second = service.is_ready(NRestarts="1")
    assert second["MainPID"] != first["MainPID"] and service.answers()

    root.tell("systemctl", "stop", "batchproxy")
    assert service.state()["ActiveState"] == "inactive" and service.state()["Result"] == "success"
    assert service.processes() == []


def test_one_that_hangs_is_found_by_the_watchdog(service):
    root = service.root
    own = root.path / "etc/systemd/system/batchproxy.service.d/soon.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n")
    root.tell("systemctl", "daemon-reload")
    root.tell("systemctl", "start", "batchproxy")
    first = service.is_ready()
    root.tell("kill", "-STOP", first["MainPID"])
    second = service.is_ready(NRestarts="1")
    assert second["MainPID"] != first["MainPID"] and service.answers()
    assert "atchdog" in service.log()


def test_a_wrong_configuration_is_told_once_and_not_tried_again(service):
    (service.root.path / "etc/batchproxy/batchproxy.yaml").write_text(CONFIGURATION + "  lissten: 1\n")
    said = service.root.tell("systemctl", "start", "batchproxy", check=False)
    assert "failed" in said
    now = service.state()
    assert (now["ActiveState"], now["ExecMainStatus"], now["NRestarts"]) == ("failed", "2", "0")
    assert "batchproxy.yaml:6:3: error: unknown key 'lissten' in batchproxy; did you mean 'listen'?" in service.log()


def test_an_upgrade_restarts_it_and_a_purge_ends_it(packages, service):
    root = service.root
    root.tell("systemctl", "enable", "--now", "batchproxy")
    first = service.is_ready()
    deb = root.put(packages.the("*.deb"))  # again: systemd empties /tmp when it starts
    root.tell("dpkg", "-i", newer(root, deb, "99"))
    second = service.is_ready()
    assert second["MainPID"] != first["MainPID"] and service.answers()
    assert (root.path / "etc/batchproxy/batchproxy.yaml").read_text() == CONFIGURATION
    said = root.tell("dpkg", "--purge", "batchproxy")
    assert service.processes() == [] and root.tell("getent", "passwd", "batchproxy", check=False) == "", said
    left = [str(path) for part in ("etc", "usr", "var/lib", "var/log", "lib/systemd") for path in (root.path / part).rglob("*batchproxy*")]
    assert not left
