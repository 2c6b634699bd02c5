"""Engines on other nodes, `placement: exec`. The nodes are this machine under two names: all else is as it would be there,
agents, their TCP connections, tokens, shims and the ends of them all."""
import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.integration.test_launching import environment_of, ours_alive
from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY
from tests.support.processes import descendants
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.waiting import DEADLINE, alive, wait_until

# Slurm's name for a node, by which an agent calls its own.
ON_A_NODE = ["env", "SLURMD_NODENAME={node}", "{agent...}"]


def far_config(path, servers=2, exec_command=ON_A_NODE, **launcher):
    """Engines on the nodes n1 and n2, unless the command names none."""
    settings = {"placement": "exec", "exec_command": exec_command, "agents_listen": "127.0.0.1:0", "stop_timeout": 5}
    if any("{node}" in word for word in exec_command):
        settings["nodes"] = ["n1", "n2"]
    return write_config(path, servers, **{**settings, **launcher})


def agents_address(proxy):
    """Where the proxy awaits agents."""
    def look():
        return next((m[1] for m in (re.search(r"agents connect to (\S+:\d+)", line) for line in list(proxy.errors)) if m), None)
    return wait_until(look, f"the agents' address in\n{proxy.output()}")


def said(proxy, pattern):
    return wait_until(lambda: next((line for line in list(proxy.errors) if re.search(pattern, line)), None),
                      f"{pattern!r} in\n{proxy.output()}")


def command_line(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode().split("\0")
    return []


def agents_of(proxy):
    """{engine: pid of its agent}"""
    found = {}
    for pid in descendants(proxy.pid):
        words = command_line(pid)
        if "engine-agent" in words:
            found[words[words.index("--engine") + 1]] = pid
    return found


def shown(proxy, *words):
    """What a command says of it."""
    return subprocess.run([PROXY, "--admin", proxy.admin.removeprefix("http://"), *words], check=True, capture_output=True,
                          text=True, timeout=DEADLINE).stdout


def first_engine(proxy):
    return proxy.status()["backends"][0]


def engine_log(tmp_path, number):
    return (tmp_path / "batchproxy_logs" / f"engine-{number}.log").read_text()


def test_eight_engines_on_two_nodes_answer_behind_one_url_and_leave_nothing(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=8)).ready(8)
    backends = proxy.status()["backends"]
    assert [backend["node"] for backend in backends] == ["n1"] * 4 + ["n2"] * 4
    assert len({backend["url"] for backend in backends}) == 8
    assert all(complete(proxy.url, f"question {i}")[0].status == 200 for i in range(40))
    tree = descendants(proxy.pid)
    assert sum("engine-agent" in command_line(pid) for pid in tree) == 8
    assert "Application startup complete" in engine_log(tmp_path, 7)
    assert proxy.stop(signal.SIGINT) == 0
    wait_until(lambda: not any(map(alive, tree)), "every agent, shim and engine to go")
    assert not ours_alive(proxy.pid)


def test_a_killed_proxy_leaves_nothing_on_the_nodes(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=4)).ready(4)
    tree = descendants(proxy.pid)
    proxy.kill()
    wait_until(lambda: not any(map(alive, tree)), "every agent, shim and engine to go")
    assert not ours_alive(proxy.pid)


def test_a_killed_proxy_leaves_no_children_of_a_carrier(start_proxy, tmp_path):
    """The kernel ends the carrier, and not what a shell has started."""
    command = ["sh", "-c", "sleep 1000 & {agent} & wait"]
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", exec_command=command)).ready(2)
    tree = descendants(proxy.pid)
    assert sum(command_line(pid)[:1] == ["sleep"] for pid in tree) == 2
    proxy.kill()
    wait_until(lambda: not any(map(alive, tree)), "every shell, its children, agents, shims and engines to go")


