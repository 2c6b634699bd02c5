"""An engine that floods its log: its answers come as before, and its files stay within their bound."""
import time

from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config

FILES = 6  # RotatingLog::Limits: the log and five beside it
BOUND = FILES * (50 << 20) + (1 << 20)  # bytes; what is read at once may go over


def test_requests_are_unaffected_by_a_flood_of_log_lines(start_proxy, tmp_path):
    # The flood ends with the shim, which kills the engine's whole tree.
    script = 'yes "a line of log that nobody wants to read" & exec "$@"'
    config = write_config(tmp_path / "c.yaml", servers=1, engine="command", log_directory=str(tmp_path / "logs"), command=[
        "sh", "-c", script, "sh", str(PROXY), "sim-engine", "{model}", "--port", "{port}", "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    proxy = start_proxy("--config", config).ready(1)

    def is_full():
        return (tmp_path / "logs" / f"engine-0.log.{FILES - 1}").exists()

    slowest, full = 0, 0
    while full < 50:
        full += is_full()
        begun = time.monotonic()
        assert complete(proxy.url, "x")[0].status == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 5
    logs = list((tmp_path / "logs").iterdir())
    assert len(logs) == FILES and sum(path.stat().st_size for path in logs) < BOUND
    proxy.stop()
    for path in logs:
        path.unlink()  # 300 MB
