"""Engines as jobs of a Ray head that is made to fail. What a real Ray does is asked in tests/ray."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from tests.support.asking import MODEL, complete
from tests.support.builds import PROXY
from tests.support.processes import descendants
from tests.support.program import Program
from tests.support.proxy import Proxy, write_config
from tests.support.ray_double import RayDouble
from tests.support.waiting import DEADLINE, alive, wait_until


@pytest.fixture
def ray():
    double = RayDouble()
    yield double
    double.close()


@pytest.fixture
def configured(tmp_path, ray):
    """configured(**launcher): a configuration of simulated 2-GPU engines on that Ray."""
    def make(servers=2, **launcher):
        return write_config(tmp_path / "c.yaml", servers=servers, placement="ray", ray_address=ray.url,
                            agents_listen="127.0.0.1:0", **launcher)
    return make


def engines_of(ray, servers):
    """Pids of all processes of that many jobs, once they run."""
    wait_until(lambda: list(ray.look().values()).count("RUNNING") == servers, f"{servers} jobs run: {ray.look()}")
    agents = [job.process.pid for job in ray.jobs.values() if job.process]
    return [pid for agent in agents for pid in [agent, *descendants(agent)]]


def test_engines_are_jobs_of_two_gpus_which_leave_nothing(start_proxy, ray, configured):
    proxy = start_proxy("--config", configured(servers=3)).ready(3)
    assert complete(proxy.url, "hello")[0].status == 200
    pids = engines_of(ray, 3)
    assert {job["metadata"]["batchproxy_engine"] for job in ray.submitted} == {"engine-0", "engine-1", "engine-2"}
    for job in ray.submitted:
        assert job["entrypoint_num_gpus"] == 2
        assert "engine-agent" in job["entrypoint"]
        token = job["runtime_env"]["env_vars"]["BATCHPROXY_AGENT_TOKEN"]
        assert len(token) >= 32 and token not in job["entrypoint"] and token not in proxy.output()
    proxy.stop(signal.SIGINT)
    assert not [pid for pid in pids if alive(pid)]
    wait_until(lambda: set(ray.look().values()) == {"SUCCEEDED"}, lambda: f"their jobs have ended well: {ray.look()}")


def test_after_a_kill_engines_end_and_the_next_run_clears_up(tmp_path, ray, configured):
    config = configured()
    first = Proxy(["--config", config], tmp_path).ready(2)
    pids = engines_of(ray, 2)
    marks = ray.submitted[0]["metadata"]
    first.kill()
    wait_until(lambda: not [pid for pid in pids if alive(pid)], "the engines have ended")
    # An agent is there for a moment more than its engine.
    wait_until(lambda: set(ray.look().values()) <= {"SUCCEEDED", "FAILED"}, lambda: f"no job runs on: {ray.look()}")
    # One whose agent hangs, say; another of somebody else's.
    ray.submit(submission_id="left", entrypoint="exec sleep 1000", metadata=marks)
    ray.submit(submission_id="neighbour", entrypoint="exec sleep 1000", metadata={**marks, "batchproxy_configuration": "x:/y"})
    second = Proxy(["--config", config], tmp_path).ready(2)
    wait_until(lambda: "an earlier batchproxy has left 1 job in Ray; stopped" in second.output(), "what was left")
    wait_until(lambda: list(ray.look().values()) == ["RUNNING"] * 3, f"of the first none is left in the list: {ray.look()}")
    assert "neighbour" in ray.jobs
    second.stop()


def test_a_second_proxy_of_the_same_logs_stops_none_of_the_first(start_proxy, ray, configured):
    config = configured(servers=1)
    start_proxy("--config", config).ready(1)
    second = start_proxy("--config", config).ready(1)
    assert list(ray.look().values()) == ["RUNNING"] * 2
    assert "an earlier batchproxy" not in second.output()


def test_a_head_that_was_started_anew_gets_the_engines_again(start_proxy, ray, configured):
    proxy = start_proxy("--config", configured()).ready(2)
    ray.forget()
    wait_until(lambda: len(ray.submitted) == 4, f"both are submitted again\n{proxy.output()}")
    wait_until(lambda: list(ray.look().values()) == ["RUNNING"] * 2, "both run")
    proxy.ready(2)
    assert complete(proxy.url, "hello")[0].status == 200
    assert len({job["submission_id"] for job in ray.submitted}) == 4


def test_it_ends_soon_also_without_its_ray(start_proxy, ray, configured):
    proxy = start_proxy("--config", configured()).ready(2)
    pids = engines_of(ray, 2)
    ray.leave()
    begun = time.monotonic()
    proxy.stop(signal.SIGINT)
    assert time.monotonic() - begun < 20, "less than the time for a job to end"
    assert not [pid for pid in pids if alive(pid)]


def test_a_submission_without_an_answer_is_repeated_and_runs_once(start_proxy, ray, configured):
    ray.lose_answer()
    proxy = start_proxy("--config", configured(servers=1)).ready(1)
    assert len(ray.submitted) == 1
    assert complete(proxy.url, "hello")[0].status == 200


def test_an_engine_that_finds_no_gpus_says_how_long_it_waits_and_what_there_is(start_proxy, ray, configured):
    ray.submit(submission_id="others", entrypoint="exec sleep 1000", entrypoint_num_gpus=13)
    proxy = start_proxy("--config", configured(servers=2))
    wait_until(lambda: any("its job has been PENDING in Ray for " in b.get("doing", "") and
                           b["doing"].endswith(": it needs 2 GPUs of one node; the cluster has 16, 1 of them free")
                           for b in proxy.status()["backends"]), f"its wait is told\n{json.dumps(proxy.status())}")
    assert complete(proxy.url, "hello")[0].status == 200, "the other one works"
    pids = engines_of(ray, 2)  # and the other's job
    proxy.stop()
    assert [pid for pid in pids if alive(pid)] == [ray.jobs["others"].process.pid]
    # Nothing can be taken out of Ray's queue: it begins once there is room, and ends at once.
    wait_until(lambda: {state for name, state in ray.look().items() if name != "others"} <= {"STOPPED", "SUCCEEDED"},
               f"{ray.look()}")


@pytest.mark.parametrize("version, says", [
    ("1.13.0", "is 1.13.0, and cannot give GPUs to a job: install Ray 2.2.0 or newer there"),
    ("", "is no Ray: launcher.ray_address is http://HEAD:8265")])
def test_what_is_no_ray_or_an_old_one_ends_the_start(tmp_path, ray, configured, version, says):
    ray.version = version
    assert says in refused_start(tmp_path, configured(servers=1))
    assert not ray.submitted


def refused_start(tmp_path, config):
    """What a proxy says that ends before it listens."""
    result = subprocess.run([PROXY, "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], cwd=tmp_path,
                            capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 2, result.stderr
    assert "listening" not in result.stdout
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, result.stderr
    return told[0]


def test_no_ray_ends_the_start_with_what_to_do(tmp_path, ray, configured):
    config = configured(servers=3)
    ray.close()
    assert (f"no Ray answers at {ray.url}: Connection refused (launcher.ray_address: the dashboard of a running "
            "`ray start --head`") in refused_start(tmp_path, config)


def test_a_dry_run_shows_all_and_warns_of_a_ray_that_is_not_there(tmp_path, ray, configured):
    def dry_run():
        return subprocess.run([PROXY, "--config", config, "--dry-run"], cwd=tmp_path, capture_output=True, text=True,
                              timeout=DEADLINE, check=True)
    config = configured(servers=1)
    assert "no Ray answers" not in dry_run().stderr
    ray.close()
    result = dry_run()
    assert "ray job submit" in result.stdout
    assert f"warning: no Ray answers at {ray.url}: Connection refused" in result.stderr, result.stderr


def test_a_start_says_which_ray_it_waits_for(tmp_path, ray, configured):
    config = configured()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        url = "http://{}:{}".format(*silent.getsockname())
        config.write_text(config.read_text().replace(ray.url, url))
        program = Program([PROXY, "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], tmp_path)
        waits = f"notice: waiting for Ray at {url}, without an answer so far: 30 s at most"
        wait_until(lambda: waits in list(program.errors), f"{waits!r} in\n{program.output()}")
    assert program.wait() == 2, program.output()  # the connection that was not taken is reset
    assert [line for line in program.errors if line.startswith(f"error: no Ray answers at {url}: ")], program.output()


def test_a_ray_that_leaves_later_is_told_by_the_starts_that_fail(start_proxy, ray, configured):
    proxy = start_proxy("--config", configured(servers=2)).ready(2)
    pids = engines_of(ray, 2)
    ray.leave()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    says = f"no Ray answers at {ray.url}: Connection refused"
    wait_until(lambda: says in proxy.output(), f"{says} in\n{proxy.output()}")
    assert proxy.is_running()


def checked(config):
    """What `batchproxy check` says, and its exit code."""
    done = subprocess.run([PROXY, "check", config], capture_output=True, text=True, timeout=DEADLINE)
    return done.returncode, done.stderr


def test_check_asks_ray_for_its_nodes(configured):
    code, said = checked(configured(servers=8))
    assert code == 0, said
    assert re.search(r"notice: Ray 2\.60\.0 answers at http://127\.0\.0\.1:\d+\n", said), said
    assert "notice: 1 node of 16 GPUs (127.0.0.1): 8 engines of 2 GPUs fit\n" in said
    said = checked(configured(servers=9))[1]
    assert "9 engines of 2 GPUs do not all fit: 1 of them finds no room" in said, said


def test_check_says_that_no_ray_is_there_or_that_it_is_silent(ray, configured):
    config = configured()
    ray.leave()
    code, said = checked(config)
    assert code == 0 and "it would not start: no Ray answers at " in said, said
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        config.write_text(config.read_text().replace(ray.url, "http://{}:{}".format(*silent.getsockname())))
        said = checked(config)[1]
    assert re.search(r"would not start: (Ray at \S+ has not answered within 5 s|no Ray answers at \S+: no answer in time)", said), said