def test_the_token_is_in_no_command_line_and_not_in_an_engines_environment(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    tree = descendants(proxy.pid)
    # Of the carrier, which has become the agent: what it was started with stays to be seen by its own user alone.
    token = environment_of(agents_of(proxy)["engine-0"])["BATCHPROXY_AGENT_TOKEN"]
    assert len(token) == 64
    assert not [pid for pid in tree if any(token in word for word in command_line(pid))]
    for pid in proxy.engine_pids(2):
        assert not any(token in value for value in environment_of(pid).values())
    assert not any(token in line for line in [*proxy.lines, *proxy.errors])


def test_the_token_also_comes_by_the_standard_input(start_proxy, tmp_path):
    """ssh passes no variables on."""
    command = ["sh", "-c", "exec env -u BATCHPROXY_AGENT_TOKEN {agent}"]
    start_proxy("--config", far_config(tmp_path / "c.yaml", exec_command=command)).ready(2)


class Asking:
    """Asks one question after the other in threads of its own, until it is stopped; `failed` are the answers but 200."""

    def __init__(self, url, threads=4):
        self.failed, self.answered, self._going = [], 0, True
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self, url):
        while self._going:
            response, body = complete(url, f"question {self.answered}")
            self.answered += 1
            if response.status != 200:
                self.failed.append((response.status, body))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._going = False
        for thread in self._threads:
            thread.join()


