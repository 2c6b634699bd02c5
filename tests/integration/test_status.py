"""One picture of now: /status, `batchproxy status` and `batchproxy top` name what is wrong, and tell the last seconds."""
import json
import os
import signal
import subprocess
import threading

import pytest

from tests.support.asking import call, complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until


@pytest.fixture
def engines(start_proxy, tmp_path):
    """engines(count, lines): a proxy with its own simulated engines, all ready."""
    def start(count, lines="", **launcher):
        config = write_config(tmp_path / "c.yaml", servers=count, **launcher)
        config.write_text(config.read_text().replace("  health_interval", f"{lines}  health_interval"))
        return start_proxy("--config", config).ready(count)
    return start


def address(proxy):
    return proxy.admin.removeprefix("http://")


def status_command(proxy, *words):
    return subprocess.run([PROXY, "status", *words, "--admin", address(proxy)], capture_output=True, text=True,
                          timeout=60, check=False)


def ask(proxy, count):
    for i in range(count):
        assert complete(proxy.url, f"question {i}")[0].status == 200


def test_status_tells_of_the_last_seconds_and_of_each_engine(engines):
    proxy = engines(2)
    ask(proxy, 20)
    wait_until(lambda: all(b["generation_tokens"] > 0 for b in proxy.status()["backends"]), "the engines tell their tokens")
    wait_until(lambda: sum(b["trend"]["answers"] for b in proxy.status()["backends"]) == 20, "all are counted")
    now = proxy.status()
    assert now["rates"]["last_10s"]["answered"] > 0
    assert now["queue"]["oldest_seconds"] == 0 and "waiting_for" not in now["queue"]
    assert now["errors"] == {} and now["jobs"] == []
    assert call(proxy.admin, "/status?for=nobody")[0].status == 200, "a query that nobody asks for"
    for engine in now["backends"]:
        assert engine["condition"] == "fine" and engine["models"] and engine["tells_figures"], engine
        assert engine["oldest_seconds"] == 0 and engine["state_seconds"] > 0
    assert max(engine["trend"]["p95_seconds"] for engine in now["backends"]) > 0
    assert complete(proxy.url, "x", model="nobody has this")[0].status == 404
    wait_until(lambda: proxy.status()["errors"] == {"unknown_model": 1}, "the error is told by its code")
    metrics = proxy.metrics()
    assert metrics["batchproxy_queue_wait_seconds_count"] == 20
    assert sum(metrics[f'batchproxy_backend_answer_duration_seconds_count{{backend="engine-{i}"}}'] for i in range(2)) == 20


def test_a_hung_engine_is_named(engines):
    proxy = engines(2, lines="  stuck_timeout: 1\n")
    still = proxy.engine_pids(2)[1]
    os.kill(still, signal.SIGSTOP)
    threads = [threading.Thread(target=ask, args=(proxy, 3)) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        def named():
            engine = proxy.status()["backends"][1]
            return engine["condition"] == "stuck" and "without a byte for" in engine["remark"]
        wait_until(named, "it is named as stuck")
        assert "it stood still: " in proxy.status()["backends"][1]["last_problem"]["text"]
        shown = status_command(proxy)
        assert "engine-1 is stuck" in shown.stdout, shown
    finally:
        os.kill(still, signal.SIGCONT)
        for thread in threads:
            thread.join()


def test_the_command_prints_the_same_for_people_and_for_programs(engines):
    proxy = engines(2)
    shown = status_command(proxy)
    assert shown.returncode == 0 and "all 2 engines are fine" in shown.stdout, shown
    assert "\x1b" not in shown.stdout
    read = json.loads(status_command(proxy, "--json").stdout)
    assert [engine["name"] for engine in read["backends"]] == ["engine-0", "engine-1"]


def test_status_cuts_nothing_where_there_is_no_terminal_and_keeps_to_the_width_of_one(engines):
    proxy = engines(2, restart="never")
    os.kill(proxy.engine_pids(2)[1], signal.SIGKILL)
    wait_until(lambda: proxy.status()["backends"][1]["state"] == "failed", "it has ended")
    whole = status_command(proxy).stdout
    assert "engine-1 is down: it has ended: killed by SIGKILL\n" in whole and "~" not in whole, whole
    terminal = Terminal([PROXY, "status", "--admin", address(proxy)], columns=42)
    assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= 42, lines
    assert "engine-1 is down: it has ended: killed by" in lines and "SIGKILL" in lines, lines


@pytest.mark.parametrize("command", ["status", "top"])
def test_a_command_says_when_nobody_answers(command):
    code, text = on_a_terminal([PROXY, command, "--admin", "127.0.0.1:1"])
    assert code == 1 and "no batchproxy answers at 127.0.0.1:1: Connection refused" in text


def test_a_batchproxy_that_hangs_is_told_from_none(start_proxy):
    proxy = start_proxy("--backend", "http://127.0.0.1:1")
    proxy.wait_for_line("listening")
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        done = status_command(proxy)
    finally:
        os.kill(proxy.pid, signal.SIGCONT)
    assert done.returncode == 1, done
    assert f"{address(proxy)} has not answered within 10 s: that batchproxy hangs, or nothing reaches it" in done.stderr, done


def on_a_terminal(command):
    terminal = Terminal(command)
    return terminal.end(), terminal.text


def test_top_shows_engines_and_gives_orders(engines):
    proxy = engines(2)
    top = Terminal([PROXY, "top", "--admin", address(proxy)])
    try:
        top.shows("all 2 engines are fine")
        top.press("jjd")  # the first, the second, drain it
        wait_until(lambda: proxy.status()["backends"][1]["state"] == "paused", "engine-1 is paused")
        top.shows("engine-1 is paused")
        top.press("d")
        wait_until(lambda: proxy.status()["backends"][1]["state"] == "ready", "engine-1 is back")
        top.press("\r")
        top.shows("last problem" if proxy.status()["backends"][1].get("last_problem") else "restarts")
        top.press("q")
        assert top.end() == 0
        assert top.text.endswith("\x1b[?1049l") or "\x1b[?1049l" in top.text, "the terminal is given back"
    finally:
        if top.process.poll() is None:
            top.process.kill()


def test_top_without_colours(engines):
    proxy = engines(1)
    top = Terminal([PROXY, "top", "--admin", address(proxy)], NO_COLOR="1")
    top.shows("the engine is fine")
    top.press("q")
    assert top.end() == 0
    assert "\x1b[32m" not in top.text and "\x1b[3;" not in top.text


def test_top_needs_a_terminal(engines):
    proxy = engines(1)
    done = subprocess.run([PROXY, "top", "--admin", address(proxy)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "`batchproxy status` shows the same once" in done.stderr, done
