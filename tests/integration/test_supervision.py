"""Engines that end, stand still, or are told to, and come back; nothing asked meanwhile is lost."""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config
from tests.support.terminal import Terminal
from tests.support.waiting import alive, wait_until


def states(proxy):
    return [backend["state"] for backend in proxy.status()["backends"]]


def order(proxy, path):
    response, text = call(proxy.admin, f"/admin/engines/{path}", "", method="POST")
    return response.status, text.decode()


@pytest.fixture
def engines(start_proxy, tmp_path):
    """engines(count, **launcher): a proxy with its own simulated engines, all ready."""
    def start(count, lines="", **launcher):
        config = write_config(tmp_path / "c.yaml", servers=count, **launcher)
        config.write_text(config.read_text().replace("  health_interval", f"{lines}  health_interval"))
        proxy = start_proxy("--config", config).ready(count)
        proxy.wait_for_line("engine-\\d: ready", count)
        return proxy
    return start


class Workers:
    """Ask without a pause until told to stop; every answer is kept."""

    def __init__(self, proxy, count):
        self.stopped = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(count)
        self.runs = [self.pool.submit(self.ask, proxy, i) for i in range(count)]

    def ask(self, proxy, worker):
        statuses = []
        while not self.stopped.is_set():
            statuses.append(complete(proxy.url, f"question {worker} {len(statuses)}")[0].status)
        return statuses

    def results(self):
        self.stopped.set()
        return [status for run in self.runs for status in run.result()]


def test_an_engine_that_was_killed_comes_back_on_its_port(engines):
    proxy = engines(2)
    url = proxy.status()["backends"][0]["url"]
    os.kill(proxy.engine_pids(2)[0], signal.SIGKILL)
    wait_until(lambda: any("It is started again" in line for line in proxy.errors), "that it is told")
    proxy.engine_pids(3)
    wait_until(lambda: states(proxy) == ["ready", "ready"], "both are ready")
    assert proxy.status()["backends"][0]["url"] == url
    assert proxy.metrics()['batchproxy_engine_restarts_total{backend="engine-0"}'] == 1
    proxy.wait_for_error("engine-0 is ready again")


def test_requests_wait_for_the_only_engine_while_it_is_started_again(engines):
    proxy = engines(1)
    os.kill(proxy.engine_pids(1)[0], signal.SIGKILL)
    wait_until(lambda: states(proxy) != ["ready"], "its end is seen")
    response, _ = complete(proxy.url, "still there?")
    assert response.status == 200


def test_an_engine_that_stands_still_is_killed_and_started_again(engines):
    proxy = engines(2, lines="  stuck_timeout: 1\n  health_timeout: 0.5\n", liveness_timeout=2)
    still = proxy.engine_pids(2)[0]
    workers = Workers(proxy, 8)
    os.kill(still, signal.SIGSTOP)
    proxy.engine_pids(3)
    wait_until(lambda: states(proxy) == ["ready", "ready"], "both are ready")
    assert set(workers.results()) == {200}
    proxy.wait_for_error("no sign of life for 2 s")
    assert not alive(still)


def test_an_engine_is_stopped_and_started_by_order(engines):
    proxy = engines(2)
    status, text = order(proxy, "engine-0/stop")
    assert status == 202 and "engine-0 finishes its requests" in text
    wait_until(lambda: not alive(proxy.engine_pids(2)[0]), "its process ends")
    wait_until(lambda: states(proxy) == ["stopped", "ready"], "that nothing of it is left")
    assert "engine-0 is stopped already" in order(proxy, "engine-0/stop")[1]
    assert complete(proxy.url, "x")[0].status == 200
    assert order(proxy, "0/start")[0] == 202
    wait_until(lambda: states(proxy) == ["ready", "ready"], "it is back")
    assert not any("has ended" in line for line in proxy.errors), "it was asked to end"


