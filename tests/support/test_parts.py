"""What BATCHPROXY_FULL asks for."""
import os
import subprocess
import sys

from .builds import ROOT


def test_a_part_that_is_not_there_ends_the_run_with_a_sentence():
    run = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "tests/support"], cwd=ROOT, text=True,
                         env={**os.environ, "BATCHPROXY_FULL": "chaos moon"}, capture_output=True)
    assert run.returncode == 4  # pytest's word for a wrong command line
    assert "BATCHPROXY_FULL: there is no part moon; there are chaos, drain" in run.stderr
    assert "INTERNALERROR" not in run.stdout + run.stderr