def test_an_agent_that_is_killed_is_an_engine_that_died_and_comes_back(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    first = proxy.engine_pids(2)[0]
    with Asking(proxy.url) as asking:
        wait_until(lambda: asking.answered > 20, "the load to run")
        os.kill(agents_of(proxy)["engine-0"], signal.SIGKILL)
        said(proxy, r"engine-0 .*its agent on n1 is gone")
        again = proxy.wait_for_line(r"engine-0: started, pid (\d+)", 2)[1]
        assert not alive(first), "the next one starts when nothing of it is left"
        assert int(again[1]) != first
        proxy.ready(2)
        seen = asking.answered
        wait_until(lambda: asking.answered > seen + 20, "the load to go on")
    assert not asking.failed


def test_an_engine_that_will_not_end_is_waited_for_before_its_next_start(start_proxy, tmp_path):
    """Its agent is killed, so nobody can tell the launcher what is left: the next agent finds out."""
    script = tmp_path / "stubborn.py"
    script.write_text("import os, signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                      "if os.fork() == 0: os.execv(sys.argv[1], sys.argv[1:])\nwhile True: signal.pause()\n")
    config = far_config(tmp_path / "c.yaml", servers=1, engine="command", command=[
        sys.executable, str(script), str(PROXY), "sim-engine", "{model}", "--host", "{host}", "--port", "{port}",
        "--sim-load-time", "0"])
    config.write_text(config.read_text().replace("tensor_parallel_size: 2, ", ""))  # needs no GPU
    proxy = start_proxy("--config", config).ready(1)
    first = proxy.engine_pids(1)[0]
    tree = {first, *descendants(first)}
    assert len(tree) == 2
    os.kill(agents_of(proxy)["engine-0"], signal.SIGKILL)
    proxy.wait_for_line(r"engine-0: started, pid (\d+)", 2)
    assert not any(map(alive, tree))
    proxy.ready(1)


def test_an_engine_is_stopped_and_started_by_orders_as_ever(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    first = proxy.engine_pids(2)[0]
    for verb in ("stop", "start"):
        shown(proxy, "engines", verb, "engine-0")
        if verb == "stop":
            wait_until(lambda: proxy.status()["backends"][0]["state"] == "stopped" and not alive(first), "its end")
            told = shown(proxy, "status")
            assert "engine-0 is stopped: by an order; `batchproxy engines start engine-0` starts it" in told
    proxy.ready(2)
    assert proxy.status()["backends"][0]["node"] == "n1"


class FakeAgent:
    """Says hello as it is told to."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), DEADLINE)
        self.file = self.socket.makefile("rw", newline="\n")
        self.challenge = dict(field.split("=") for field in self.file.readline().split()[1:])

    def hello(self, token="", **fields):
        fields = {"protocol": 2, "engine": "engine-0", "start": 1, "version": "0.1.0", "node": "n9",
                  "address": "127.0.0.1", "nonce": "00", **fields}
        parts = ["agent", "{engine} {start} {node} {address}".format(**fields), self.challenge["nonce"], fields["nonce"]]
        text = "".join(f"{len(part)}:{part}" for part in parts)
        fields["proof"] = hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
        self.file.write("hello " + " ".join(f"{name}={str(value).replace(' ', '+')}" for name, value in fields.items()) + "\n")
        self.file.flush()
        return self.file.readline().rstrip("\n").replace("+", " ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


# One that stays on its way, so that its agent is awaited.
NEVER = ["sh", "-c", "exec sleep 600 # {agent}"]


def test_an_agent_with_a_wrong_token_is_refused_and_both_sides_say_so(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=1, exec_command=NEVER))
    address = agents_address(proxy)
    wait_until(lambda: descendants(proxy.pid), "the carrier")
    with FakeAgent(address) as agent:
        assert agent.hello("wrong").startswith("refused text=the agent does not have the token of this run")
    said(proxy, r"refused an agent from 127.0.0.1 \(node n9, engine-0\): the agent does not have the token of this run")
    # What brings it here is told, too.
    program = Program([PROXY, "engine-agent", "--proxy", address, "--engine", "engine-0", "--start", "1"], tmp_path,
                      env={"BATCHPROXY_AGENT_TOKEN": "wrong"})
    assert program.wait() == 1
    assert any("refuses: the agent does not have the token of this run" in line for line in program.errors), program.output()


def test_an_agent_of_an_old_version_is_refused_and_both_sides_say_what_to_do(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=1, exec_command=NEVER))
    with FakeAgent(agents_address(proxy)) as agent:
        answer = agent.hello(protocol=1, version="0.0.9")
    expected = "the agent is batchproxy 0.0.9 and speaks protocol 1; this batchproxy is 0.1.0 and speaks 2"
    assert expected in answer and "install the same version on the node" in answer
    said(proxy, re.escape(expected))


def test_an_agent_trusts_nobody_who_lacks_its_token(tmp_path):
    """Who listens at a port that a batchproxy has left must not be able to run programs on nodes."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        program = Program([PROXY, "engine-agent", "--proxy", address, "--engine", "engine-0", "--start", "1"], tmp_path,
                          env={"BATCHPROXY_AGENT_TOKEN": "secret"})
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"challenge protocol=2 nonce=00\n")
            assert connection.recv(4096).startswith(b"hello ")
            marker = tmp_path / "it-ran"
            connection.sendall(b"welcome proof=00\nstart stop-timeout=1 port-base=8100 gpus=0 word=/usr/bin/touch word="
                               + str(marker).encode() + b"\n")
            assert program.wait() == 1
    assert any("does not have the token of the run that sent this agent" in line for line in program.errors)
    assert not marker.exists()


def ends_without_engines(tmp_path, servers=1, **launcher):
    """What a proxy says whose engines do not start."""
    config = far_config(tmp_path / "c.yaml", servers=servers, restart="never", **launcher)
    program = Program([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config], tmp_path)
    assert program.wait() == 4, program.output()
    return program.output()


def test_what_a_carrier_says_that_fails_at_once_is_said(tmp_path):
    output = ends_without_engines(tmp_path, exec_command=[
        "sh", "-c", "echo ssh: connect to host n1 port 22: Connection refused >&2; exit 255 # {agent}"])
    assert ("its agent has not come: sh ended with exit code 255: ssh: connect to host n1 port 22: Connection refused"
            in output), output


def test_an_agent_that_does_not_come_is_given_up(tmp_path):
    output = ends_without_engines(tmp_path, exec_command=["sh", "-c", "echo $$; exec sleep 600 # {agent}"],
                                  agent_timeout=1)
    assert "no agent has come within 1 s (launcher.agent_timeout)" in output, output
    pid = int(re.search(r"the last that was said of it: (\d+)", output)[1])
    wait_until(lambda: not alive(pid), "the carrier to go")


def test_a_carrier_that_hangs_is_told_while_it_is_waited_for(start_proxy, tmp_path):
    config = far_config(tmp_path / "c.yaml", servers=1, exec_command=["sh", "-c", "exec sleep 600 # {node} {agent}"])
    proxy = start_proxy("--config", config)
    says = r"waits for its agent on n1: sh still runs \(pid (\d+)\), (\d+) s of agent_timeout \(120 s\) are over$"
    pid, seconds = map(int, re.search(says, said(proxy, "engine-0 " + says)).groups())
    assert alive(pid) and seconds == 5
    # For as long as it lasts, and counted on.
    wait_until(lambda: int(re.search(says, proxy.status()["backends"][0]["doing"])[2]) > 7, "a live count")
    assert re.search(r"engine-0 is loading: waits for its agent on n1: ", shown(proxy, "status"))
    assert re.search(r"(?m)^ +waits for its agent on n1: ", shown(proxy, "engines"))
    assert sum("waits for its agent" in line for line in proxy.errors) == 1


def test_an_engine_whose_agent_hangs_serves_on_and_people_are_told(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    engine = proxy.engine_pids(2)[0]
    agent = agents_of(proxy)["engine-0"]
    with Asking(proxy.url) as asking:
        os.kill(agent, signal.SIGSTOP)
        said(proxy, rf"engine-0 has heard nothing of its agent on n1 \(pid {agent}\) for 5 s")
        silence = r"its agent on n1 has not answered for (\d+) s"

        def seconds():
            told = re.fullmatch(silence, first_engine(proxy).get("silence", ""))
            return int(told[1]) if told else 0

        wait_until(lambda: seconds() > 8, "a live count")
        assert first_engine(proxy)["condition"] == "untended" and first_engine(proxy)["state"] == "ready"
        assert re.search("engine-0 is untended: " + silence, shown(proxy, "status"))
        assert re.search("(?m)^ +" + silence, shown(proxy, "engines"))
        seen = asking.answered
        wait_until(lambda: asking.answered > seen + 20, "the load to go on")
        os.kill(agent, signal.SIGCONT)
        said(proxy, r"engine-0 hears from its agent on n1 again, after \d+ s")
        assert first_engine(proxy)["condition"] == "fine" and "silence" not in first_engine(proxy)
    assert not asking.failed and alive(engine)
    assert sum("has heard nothing of its agent" in line for line in proxy.errors) == 1


def test_an_engine_that_dies_while_its_agent_hangs_is_soon_known_to_be_dead(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    agent = agents_of(proxy)["engine-0"]
    with Asking(proxy.url) as asking:
        os.kill(agent, signal.SIGSTOP)
        os.kill(proxy.engine_pids(2)[0], signal.SIGKILL)
        said(proxy, r"engine-0 has ended: killed: no sign of life for 15 s \(its agent on n1 has not answered for \d+ s\)")
        said(proxy, "engine-0 is ready again")
    assert not asking.failed
    output = proxy.output()
    gave_up = output.index("engine-0 waits no longer: its agent on n1 does not answer")
    assert gave_up < output.index("engine-0 is ready again"), "what is over is not told behind it"
    assert not alive(agent) and agents_of(proxy)["engine-0"] != agent


def test_agents_that_hang_are_told_and_waited_for_at_once(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", stop_timeout=60)).ready(2)
    pids = proxy.engine_pids(2)
    for pid in agents_of(proxy).values():
        os.kill(pid, signal.SIGSTOP)
    for engine in ("engine-0", "engine-1"):
        shown(proxy, "engines", "stop", engine)
    wait_until(lambda: first_engine(proxy)["state"] == "stopping", "the order to be obeyed")
    assert "engine-0 is stopping already" in shown(proxy, "engines", "stop", "engine-0")
    said(proxy, r"waits for its agent on n\d, which does not answer: until \d\d:\d\d:\d\d")
    assert any("which does not answer" in backend.get("doing", "") for backend in proxy.status()["backends"])
    assert "engine-0 is stopping: waits for its agent on n1, which does not answer: until " in shown(proxy, "status")
    ends, rash = {}, []

    def have_ended():
        told = proxy.status()["backends"]
        for number, pid in enumerate(pids):
            if not alive(pid):
                ends.setdefault(number, time.monotonic())
            elif told[number]["state"] == "stopped" and "may still run there" not in told[number]["remark"]:
                rash.append(told[number])
        return len(ends) == 2

    wait_until(have_ended, f"both to end\n{proxy.output()}")
    assert not rash, "nobody could know that"
    assert abs(ends[0] - ends[1]) < 12, "each alone takes fifteen seconds"
    said(proxy, "engine-0 counts as stopped: its agent on n1 does not answer, so the engine may still run there until 60 s after "
         r"that agent has ended \(kill -9 \d+ there ends it\)")
    assert "engine-0 is stopped: its agent on n1 does not answer, so the engine may still run there" in shown(proxy, "status")
    assert "engine-0 is stopped already" in shown(proxy, "engines", "stop", "engine-0")
    assert "engine-0 is started" in shown(proxy, "engines", "start", "engine-0")
    wait_until(lambda: first_engine(proxy)["state"] == "ready", "it is back")


def test_what_may_still_run_of_an_earlier_run_is_said_at_a_stop_and_at_the_end(start_proxy, tmp_path):
    # The agent outlives its carrier, as that of ssh does.
    command = ["setsid", "-w", *ON_A_NODE]
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=1, exec_command=command)).ready(1)
    engine, agent = proxy.engine_pids(1)[0], agents_of(proxy)["engine-0"]
    os.kill(agent, signal.SIGSTOP)
    try:
        shown(proxy, "engines", "restart", "engine-0")
        advice = said(proxy, r"engine-0 did not start: .*an earlier run of it has not ended on this node.* and kill -9 ends both")
        found = subprocess.run(re.search(r"`(pgrep .*?)`", advice)[1], shell=True, check=True, capture_output=True, text=True).stdout
        assert re.search(rf"(?m)^{agent} ", found), f"{advice}\n{found}"
        wait_until(lambda: "waits until its last run has ended there" in first_engine(proxy).get("doing", ""), "its next start")
        shown(proxy, "engines", "stop", "engine-0")
        wait_until(lambda: first_engine(proxy)["state"] == "stopped", "the second agent to leave")
        assert alive(engine), "else there is nothing to say"
        left = f"its agent on n1 does not answer, so the engine may still run there until 5 s after that agent has ended (kill -9 {agent}"
        assert "engine-0 is stopped: " + left in shown(proxy, "status")
        assert proxy.stop(signal.SIGINT) == 0
        assert "engine-0: " + left in proxy.output() and alive(engine)
    finally:
        os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not alive(engine), "as was said")


def test_who_waits_no_longer_for_the_engines_ends_is_told_which_these_are(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", exec_command=["setsid", "-w", *ON_A_NODE])).ready(2)
    engine, agent = proxy.engine_pids(2)[0], agents_of(proxy)["engine-0"]
    os.kill(agent, signal.SIGSTOP)

    def interrupted():
        proxy.process.send_signal(signal.SIGINT)
        return proxy.process.poll() is not None
    try:
        wait_until(interrupted, "the third signal to be heard")
        assert proxy.wait() in (1, -signal.SIGINT), "one signal more may meet it when it has no handler any more"
        assert re.search("gave up waiting for engine-0.* to end; look for them with `ps`, on their nodes", proxy.output()), proxy.output()
    finally:
        os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not alive(engine), "its end")


def test_an_engine_that_is_started_while_it_stops_says_so(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=1)).ready(1)
    os.kill(agents_of(proxy)["engine-0"], signal.SIGSTOP)
    shown(proxy, "engines", "stop", "engine-0")
    wait_until(lambda: first_engine(proxy)["state"] == "stopping", "the order to be obeyed")
    assert "engine-0 is started once its last run has ended" in shown(proxy, "engines", "start", "engine-0")
    seen = set()

    def is_back():
        seen.add(first_engine(proxy)["state"])
        return "ready" in seen
    wait_until(is_back, f"it is back\n{proxy.output()}")
    assert "stopped" not in seen and "restarting" in seen, seen


