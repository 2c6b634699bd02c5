"""The packages, built once, and fresh systems to try them on."""
import contextlib
import re
import signal
import subprocess
import time

import pytest

from tests.support.asking import complete
from tests.support.builds import ROOT
from tests.support.waiting import DEADLINE, wait_until

from .roots import Root

OUT = ROOT / "build" / "packages"


class Packages:
    """What scripts/package has made."""

    def __init__(self):
        done = subprocess.run([ROOT / "scripts" / "package"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout[-4000:]
        print(done.stdout)

    def the(self, pattern):
        [path] = OUT.glob(pattern)
        return path


@pytest.fixture(scope="session")
def packages():
    return Packages()


@pytest.fixture
def fresh(tmp_path):
    """fresh(suite, package...) -> a system of that release with these packages."""
    with contextlib.ExitStack() as made:
        yield lambda suite, *included: made.enter_context(Root(suite, tmp_path, *included).mounted())


def serve_and_ask(root, program, *words, **environment):
    """Seconds until `serve --sim 4` has answered."""
    begun = time.monotonic()
    command = root.command("sh", "-c", 'cd /tmp && exec "$@"', "sh", program, *(words or ("serve", "--sim", 4)), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                           **environment)
    said = root.path / "tmp" / "out"
    with open(said, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: "ready:" in said.read_text() or process.poll() is not None, "it to be ready")
            url = re.search(r"listening +(\S+)", said.read_text())
            assert url, said.read_text()
            response, body = complete(url[1], "p", model="simulated")
            assert response.status == 200 and body["choices"], body
            return time.monotonic() - begun
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0, said.read_text()
