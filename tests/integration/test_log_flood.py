"""An engine that floods its log: its answers come as before, and the log stays small and says what was left out."""
import time

import pytest

from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config

pytestmark = pytest.mark.alone
LINES = 2200  # LogFlood::kMostLines and kLastLines a second, and some of batchproxy's own

FLOODS = {
    "the same line": ('yes "a line of log that nobody wants to read"', "more like this"),
    "other lines": ("seq 1000000000", "lines left out"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_requests_are_unaffected_by_a_flood_of_log_lines(flood, start_proxy, tmp_path):
    # The flood ends with the shim, which kills the engine's whole tree.
    writer, note = FLOODS[flood]
    script = writer + ' & exec "$@"'
    config = write_config(tmp_path / "c.yaml", servers=1, engine="command", log_directory=str(tmp_path / "logs"), command=[
        "sh", "-c", script, "sh", str(PROXY), "sim-engine", "{model}", "--port", "{port}", "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    started = time.monotonic()
    proxy = start_proxy("--config", config).ready(1)
    slowest = 0
    for _ in range(50):
        begun = time.monotonic()
        assert complete(proxy.url, "x")[0].status == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 15
    proxy.stop()
    lasted = time.monotonic() - started
    log = (tmp_path / "logs" / "engine-0.log").read_text()
    assert note in log
    assert log.count("\n") <= (int(lasted) + 2) * LINES  # of each second that it touches