def test_an_interrupt_tells_of_an_agent_that_hangs_while_it_is_waited_for(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=1)).ready(1)
    tree = descendants(proxy.pid)
    os.kill(agents_of(proxy)["engine-0"], signal.SIGSTOP)
    assert proxy.stop(signal.SIGINT) == 0
    assert "engine-0 waits for its agent on n1, which does not answer: until " in proxy.output()
    assert "waits no longer" not in proxy.output() and "counts as stopped" not in proxy.output()
    assert "engine-0: its agent on n1 does not answer, so the engine may still run there until " in proxy.output()
    wait_until(lambda: not any(map(alive, tree)), "every agent, shim and engine to go")


def test_a_fault_that_engines_share_is_told_once(tmp_path):
    output = ends_without_engines(tmp_path, servers=4, exec_command=[
        "sh", "-c", "echo Welcome to this node >&2; echo Permission denied >&2; exit 255 # {agent}"])
    assert output.count("| [placement] Welcome to this node") == 1, output
    told = [line for line in output.splitlines() if "did not start" in line]
    assert re.search(r"engine-0.* did not start: .*its agent has not come: sh ended with exit code 255: Permission denied",
                     told[0]), output
    assert "stay" not in output and "no engine has started; stopping" in output, output


def test_a_fault_that_engines_share_is_told_once_though_they_fail_apart(tmp_path):
    """Each engine's carrier comes and goes at its own time, and each is tried five times."""
    config = far_config(tmp_path / "c.yaml", servers=4, nodes=["n1"], exec_command=[
        "sh", "-c", "sleep 0.{index}; echo Welcome to {node} >&2; echo Permission denied >&2; exit 255 # {agent}"])
    program = Program([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config], tmp_path)
    assert program.wait() == 4, program.output()
    told = [line for line in program.errors if "engine-" in line or "  | " in line]
    assert sum("Permission denied" in line for line in told) == 1, program.output()
    assert sum("Welcome to n1" in line for line in told) == 1, program.output()
    again = [line for line in told if "as before" in line or "did not start either" in line]
    assert again and all("ended" not in line for line in again), program.output()
    assert "not started again, after 5 tries" in told[-1], program.output()
    assert not any(" 0.0 s" in line for line in told), program.output()
    assert not any("failed, starts again" in line for line in program.lines), "the log tells of all at once"


