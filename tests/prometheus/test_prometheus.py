"""What share/batchproxy gives to Prometheus and Grafana, by Prometheus itself (the part `prometheus` of scripts/test --full;
Debian's package `prometheus` has both programs), and that it names no metric that there is not (always)."""
import json
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.parse

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import BUILD
from tests.support.program import Program
from tests.support.proxy import running_proxy, write_config
from tests.support.waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALERTS = ROOT / "share/batchproxy/alerts.yml"
BOARD = ROOT / "share/batchproxy/grafana.json"


def documented():
    return set(re.findall(r"`(batchproxy_\w+)` \|", (ROOT / "docs/METRICS.md").read_text()))


@pytest.mark.parametrize("file", [ALERTS, BOARD], ids=["alerts", "board"])
def test_names_no_metric_that_there_is_not(file):
    used = set(re.findall(r"\bbatchproxy_\w+", file.read_text()))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in documented() else name for name in used}
    assert len(plain) >= 10 and plain <= documented(), plain - documented()


def test_every_alert_has_its_case():
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
    cases = (ROOT / "tests/prometheus/alerts_test.yml").read_text()
    assert alerts == set(re.findall(r"name: (\w+) fires", cases))
    assert alerts == set(re.findall(r"alertname: (\w+), exp_alerts: \[\]}", cases)), "none fires while all is well"


def tool(name):
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install --no-install-recommends prometheus"
    return found


@pytest.mark.full("prometheus")
def test_promtool_takes_the_rules_and_each_alert_fires(tmp_path):
    for file in (ALERTS, ROOT / "tests/prometheus/alerts_test.yml"):
        shutil.copy(file, tmp_path)
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([tool("promtool"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and "SUCCESS" in done.stdout, done


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def expressions():
    board = json.loads(BOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*")
            yield pytest.param(expr, id=f"{panel['title']}: {target['legendFormat']}")


class Prometheus(Program):
    """Scrapes `proxy` twice a second."""

    def __init__(self, folder, proxy):
        config = {"global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"}, "rule_files": [str(ALERTS)],
                  "scrape_configs": [{"job_name": "batchproxy", "scrape_timeout": "500ms",
                                      "static_configs": [{"targets": [proxy.admin.removeprefix("http://")]}]}]}
        (folder / "prometheus.yml").write_text(json.dumps(config))
        port = free_port()  # it takes no port of the kernel's choice
        super().__init__([tool("prometheus"), "--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "tsdb",
                          "--web.listen-address", f"127.0.0.1:{port}"], folder)
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, **query):
        try:
            response, text = call(self.url, f"{path}?{urllib.parse.urlencode(query)}")
        except OSError:  # it is not up yet
            return None
        return json.loads(text)["data"] if response.status == 200 else None

    def query(self, expr):
        found = self.get("/api/v1/query", query=expr)
        return found and found["result"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Prometheus, which has scraped a proxy with two engines under load, and one call that failed."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = write_config(folder / "c.yaml", servers=2, gpus=[0, 1, 2, 3])
    libraries = folder / "lib"
    libraries.mkdir()
    (libraries / "libnvidia-ml.so.1").symlink_to(BUILD / "tests" / "liblauncher_fake_nvml.so")
    box = "gpus 4 name=NVIDIA_H100 total=81559 used=1000 util=40 temp=55\nlink 0 1 2\nlink 2 3 2\n"
    driver = {"LD_LIBRARY_PATH": str(libraries), "FAKE_NVML": box}
    with running_proxy(folder, "--config", config, env=driver) as proxy:
        proxy.ready(2)
        program = Prometheus(folder, proxy)
        try:
            wait_until(lambda: program.query("batchproxy_backend_up"), "the first scrape")

            def rates():
                for i in range(8):
                    complete(proxy.url, f"question {i} " + "word " * 40)
                    call(proxy.url, "/v1/completions", {"model": MODEL, "prompt": "x", "max_tokens": 2, "stream": True})
                complete(proxy.url, "x", model="nobody has this")
                return program.query("rate(batchproxy_requests_received_total[5s]) > 0")
            wait_until(rates, "a rate")
            wait_until(lambda: rates() and program.query("rate(batchproxy_backend_prefix_cache_queries_total[5s]) > 0"),
                       "the engines' figures")
            yield program
        finally:
            program.stop()


# What a healthy proxy has no sample of: calls that failed.
EMPTY_WHILE_ALL_IS_WELL = ["attempts_failed"]


@pytest.mark.full("prometheus")
def test_prometheus_takes_what_it_scrapes(prometheus):
    targets = prometheus.get("/api/v1/targets")["activeTargets"]
    assert [target["health"] for target in targets] == ["up"], targets
    families = prometheus.get("/api/v1/metadata")
    scraped = {name for name in families if name.startswith("batchproxy_")}
    assert documented() - scraped <= {"batchproxy_key_requests_total"}, "without keys there is none"
    types = {name: row[0]["type"] for name, row in families.items()}
    assert types["batchproxy_queue_wait_seconds"] == types["batchproxy_batch_prompts"] == "histogram"


@pytest.mark.full("prometheus")
def test_prometheus_finds_no_alert_and_no_error_in_the_rules(prometheus):
    def evaluated():
        groups = prometheus.get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"] if rule["lastEvaluation"] > "1"] or None
    rules = wait_until(evaluated, "the rules are evaluated")
    assert len(rules) == 16 and {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules


@pytest.mark.full("prometheus")
@pytest.mark.parametrize("expr", expressions())
def test_the_board_shows_something(prometheus, expr):
    result = prometheus.query(expr)
    assert result is not None, "Prometheus takes the expression"
    if not any(word in expr for word in EMPTY_WHILE_ALL_IS_WELL):
        assert result, "and finds samples for it"