def test_a_paused_engine_gets_no_more_requests(engines):
    proxy = engines(2)
    assert order(proxy, "1/pause")[0] == 202
    wait_until(lambda: states(proxy) == ["ready", "paused"], "it is paused")
    answered = proxy.metrics()['batchproxy_backend_answered_total{backend="engine-1"}']
    for i in range(20):
        assert complete(proxy.url, f"question {i}")[0].status == 200
    assert proxy.metrics()['batchproxy_backend_answered_total{backend="engine-1"}'] == answered
    assert order(proxy, "1/resume")[0] == 202
    wait_until(lambda: states(proxy) == ["ready", "ready"], "it is back")


def test_a_rolling_restart_loses_nothing(engines):
    proxy = engines(2)
    before = proxy.engine_pids(2)
    workers = Workers(proxy, 8)
    status, text = order(proxy, "restart")
    assert status == 202 and "one after the other" in text
    status, text = order(proxy, "restart")
    assert status == 400 and "under way" in text
    pids = proxy.engine_pids(4)
    wait_until(lambda: states(proxy) == ["ready", "ready"], "both are ready")
    statuses = workers.results()
    assert set(statuses) == {200} and len(statuses) > 16
    assert not any(alive(pid) for pid in before) and all(alive(pid) for pid in pids[2:])


def test_a_hung_engine_is_restarted_without_its_requests(engines):
    proxy = engines(1, lines="  drain_timeout: 600\n", stop_timeout=1)
    hung = proxy.engine_pids(1)[0]
    os.kill(hung, signal.SIGSTOP)
    workers = Workers(proxy, 4)
    wait_until(lambda: states(proxy) == ["unready"] and proxy.status()["backends"][0]["inflight"] > 0,
               "it is asked, and does not answer")
    assert order(proxy, "0/restart")[0] == 202
    wait_until(lambda: states(proxy) == ["ready"] and not alive(hung), "it is another, long before drain_timeout")
    assert set(workers.results()) == {200}


def test_an_order_is_carried_out_once(engines):
    proxy = engines(2, lines="  drain_timeout: 600\n", sim_time_scale=1)
    asking = threading.Thread(target=complete, args=(proxy.url, "x"), kwargs={"max_tokens": 200, "ignore_eos": True})
    asking.start()
    wait_until(lambda: any(b["inflight"] for b in proxy.status()["backends"]), "a request is under way")
    busy = next(b["name"] for b in proxy.status()["backends"] if b["inflight"])
    assert "finishes its requests, then it is stopped" in order(proxy, f"{busy}/stop")[1]
    for verb in ("stop", "restart", "start"):
        assert f"{busy} is to be stopped already" in order(proxy, f"{busy}/{verb}")[1]
    asking.join()
    wait_until(lambda: "stopped" in states(proxy), "its end")
    assert order(proxy, f"{busy}/start")[0] == 202
    wait_until(lambda: states(proxy) == ["ready", "ready"], "it is back")
    assert len(proxy.engine_pids(3)) == 3


def test_a_rolling_restart_waits_for_a_single_one_and_lets_none_between(engines):
    proxy = engines(3)
    downs = []

    def see(pids):
        downs.append(3 - states(proxy).count("ready"))
        return len(proxy.engine_pids(3)) >= pids and states(proxy) == ["ready"] * 3

    assert order(proxy, "2/restart")[0] == 202
    assert order(proxy, "restart")[0] == 202
    wait_until(lambda: see(5), "the rolling restart has come to its second engine, or is beyond")
    assert order(proxy, "0/restart")[0] == 202
    wait_until(lambda: see(8), "all were restarted")
    assert max(downs) == 1, downs


def test_an_order_that_cannot_be_is_refused_with_what_can(engines, start_proxy):
    proxy = engines(1)
    status, text = order(proxy, "engine-7/restart")
    assert status == 404 and "There are engine-0" in text
    assert order(proxy, "engine-0/reboot")[0] == 404
    other = start_proxy("--backend", "http://127.0.0.1:1")
    status, text = order(other, "restart")
    assert status == 404 and "has started no engines" in text


