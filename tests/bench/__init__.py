"""What bench/ measures with."""
import os
import subprocess
import sys

from tests.support.builds import ROOT

PATIENCE = 100  # seconds, for the lab to end


def lab(*words, env=None):
    """`python3 -m bench.lab` with these words, once it has ended."""
    return subprocess.run([sys.executable, "-m", "bench.lab", *map(str, words)], cwd=ROOT,
                          env={**os.environ, **(env or {})}, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
