"""A real Slurm with two fake nodes of eight GPUs, and simulated engines in an allocation of both (the part `slurm` of
scripts/test --full; it needs root)."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from tests.integration.test_launching import environment_of
from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.processes import descendants
from tests.support.program import Program
from tests.support.proxy import Proxy, write_config
from tests.support.slurm import Slurm, why_not
from tests.support.waiting import alive, wait_until

pytestmark = [pytest.mark.full("slurm"), pytest.mark.skipif(bool(why_not()), reason=why_not())]

QUESTIONS = 5000
# A restart may be due a minute after a node is back, and srun takes its time to give one up that has gone.
PATIENCE = 300


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def allocation(slurm):
    """The environment of one who has both nodes, for half an hour."""
    environment = slurm.allocate("-N2", "--ntasks-per-node=1", "-c16", "--gres=gpu:8", "-t30")
    yield environment
    slurm.run("scancel", environment["SLURM_JOB_ID"])
    wait_until(lambda: not slurm.run("squeue", "--noheader").stdout.strip(), "the end of the job")


def slurm_config(path, servers=8, **launcher):
    return write_config(path, servers, placement="slurm", agents_listen="127.0.0.1:0", stop_timeout=5, **launcher)


@contextlib.contextmanager
def running(tmp_path, environment, **how):
    proxy = Proxy(["--config", slurm_config(tmp_path / "c.yaml", **how)], tmp_path, env=environment)
    try:
        yield proxy
    finally:
        if proxy.is_running():
            proxy.stop()
    proxy.assert_clean()


def ready(proxy, count):
    wait_until(lambda: sum(one["state"] == "ready" for one in proxy.status()["backends"]) == count,
               f"{count} ready engines\n{proxy.output()}", PATIENCE)


def said(proxy, pattern, deadline=PATIENCE):
    return wait_until(lambda: next((line for line in list(proxy.errors) if re.search(pattern, line)), None),
                      f"{pattern!r} in\n{proxy.output()}", deadline)


def nodes_of(proxy):
    return {one["name"]: one.get("node") for one in proxy.status()["backends"]}


class Questions:
    """`count` questions from some threads at once; no more than `allowed` of them are begun."""

    def __init__(self, url, count, threads=16):
        self.allowed, self.begun, self.codes, self.gate = 0, 0, [], threading.Condition()
        self.threads = [threading.Thread(target=self._ask, args=(url, count), daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def allow(self, allowed):
        with self.gate:
            self.allowed = allowed
            self.gate.notify_all()

    def _ask(self, url, count):
        while True:
            with self.gate:
                self.gate.wait_for(lambda: self.begun < self.allowed or self.begun == count)
                if self.begun == count:
                    return
                number = self.begun
                self.begun += 1
                if self.begun == count:
                    self.gate.notify_all()
            code = complete(url, f"question {number}", max_tokens=2)[0].status
            with self.gate:
                self.codes.append(code)

    def answered(self, count):
        wait_until(lambda: len(self.codes) >= count, f"{count} answers; there are {len(self.codes)}", PATIENCE)

    def end(self):
        for thread in self.threads:
            thread.join(PATIENCE)


def test_five_thousand_questions_are_answered_while_a_node_is_taken_away_and_comes_back(slurm, allocation, tmp_path):
    with running(tmp_path, allocation) as proxy:
        ready(proxy, 8)
        nodes = nodes_of(proxy)
        assert sorted(nodes.values()) == ["n1"] * 4 + ["n2"] * 4
        assert len(slurm.steps()) == 8, slurm.steps()
        gpus = sorted((nodes[one["name"]], environment_of(pid)["CUDA_VISIBLE_DEVICES"])
                      for one, pid in zip(proxy.status()["backends"], proxy.engine_pids(8)))
        assert gpus == [(node, pair) for node in ("n1", "n2") for pair in ("0,1", "2,3", "4,5", "6,7")]

        questions = Questions(proxy.url, QUESTIONS)
        questions.allow(3000)
        questions.answered(500)
        slurm.take_away("n2")
        said(proxy, r"its agent on n2 is gone")
        questions.answered(3000)
        assert sum(one["state"] == "ready" for one in proxy.status()["backends"]) == 4
        said(proxy, r"Slurm: node n2 does not respond: no engine starts there now")
        slurm.give_back("n2")
        questions.allow(4000)
        ready(proxy, 8)
        assert sorted(nodes_of(proxy).values()) == ["n1"] * 4 + ["n2"] * 4
        questions.allow(QUESTIONS)
        questions.end()
        assert len(questions.codes) == QUESTIONS and set(questions.codes) == {200}
        proxy.assert_balanced()

        tree = descendants(proxy.pid)
        pids = [pid for pid in proxy.engine_pids(8) if alive(pid)]
        assert len(pids) == 8
        assert proxy.stop(signal.SIGINT) == 0
    wait_until(lambda: not any(map(alive, [*tree, *pids])), "every srun and engine to go")
    wait_until(lambda: not slurm.steps(), f"no step is left: {slurm.steps()}")
    assert slurm.run("squeue", "--noheader", "--format=%T").stdout.strip() == "RUNNING", "the job is its owner's"


def test_a_killed_proxy_leaves_no_step(slurm, allocation, tmp_path):
    with running(tmp_path, allocation) as proxy:
        ready(proxy, 8)
        tree, pids = descendants(proxy.pid), proxy.engine_pids(8)
        proxy.kill()
    wait_until(lambda: not any(map(alive, [*tree, *pids])), "every srun and engine to go", PATIENCE)
    wait_until(lambda: not slurm.steps(), f"no step is left: {slurm.steps()}", PATIENCE)


def test_a_batch_script_serves_and_ends_in_order(slurm, tmp_path):
    """What was said to the whole job, --gpus-per-node and --cpus-per-task, must not be taken by each step as said to it."""
    config = slurm_config(tmp_path / "c.yaml")
    script, output = tmp_path / "job.sh", tmp_path / "job.out"
    script.write_text(f"#!/bin/sh\nexec {PROXY.resolve()} --listen 127.0.0.1:0 --admin 127.0.0.1:0 --config {config}\n")
    output.touch()
    job = slurm.run("sbatch", "--parsable", "-N2", "--ntasks-per-node=1", "--cpus-per-task=16", "--gpus-per-node=8", "-t10",
                    "--chdir", tmp_path, "--output", output, script).stdout.strip()
    wait_until(lambda: "ready: 8 of 8 backends" in output.read_text(), f"8 ready engines\n{output.read_text()}", PATIENCE)
    url = re.search(r"listening +(http://\S+)", output.read_text())[1]
    assert all(complete(url, f"question {i}")[0].status == 200 for i in range(20))
    slurm.run("scancel", "--batch", "--signal=TERM", job)
    wait_until(lambda: not slurm.run("squeue", "--noheader").stdout.strip(), f"the job's end\n{output.read_text()}", PATIENCE)
    assert "JobState=COMPLETED" in slurm.run("scontrol", "show", "job", job).stdout
    assert "20 answered with success" in output.read_text()
    assert not slurm.steps()


def test_more_engines_than_gpus_wait_and_say_so(slurm, allocation, tmp_path):
    with running(tmp_path, allocation, servers=9) as proxy:
        ready(proxy, 8)
        waiting = next(one for one in proxy.status()["backends"] if one["state"] != "ready")
        wait_until(lambda: "GPUs or cores are all in use" in json.dumps(
            next(one for one in proxy.status()["backends"] if one["name"] == waiting["name"])),
                   f"why it waits\n{proxy.output()}")
        # Another's end is its beginning.
        other = next(pid for pid in proxy.engine_pids(8) if alive(pid))
        os.kill(other, signal.SIGKILL)
        wait_until(lambda: waiting["name"] in [one["name"] for one in proxy.status()["backends"] if one["state"] == "ready"],
                   f"{waiting['name']} to get them\n{proxy.output()}", PATIENCE)
        assert proxy.stop(signal.SIGINT) == 0
    wait_until(lambda: not slurm.steps(), f"no step is left: {slurm.steps()}")


def checked(tmp_path, environment, **how):
    done = subprocess.run([PROXY, "check", slurm_config(tmp_path / "c.yaml", **how)], capture_output=True, text=True,
                          timeout=PATIENCE, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_check_tells_what_the_allocation_has_and_whether_the_engines_fit(slurm, allocation, tmp_path):
    job = allocation["SLURM_JOB_ID"]
    text = checked(tmp_path, allocation)
    assert re.search(rf"notice: Slurm: job {job} on n\[1-2\]: its time limit is reached in \d+ min\n", text), text
    assert "notice: 2 nodes of 8 GPUs (n1, n2): 8 engines of 2 GPUs fit\n" in text, text
    text = checked(tmp_path, allocation, servers=9)
    assert "not all of its engines would start: 2 nodes of 8 GPUs (n1, n2): 9 engines of 2 GPUs do not all fit: 1 of them finds no room" in text
    text = checked(tmp_path, {**allocation, "SLURM_JOB_ID": "999"})
    assert "it would not start: of job 999 `scontrol` says: slurm_load_jobs error: Invalid job id specified" in text, text


def test_check_does_not_wait_for_a_slurmctld_that_does_not_answer(slurm, allocation, tmp_path):
    slurm.daemons["slurmctld"].send_signal(signal.SIGSTOP)
    try:
        assert "`scontrol` has not answered within 3 s: slurmctld is busy, or away" in checked(tmp_path, allocation)
    finally:
        slurm.daemons["slurmctld"].send_signal(signal.SIGCONT)


def test_a_job_that_has_ended_ends_the_start(slurm, tmp_path):
    environment = slurm.allocate("-N1", "-t5")
    slurm.run("scancel", environment["SLURM_JOB_ID"])
    wait_until(lambda: not slurm.run("squeue", "--noheader").stdout.strip(), "the end of the job")
    done = subprocess.run([PROXY, "--config", slurm_config(tmp_path / "c.yaml"), "--listen", "127.0.0.1:0", "--admin",
                           "127.0.0.1:0"], capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **environment})
    assert done.returncode == 2, done.stderr
    assert re.search(rf"(?m)^error: Slurm: job {environment['SLURM_JOB_ID']} is [A-Z]+: no engine can be started in it: start "
                     r"batchproxy in an allocation that runs", done.stderr), done.stderr


def test_engines_that_run_go_on_without_slurmctld_and_who_would_start_is_told(slurm, allocation, tmp_path):
    with running(tmp_path, allocation, servers=2) as proxy:
        ready(proxy, 2)
        slurm.daemons["slurmctld"].send_signal(signal.SIGSTOP)
        try:
            os.kill(proxy.engine_pids(2)[1], signal.SIGKILL)
            said(proxy, r"Slurm: `s\w+` has not answered within 5 s: slurmctld is busy, or away")
            wait_until(lambda: "squeue has no answer from slurmctld" in json.dumps(proxy.status()["backends"][1]),
                       f"why it does not start\n{proxy.output()}", PATIENCE)
            assert complete(proxy.url, "still there?")[0].status == 200
        finally:
            slurm.daemons["slurmctld"].send_signal(signal.SIGCONT)
        said(proxy, r"Slurm: slurmctld answers again")
        ready(proxy, 2)
        assert proxy.stop(signal.SIGINT) == 0


def test_an_engine_that_no_node_can_hold_says_what_to_do(slurm, allocation, tmp_path):
    config = slurm_config(tmp_path / "c.yaml", servers=1, restart="never")
    config.write_text(config.read_text().replace("tensor_parallel_size: 2", "tensor_parallel_size: 16"))
    program = Program([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config], tmp_path,
                      env=allocation)
    assert program.wait() == 4, program.output()
    assert "no node of the allocation has so many GPUs or cores" in program.output(), program.output()
    assert not slurm.steps()


def test_a_node_that_is_drained_is_named_with_its_reason(slurm, allocation, tmp_path):
    with running(tmp_path, allocation) as proxy:
        ready(proxy, 8)
        slurm.run("scontrol", "update", "nodename=n2", "state=drain", "reason=new fans")
        try:
            engine = next(name for name, node in nodes_of(proxy).items() if node == "n2")
            os.kill(proxy.engine_pids(8)[int(engine.split("-")[1])], signal.SIGKILL)
            said(proxy, r"Slurm: node n2 is drain\w+ \(new fans\): it takes no new jobs; engines of this one may still start")
        finally:
            slurm.run("scontrol", "update", "nodename=n2", "state=resume")
        said(proxy, r"Slurm: node n2 is well again")
        ready(proxy, 8)


def test_the_end_of_the_allocations_time_is_said_before_and_when_it_comes(slurm, tmp_path):
    environment = slurm.allocate("-N2", "--ntasks-per-node=1", "-c16", "--gres=gpu:8", "-t1")
    with running(tmp_path, environment, servers=2) as proxy:
        said(proxy, r"Slurm: job \d+ on n\[1-2\]: its time limit is reached in \d+ s")
        ready(proxy, 2)
        said(proxy, r"Slurm: the time limit of job \d+ is reached in \d+ s: Slurm ends its engines then")
        said(proxy, r"Slurm: job \d+ is (now [A-Z]+|not there any more); its engines end")
        said(proxy, r"the allocation's time limit is reached|the allocation has ended")
        assert proxy.stop(signal.SIGINT) == 0
    wait_until(lambda: not slurm.steps(), f"no step is left: {slurm.steps()}")