def test_with_restart_never_an_engine_that_ends_stays_down_until_it_is_started(engines):
    proxy = engines(1, restart="never", lines="  hold_timeout: 0.5\n")
    os.kill(proxy.engine_pids(1)[0], signal.SIGKILL)
    wait_until(lambda: any("no engine is left" in line for line in proxy.errors), "that it is told")
    response, _ = complete(proxy.url, "x")
    assert response.status == 503 and response.headers["x-batchproxy-code"] == "no_backend"
    assert response.headers["x-should-retry"] == "true"
    assert MODEL in call(proxy.url, "/v1/models")[1].decode()
    assert complete(proxy.url, "x", model="no-such")[0].status == 404, "an unknown model still is"
    assert order(proxy, "start")[0] == 202
    wait_until(lambda: states(proxy) == ["ready"], "it is back")
    assert complete(proxy.url, "x")[0].status == 200


def test_how_to_start_an_engine_that_stays_down_is_told_while_others_are_left(engines):
    proxy = engines(2, restart="never")
    os.kill(proxy.engine_pids(2)[0], signal.SIGKILL)
    wait_until(lambda: any("engine-0 stays down" in line and "`batchproxy engines start engine-0`" in line
                           for line in proxy.errors), "that it is told")
    assert not any("no engine is left" in line for line in proxy.errors)
    assert engines_command(proxy, "start", "engine-0").returncode == 0
    wait_until(lambda: states(proxy) == ["ready", "ready"], "it is back")


def engines_command(proxy, *words):
    return subprocess.run([PROXY, "engines", *words, "--admin", proxy.admin.removeprefix("http://")],
                          capture_output=True, text=True, timeout=60, check=False)


def completion_file(folder, shell, name):
    folder.mkdir()
    done = subprocess.run([PROXY, "completion", shell], capture_output=True, text=True, timeout=60, check=True)
    (folder / name).write_text(done.stdout)
    return folder / name


def with_admin(admin):
    """The environment of a shell that finds our program, and of that the one at `admin`."""
    return {"PATH": f"{Path(PROXY).parent}:{os.environ['PATH']}", "BATCHPROXY_ADMIN": admin.removeprefix("http://")}


def test_bash_completes_orders_and_the_engines_that_there_are(engines, tmp_path):
    proxy = engines(2)
    script = completion_file(tmp_path / "bash", "bash", "batchproxy")

    def completed(*words, admin=proxy.admin):
        typed = " ".join(f"'{word}'" for word in ("batchproxy", "engines", *words))
        done = subprocess.run(["bash", "-c", f". {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) + 1}; _batchproxy; "
                               "printf '%s\\n' \"${COMPREPLY[@]}\""], capture_output=True, text=True, timeout=60, check=True,
                              env={**os.environ, **with_admin(admin)})
        assert not done.stderr
        return done.stdout.split()
    assert completed("re") == ["resume", "restart"]
    assert completed("restart", "") == ["engine-0", "engine-1"]
    assert completed("restart", "engine-1", "") == []
    assert completed("restart", "", admin="127.0.0.1:1") == [], "nobody answers"
    assert "--words" not in engines_command(proxy, "--help").stdout


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_orders_and_the_engines_that_there_are(engines, tmp_path):
    proxy = engines(2)
    script = completion_file(tmp_path / "fish", "fish", "batchproxy.fish")

    def completed(line, admin=proxy.admin):
        done = subprocess.run(["fish", "-c", f"source {script}; complete -C '{line}'"], capture_output=True, text=True,
                              timeout=60, check=True, env={**os.environ, **with_admin(admin), "HOME": str(tmp_path)})
        return [word.split("\t")[0] for word in done.stdout.splitlines()]
    assert completed("batchproxy engines re") == ["restart", "resume"]
    assert completed("batchproxy engines restart ") == ["engine-0", "engine-1"]
    assert completed("batchproxy engines restart engine-1 ") == []
    assert completed("batchproxy engines restart ", admin="127.0.0.1:1") == [], "nobody answers"


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_orders_and_the_engines_that_there_are(engines, tmp_path):
    proxy = engines(2)
    script = completion_file(tmp_path / "zsh", "zsh", "_batchproxy")
    terminal = Terminal(["zsh", "-f", "-i"], **{**with_admin(proxy.admin), "TERM": "dumb", "PS1": "> ", "HOME": str(tmp_path)})
    try:
        terminal.press(f"fpath=({script.parent} $fpath); autoload -U compinit && compinit -u -D && echo loa''ded\n")
        # At its next prompt; what comes before is not read as it is meant.
        wait_until(lambda: re.search(r"\nloaded\r\n.*\?2004h$", terminal.read(), re.S), f"a prompt: {terminal.text!r}")
        terminal.press("batchproxy engines resta\t")
        terminal.shows("batchproxy engines restart")
        # On a line of its own: what all names begin with, then their list.
        terminal.press("\x15batchproxy engines restart eng\t\t")
        terminal.shows("engine-0")
        terminal.shows("engine-1")
    finally:
        terminal.process.kill()
        terminal.process.wait()