def test_engines_that_end_together_are_told_together(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml", servers=4)).ready(4)
    for pid in agents_of(proxy).values():
        os.kill(pid, signal.SIGKILL)

    def ends():
        return [line for line in list(proxy.errors) if re.search(r" (has|have) ended", line)]

    def engines(line):
        more = re.search(r" and (\d+) more ", line)
        return len(re.findall(r"engine-\d", line.split(" ended", 1)[0])) + (int(more[1]) if more else 0)
    wait_until(lambda: sum(map(engines, ends())) == 4, f"that all have ended\n{proxy.output()}")
    assert len(ends()) < 4, proxy.output()
    proxy.ready(4)


def test_a_wrong_token_is_tried_once(tmp_path):
    config = far_config(tmp_path / "c.yaml", exec_command=["env", "BATCHPROXY_AGENT_TOKEN=wrong", "{agent...}"])
    program = Program([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config], tmp_path)
    assert program.wait() == 4, program.output()
    output = program.output()
    assert "refuses: the agent does not have the token of this run" in output, output
    assert "not started again" in output and "started again in" not in output, output
    assert output.count("refused an agent from 127.0.0.1") == 1, output
    assert "on its way: engine-agent" not in output, output
    assert "let exec_command pass on BATCHPROXY_AGENT_TOKEN and the standard input as they are" in output, output
    assert "run 2" not in engine_log(tmp_path, 0) + engine_log(tmp_path, 1)


def test_an_agent_that_gets_no_token_says_so(tmp_path):
    output = ends_without_engines(tmp_path, exec_command=[
        "sh", "-c", "exec env -u BATCHPROXY_AGENT_TOKEN {agent} </dev/null"])
    assert "no token of the run: neither BATCHPROXY_AGENT_TOKEN nor the standard input has one" in output, output


def test_a_program_that_is_not_on_the_node_is_named(tmp_path):
    output = ends_without_engines(tmp_path, engine="vllm", executable="/no/such/vllm", exec_command=[
        "env", "CUDA_VISIBLE_DEVICES=0,1", "{agent...}"])
    assert "`/no/such/vllm` was not found there, or cannot be run: install it on the node" in output, output


def test_a_carrier_that_is_not_there_is_named_before_anything_starts(tmp_path):
    config = far_config(tmp_path / "c.yaml", exec_command=["no-such-ssh", "{node}", "{agent}"])
    result = subprocess.run([PROXY, "--config", config], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 2
    assert "`no-such-ssh` was not found, or cannot be run: correct batchproxy.launcher.exec_command" in result.stderr


def test_a_dry_run_shows_how_agents_would_come_to_their_nodes(tmp_path):
    config = far_config(tmp_path / "c.yaml", servers=2, exec_command=["env", "{node}", "{agent}"])
    result = subprocess.run([PROXY, "--config", config, "--dry-run"], cwd=tmp_path, capture_output=True, text=True,
                            timeout=DEADLINE, check=True)
    assert "# engine-0: needs 2 GPUs, on another node, log batchproxy_logs/engine-0.log" in result.stdout
    assert "--host '{host}' --port '{port}'" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert last.startswith("env n2 '") and "engine-agent --proxy 127.0.0.1:0 --engine engine-1 --start 1" in last


def test_slurm_without_an_allocation_says_how_to_get_one(tmp_path):
    config = write_config(tmp_path / "c.yaml", placement="slurm")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    result = subprocess.run([PROXY, "--config", config], cwd=tmp_path, env=environment, capture_output=True, text=True,
                            timeout=DEADLINE)
    assert result.returncode == 2
    assert "SLURM_JOB_ID is not set" in result.stderr and "salloc -N2 --gres=gpu:8" in result.stderr


def test_status_and_lists_of_models_know_engines_of_other_nodes(start_proxy, tmp_path):
    proxy = start_proxy("--config", far_config(tmp_path / "c.yaml")).ready(2)
    assert [model["id"] for model in json.loads(call(proxy.url, "/v1/models")[1])["data"]] == [MODEL]
    assert re.search(r"(?m)^engine +is +node ", shown(proxy, "status"))
    assert re.search(r"(?m)^engine-1 +fine +n2 ", shown(proxy, "status"))
    assert re.search(r"(?m)^engine .* restarts  node  GPUs$", shown(proxy, "engines"))
    assert re.search(r"(?m)^engine-1 .* n2 ", shown(proxy, "engines"))


def looked_at(*words, env=None):
    """`check` or `doctor`: its exit code, and all that it says."""
    done = subprocess.run([PROXY, *words], capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout + done.stderr


def test_check_and_doctor_say_where_engines_would_go_and_that_agents_could_not_come_back(tmp_path):
    config = far_config(tmp_path / "c.yaml", servers=3)
    code, text = looked_at("check", config)
    assert code == 0, text
    assert re.search(r"notice: \S+/env brings engines to n1 \(2\), n2 \(1\)", text), text
    assert "not all of its engines would start: agents_listen is 127.0.0.1:0, a loopback address" in text, text
    code, text = looked_at("doctor", "--config", config)
    assert code == 1, text
    assert re.search(r"(?m)^ok +placement +\S+/env brings engines to n1 \(2\), n2 \(1\)$", text), text
    assert re.search(r"(?m)^failure +agents +agents_listen is 127.0.0.1:0, a loopback address", text), text


def test_check_names_a_carrier_that_is_not_there_and_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "{}:{}".format(*other.getsockname())
        code, text = looked_at("check", far_config(tmp_path / "c.yaml", exec_command=["no-such-ssh", "{node}", "{agent}"],
                                                   agents_listen=address))
    assert code == 0, text
    assert "it would not start: `no-such-ssh` was not found" in text, text
    assert f"it would not start: cannot listen for agents at {address}" in text and f"(pid {os.getpid()}) listens there" in text, text


def test_an_agent_tells_who_asks_it_what_it_is(tmp_path):
    code, text = looked_at("engine-agent", "--help")
    assert code == 0 and text.startswith("Runs one engine on this node") and "--proxy HOST:PORT" in text
    code, text = looked_at("engine-agent", "--proxy", "nowhere")
    assert code == 2 and "see `batchproxy engine-agent --help`" in text
