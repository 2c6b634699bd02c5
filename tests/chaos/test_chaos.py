"""Short runs of the chaos harness; BATCHPROXY_FULL=1 makes them the full ones. See README.md."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FULL = os.environ.get("BATCHPROXY_FULL") == "1"
full = pytest.mark.skipif(not FULL, reason="takes minutes: BATCHPROXY_FULL=1 runs it")
BUILD = pathlib.Path(os.environ.get("BATCHPROXY_BUILD", ROOT / "build" / "release")).resolve()


def run(program, *flags, patience=120):
    """Runs one of the programs here, as from a shell; its table is what a failure shows."""
    ended = subprocess.run([sys.executable, "-m", f"tests.chaos.{program}", *map(str, flags)], cwd=ROOT, text=True,
                           env={**os.environ, "BATCHPROXY_BUILD": str(BUILD)}, timeout=patience,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-600:]


@pytest.mark.parametrize("flags", [[], ["--merge", "always", "--sigstop"]], ids=["default", "merged, stopped"])
def test_ten_seconds_of_chaos(flags):
    run("chaos", "--seconds", 10, "--requests", 1500, "--workers", 40, "--max-spent", 0.3,
        "--set", "request_timeout=15", *flags)


def test_two_drains():
    run("drain", "--repeats", 2)


@full
@pytest.mark.parametrize("flags", [[], ["--merge", "always"], ["--sigstop"]], ids=["default", "merged", "stopped"])
def test_two_minutes_of_chaos(flags):
    run("chaos", *flags, patience=600)


@full
def test_twenty_drains():
    run("drain", "--repeats", 20, patience=600)
