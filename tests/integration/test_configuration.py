"""Configuration, command lines and machines as people have them."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from tests.support.asking import MODEL, call, complete
from tests.support.builds import BENCH, PROXY
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.waiting import wait_until


def run(*args, env=None, cwd="/"):
    return subprocess.run([PROXY, *map(str, args)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, **(env or {})}, timeout=60)


def write_command(path, script, **launcher):
    """A configuration of one engine that is a shell script."""
    command = ["sh", "-c", script + "; : {port} {gpus}"]
    text = json.dumps({"engine": "command", "command": command, "gpus": 1, **launcher})
    path.write_text(f"model: {{generator_settings: {{boot_local: true, hf_model_id: m}}}}\n"
                    f"batchproxy: {{launcher: {text}}}\n")
    return path


@pytest.fixture
def start(tmp_path):
    """start(*args): any batchproxy in tmp_path, killed at the end if it still runs."""
    started = []

    def begin(*args, prefix=()):
        program = Program([*prefix, PROXY, *args], tmp_path)
        started.append(program)
        return program

    yield begin
    for program in started:
        program.process.kill()
        program.wait()


def test_two_in_one_directory_have_logs_of_their_own(start, tmp_path):
    programs = [start("--config", write_command(tmp_path / f"{name}.yaml", f"echo last words of {name}; exit 3", restart="never"),
                      "--listen", "0", "--admin", "0") for name in "AB"]
    for program, name in zip(programs, "AB"):
        assert program.wait() == 4
        said = [line for line in program.errors if "last words" in line]
        assert len(said) == 1 and said[0].endswith(f"last words of {name}"), program.output()


def test_two_on_the_same_gpus_are_warned(start, tmp_path):
    first = start("--config", write_command(tmp_path / "a.yaml", "sleep 600"), "--listen", "0", "--admin", "0")
    first.wait_for_line("engine-0: started")
    second = run("--config", tmp_path / "a.yaml", "--dry-run", cwd=tmp_path)
    assert "warning: another batchproxy has engines on GPU 0" in second.stderr
    log = next(line for line in first.lines if "logs in" in line)
    assert log.endswith("logs in batchproxy_logs"), log


@pytest.mark.parametrize("ours, other", [("--listen", "--admin"), ("--admin", "--listen")])
def test_an_engine_never_gets_a_port_of_ours(start, tmp_path, ours, other):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = write_config(tmp_path / "c.yaml", servers=2, port_base=port)
    program = start("--config", config, ours, str(port), other, "0")
    engines = [int(engine[1]) for engine in program.wait_for_line(r"engine-\d +http://127.0.0.1:(\d+)", 2)]
    assert min(engines) > port
    program.wait_for_line("ready: 2 of 2")


@pytest.mark.parametrize("where", ["check", "dry-run", "start"])
def test_a_log_directory_that_cannot_be_made_is_told_before_anything_starts(tmp_path, where):
    (tmp_path / "file").write_text("")
    config = write_config(tmp_path / "c.yaml", servers=1, log_directory=str(tmp_path / "file" / "logs"))
    done = {"check": lambda: run("check", config),
            "dry-run": lambda: run("--config", config, "--dry-run"),
            "start": lambda: run("--config", config, "--listen", "0", "--admin", "0")}[where]()
    assert done.returncode == (2 if where == "start" else 0)
    assert "Not a directory" in done.stderr and "batchproxy.launcher.log_directory" in done.stderr
    assert "starting" not in done.stdout


def test_a_port_that_is_about_to_be_free_is_waited_for(start, served):
    # Bound and not listening: nobody alive is found to hold it, as after a kill -9.
    with contextlib.closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        program = start("--backend", served.engine.url, "--listen", "0",
                        "--admin", str(held.getsockname()[1]))
        wait_until(lambda: pathlib.Path(f"/proc/{program.process.pid}/fd").exists(), "its start")
    program.wait_for_line("listening")


def test_both_taken_ports_are_told_at_once(served):
    ports = [served.address, served.admin.removeprefix("http://")]
    done = run("--backend", served.engine.url, "--listen", ports[0], "--admin", ports[1])
    assert done.returncode == 1
    assert all(f"cannot listen on {port}" in done.stderr for port in ports), done.stderr


def test_runs_without_proc_where_it_starts_no_engine(start, served):
    mounts = ["unshare", "-m", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]
    if os.geteuid() != 0 or subprocess.run([*mounts, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root and a mount namespace")
    program = start("--backend", served.engine.url, "--listen", "0", "--admin", "0", prefix=mounts)
    program.wait_for_line("ready: 1 of 1")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_of_batch_systems_do_no_harm(served, number):
    served.process.send_signal(number)
    wait_until(lambda: any(f"{number.name} is ignored" in line for line in served.errors), "its line")
    assert complete(served.url, "x")[0].status == 200


def test_a_server_of_ipv6_is_called_by_its_brackets(start, tmp_path):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        port = listener.getsockname()[1]
        (tmp_path / "c.yaml").write_text(f"model: {{generator_settings: {{server: '::1', port: {port}}}}}\n")
        start("--config", tmp_path / "c.yaml", "--listen", "0", "--admin", "0")
        with listener.accept()[0] as probe:
            assert f"host: [::1]:{port}\r\n" in probe.recv(4096).decode().lower()


def test_the_hint_for_workers_names_the_address_that_a_flag_gave(start_proxy, tmp_path):
    proxy = start_proxy("--config", write_config(tmp_path / "c.yaml", servers=1))
    hint = proxy.wait_for_line(r"make their file: batchproxy (.*) > workers.yaml")[0][1]
    assert hint.endswith(f"c.yaml --listen {proxy.address}")
    made = run(*hint.split(), cwd=tmp_path)
    assert f"port: {proxy.address.split(':')[1]}" in made.stdout


def test_a_reload_tells_warnings_as_warnings(start_proxy, served, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"batchproxy: {{backends: [{served.engine.url}]}}\n")
    proxy = start_proxy("--config", config)
    config.write_text("batch_sise: 4\n" + config.read_text())
    assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
    wait_until(lambda: any("batch_sise" in line for line in proxy.errors), "the warning")
    line = next(line for line in proxy.errors if "batch_sise" in line)
    assert re.search(r" warning reload: .*c\.yaml:1:1: warning: 'batch_sise' is not read", line), line


def test_every_wrong_word_is_told():
    done = run("--lissten", "x", "--bakend", "y", "--io-threads", "z")
    assert done.returncode == 2
    for said in ("did you mean '--listen'", "did you mean '--backend'", "io_threads: expected a whole number"):
        assert said in done.stderr, done.stderr


def test_the_flag_for_an_open_door_may_stand_alone():
    arguments = ["--backend", "http://node1:1", "--listen", "0.0.0.0:9000"]
    assert run("check", "--allow-unauthenticated", *arguments).returncode == 0
    assert run("--allow-unauthenticated", "true", "check", *arguments).returncode == 0
    assert run("check", "--allow-unauthenticated=false", *arguments).returncode == 2


def test_dry_run_warns_of_a_name_that_leads_nowhere():
    done = run("--backend", "http://vllm.invalid:8000", "--dry-run")
    assert done.returncode == 0 and "http://vllm.invalid:8000\n" in done.stdout
    assert "warning: http://vllm.invalid:8000 cannot be found: its name `vllm.invalid` cannot" in done.stderr


def test_dry_run_of_running_engines_says_that_nothing_is_started():
    done = run("--backend", "http://127.0.0.1:1", "--backend", "http://127.0.0.1:2", "--dry-run")
    assert done.returncode == 0
    assert done.stdout == "# 2 backends, nothing to start\nhttp://127.0.0.1:1\nhttp://127.0.0.1:2\n"


def test_check_says_what_is_missing_here_and_which_gpus_are_left_over(tmp_path):
    config = write_config(tmp_path / "c.yaml", engine="vllm", servers="auto")
    config.write_text(config.read_text().replace("tensor_parallel_size: 2", "tensor_parallel_size: 3"))
    done = run("check", "--gpus", "8", config, env={"PATH": "/nowhere"}, cwd=tmp_path)
    assert done.returncode == 0
    assert "on this machine it would not start: `vllm` was not found on PATH" in done.stderr
    assert "2 of 8 GPUs left over" in done.stderr
    assert done.stderr.endswith("c.yaml: fine\n")


def test_each_command_has_help_of_its_own():
    assert re.search(r"^  sim-engine ", run("--help").stdout, re.M)
    texts = {name: run(name, "--help").stdout.partition("Example")[2] for name in ("check", "worker-config", "keys", "plan")}
    assert all(f"batchproxy {name}" in text for name, text in texts.items())


def test_every_help_is_one_screen_with_examples():
    main = run("--help").stdout
    commands = re.findall(r"(?m)^  ([a-z-]+) {2,}\S", main.partition("Subcommands:")[2].partition("Examples:")[0])
    assert len(commands) > 15
    for words in [[], *([command] for command in commands)]:
        text = run(*words, "--help").stdout
        assert "Example" in text and f"batchproxy {' '.join(words)}".strip() in text, words
        assert len(text.splitlines()) <= 48, words
    everything = run("--help-all").stdout
    for flag in ("--otlp-endpoint", "--batch-timeout", "--retry-errors"):
        assert flag in everything and flag not in main


def test_a_simulated_engine_on_a_taken_port_names_it(served):
    port = served.engine.url.rpartition(":")[2]
    done = run("sim-engine", MODEL, "--port", port, "--sim-load-time", "0")
    assert done.returncode == 1 and f"Address already in use (http://127.0.0.1:{port})" in done.stdout + done.stderr


@pytest.mark.parametrize("words, said", [
    (["run", "--url", "http://node1", "--questions", "/etc/passwd"], "/etc/passwd:1: not JSON"),
    (["run", "--urll", "x", "--workrs", "3"], "'--workrs'; did you mean '--workers'?"),
    (["rn"], "'rn'; did you mean 'run'?"),
    (["questions", "--url", "http://node1"], "'questions'; there are run, ")])
def test_the_bench_tells_what_is_wrong_with_its_words(words, said):
    done = subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_a_reload_that_changes_an_engines_key_is_no_outage(start_proxy, start_engine, tmp_path):
    engine = start_engine()
    config = tmp_path / "c.yaml"
    config.write_text(f"batchproxy: {{backends: [{{url: {engine.url!r}, api_key: one}}]}}\n")
    proxy = start_proxy("--config", config).ready(1)
    config.write_text(config.read_text().replace("one", "two"))
    assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
    assert complete(proxy.url, "hello")[0].status == 200
    assert not any("gets no more requests" in line or "no backend is ready" in line for line in proxy.errors)
    assert len(json.loads(call(proxy.admin, "/status")[1])["backends"]) == 1
