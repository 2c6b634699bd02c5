"""What stands on the terminal, and in a file: nothing overwrites anything else."""
import os
import re
import signal
import subprocess

import pytest

from tests.integration.test_repair import config_of
from tests.support.asking import call, complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until


@pytest.fixture
def on_a_terminal(tmp_path):
    """on_a_terminal(config, columns): a proxy there, ended at the end."""
    running = []

    def start(config, columns=100, **environment):
        running.append(Terminal([PROXY, "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], columns,
                                XDG_STATE_HOME=str(tmp_path / "state"), **environment))
        return running[-1]
    here = os.getcwd()
    os.chdir(tmp_path)
    yield start
    os.chdir(here)
    for terminal in running:
        if terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGINT)
            terminal.end()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_cause_of_a_failed_start_stays_on_the_screen(on_a_terminal, tmp_path, columns):
    config = config_of(tmp_path, "org/model", {"sim_fail": "oom-load"}, servers=3, repair="off", restart="never")
    proxy = on_a_terminal(config, columns)
    wait_until(lambda: "no engine has started; stopping" in proxy.read(), "that all have failed")
    proxy.end_of_output()
    screen = proxy.screen()
    text = "".join(line.ljust(columns) if len(line) == columns else line + "\n" for line in screen)
    # Once with all their names; or with its own, if it was slow.
    names = re.findall(r"(engine-\d)(?=[^:]* did not start)", text)
    assert sorted(names) == ["engine-0", "engine-1", "engine-2"], text
    assert "cause: " in text and "OutOfMemoryError" in text, text
    board = [line for line in screen if re.fullmatch(r"engine-\d: .*", line)]
    assert sorted(line[:8] for line in board) == ["engine-0", "engine-1", "engine-2"], "one line each, and no remains of others"


def test_an_access_log_on_the_terminal_leaves_the_board_whole(on_a_terminal, tmp_path):
    config = config_of(tmp_path, "org/model", {"sim_load_time": 600}, servers=3)
    proxy = on_a_terminal(config, 120, BATCHPROXY_ACCESS_LOG="-")
    wait_until(lambda: re.search(r"listening +http://(\S+)", proxy.read()), "its address")
    url = "http://" + re.search(r"listening +http://(\S+)", proxy.text)[1]
    wait_until(lambda: "engine-2: " in proxy.read(), "the board")
    asked = 20
    for _ in range(asked):
        call(url, "/health")

    def logged():
        return [line for line in proxy.screen() if re.match(r"\d{4}-\d\d-\d\dT\S+ \d+ \S+ GET /health id=\S+ ", line)]
    wait_until(lambda: len(logged()) == asked, "a whole line for each request")
    board = [line for line in proxy.screen() if re.fullmatch(r"engine-\d: .*", line)]
    assert sorted(line[:8] for line in board) == ["engine-0", "engine-1", "engine-2"], proxy.screen()


def test_how_things_go_is_one_line_below_what_has_happened(on_a_terminal, tmp_path):
    proxy = on_a_terminal(write_config(tmp_path / "c.yaml", servers=2))
    wait_until(lambda: "ready: 2 of 2" in proxy.read(), "both are ready")
    url = "http://" + re.search(r"listening +http://(\S+)", proxy.text)[1]

    def told():
        return [line for line in proxy.screen() if re.match(r"\d+ answers? ", line)]
    for answers in range(1, 4):
        complete(url, f"question {answers}")
        wait_until(lambda: told() and told()[0].startswith(f"{answers} answer"), "the line of this second")
        assert len(told()) == 1, proxy.screen()
    os.kill(int(re.search(r"engine-1: started, pid (\d+)", proxy.text)[1]), signal.SIGKILL)
    wait_until(lambda: "engine-1 has ended: killed by SIGKILL" in "\n".join(proxy.screen()), "what has happened")
    wait_until(lambda: re.match(r"3 answers ", [line for line in proxy.screen() if line][-1]), "the line below it")
    assert len(told()) == 1, proxy.screen()
    assert [line for line in proxy.screen() if "ready: 2 of 2" in line]


def test_a_dumb_terminal_gets_plain_lines(on_a_terminal, tmp_path):
    proxy = on_a_terminal(write_config(tmp_path / "c.yaml", servers=2), TERM="dumb")
    wait_until(lambda: "ready: 2 of 2" in proxy.read(), "both are ready")
    assert not re.search(r"\x1b\[\d*[AJK]", proxy.text), proxy.text


def test_in_a_file_events_have_the_time_and_a_summary_comes_once_a_minute(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=2)).ready(2)
    proxy.wait_for_line(r"^\d\d:\d\d:\d\d engine-0: ready after")
    proxy.wait_for_line(r"^\d\d:\d\d:\d\d ready: 2 of 2 backends")
    for i in range(8):
        complete(proxy.url, f"question {i}")
    proxy.wait_for_line(r"^\d\d:\d\d:\d\d \d+ answers  \S+/s  0 queued  \d+ in flight  engine-0 ")
    uptime = proxy.status()["uptime_seconds"]
    wait_until(lambda: complete(proxy.url, "x") and proxy.status()["uptime_seconds"] > uptime + 2, "three ticks")
    assert sum(" in flight  engine-0 " in line for line in proxy.lines) == 1, proxy.output()