def test_the_command_shows_engines_and_gives_orders(engines):
    proxy = engines(2)
    shown = engines_command(proxy)
    assert shown.returncode == 0 and len(shown.stdout.splitlines()) == 3, shown
    assert shown.stdout.splitlines()[1].split() == ["engine-0", "ready", "0", "0", "0", "0,1"]
    done = engines_command(proxy, "pause", "1")
    assert done.returncode == 0 and "engine-1 gets no more requests" in done.stdout
    wait_until(lambda: "paused" in engines_command(proxy).stdout, "it is shown")
    wrong = engines_command(proxy, "reboot")
    assert wrong.returncode == 2 and "there are pause, resume, stop, start, restart" in wrong.stderr, wrong
    unknown = engines_command(proxy, "stop", "engine-9")
    assert unknown.returncode == 1 and "There is no engine engine-9" in unknown.stderr


def test_the_command_says_when_nobody_answers():
    done = subprocess.run([PROXY, "engines", "--admin", "127.0.0.1:1"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1 and "no batchproxy answers at 127.0.0.1:1: Connection refused" in done.stderr, done


def test_one_of_four_that_never_comes_up_costs_the_others_nothing(start_proxy, tmp_path):
    script = '[ "$1" = 3 ] && exit 1; shift; exec "$@"'
    config = write_config(tmp_path / "c.yaml", servers=4, engine="command", command=[
        "sh", "-c", script, "sh", "{index}", str(PROXY), "sim-engine", "{model}", "--port", "{port}",
        "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    proxy = start_proxy("--config", config).ready(3)
    assert set(Workers(proxy, 8).results()) == {200}
    for i in range(40):
        response, _ = complete(proxy.url, f"question {i}")
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
    assert states(proxy)[:3] == ["ready"] * 3 and states(proxy)[3] != "ready"


def test_an_engine_that_ends_at_each_start_is_given_up_after_five(start_proxy, tmp_path):
    """Row 28 of the table of faults: the starts at their times, the others untouched, and what comes after."""
    starts = tmp_path / "starts"
    script = f"""case "$1" in
        1) date +%s.%N >> {starts}; exit 1;;
        2) echo usage >> {starts}.2; exit 2;;
        esac; shift; exec "$@\""""
    config = write_config(tmp_path / "c.yaml", servers=4, engine="command", command=[
        "sh", "-c", script, "sh", "{index}", str(PROXY), "sim-engine", "{model}", "--port", "{port}",
        "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # pins no GPU
    proxy = start_proxy("--config", config).ready(2)
    workers = Workers(proxy, 4)
    wait_until(lambda: states(proxy) == ["ready", "failed", "failed", "ready"], "both are given up", 60)
    assert set(workers.results()) == {200}
    times = [float(line) for line in starts.read_text().splitlines()]
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert len(gaps) == 4, "five starts"
    for gap, delay in zip(gaps, [1, 2, 4, 8]):
        assert gap >= 0.8 * delay, gaps  # and not later: tests/launcher/supervision/restart_policy_test.cc
    assert Path(f"{starts}.2").read_text() == "usage\n", "the next start would refuse its command line, too"
    told = "\n".join(proxy.errors)
    assert told.count("engine-1 did not start") == 5 and "engine-1 stays down" in told, told
    assert proxy.metrics()['batchproxy_engine_restarts_total{backend="engine-1"}'] == 4
    assert order(proxy, "1/start")[0] == 202
    wait_until(lambda: len(starts.read_text().splitlines()) == 7, "an order counts anew")
