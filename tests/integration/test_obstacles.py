"""What keeps engines of other nodes from coming up, and is known before or soon after a start: what a start says of it, and
`check`, `doctor` and `--dry-run`. Slurm's programs are scripts that say what the test wants."""
import json
import os
import re
import socket
import subprocess

import pytest

from tests.support.builds import PROXY
from tests.support.program import Program
from tests.support.proxy import write_config
from tests.support.waiting import DEADLINE, wait_until

JOB = ("JobId=12 JobName=x JobState={} RunTime=00:01:00 TimeLimit=08:00:00 NodeList=n[1-2] NumNodes=2 Nodes=n[1-2] "
       "CPU_IDs=0-7 Mem=0 GRES=gpu:8(IDX:0-7)")


class FakeSlurm:
    """Programs in a folder of their own, in front of the PATH; `log` has a line for each call."""

    def __init__(self, folder):
        self.folder, self.log = folder / "slurm", folder / "slurm.log"
        self.folder.mkdir()
        self.log.touch()
        self.says("scontrol", f"echo '{JOB.format('RUNNING')}'")
        self.says("squeue", "echo 'RUNNING|7:59:00|n[1-2]'")
        self.says("sinfo", "echo 'n1|mixed|none'; echo 'n2|mixed|none'")
        self.says("srun", "exec sleep 1000")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        self.environment |= {"PATH": f"{self.folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}

    def says(self, program, script):
        path = self.folder / program
        path.write_text(f"#!/bin/sh\necho {program} >> {self.log}\n{script}\n")
        path.chmod(0o755)

    def called(self, program):
        return program in self.log.read_text().split()


@pytest.fixture
def slurm(tmp_path):
    return FakeSlurm(tmp_path)


def slurm_config(tmp_path, **launcher):
    return write_config(tmp_path / "c.yaml", 2, placement="slurm", agents_listen="0.0.0.0:0", **launcher)


def exec_config(tmp_path, **launcher):
    return write_config(tmp_path / "c.yaml", 2, **{"placement": "exec", "exec_command": ["env", "ON={node}", "{agent...}"],
                                                   "nodes": ["n1", "n2"], "agents_listen": "0.0.0.0:0", **launcher})


def done(tmp_path, *words, env=None):
    return subprocess.run([PROXY, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=DEADLINE)


def refused_start(tmp_path, config, env=None):
    """What a proxy says that ends before it starts anything: one sentence."""
    result = done(tmp_path, "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", env=env)
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "listening" not in result.stdout, result.stdout + result.stderr
    return errors[0]


def started(tmp_path, config, env=None):
    return Program([PROXY, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config], tmp_path, env=env)


def said(program, pattern):
    return wait_until(lambda: next((line for line in list(program.errors) if re.search(pattern, line)), None),
                      f"{pattern!r} in\n{program.output()}")


@pytest.mark.parametrize("scontrol, says", [
    (f"echo '{JOB.format('CANCELLED')}'",
     "Slurm: job 12 is CANCELLED: no engine can be started in it: start batchproxy in an allocation that runs (salloc, sbatch)"),
    ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
     "of job 12 `scontrol` says: slurm_load_jobs error: Invalid job id specified: the allocation has ended: start again in a "
     "new one (salloc)")])
def test_a_job_that_has_ended_ends_the_start(tmp_path, slurm, scontrol, says):
    slurm.says("scontrol", scontrol)
    config = slurm_config(tmp_path)
    assert refused_start(tmp_path, config, slurm.environment) == f"error: {says}"
    assert not slurm.called("srun")
    dry = done(tmp_path, "--config", config, "--dry-run", env=slurm.environment)
    assert dry.returncode == 0 and f"warning: {says}" in dry.stderr and "srun --jobid=12" in dry.stdout, dry.stderr
    assert f"it would not start: {says}" in done(tmp_path, "check", config, env=slurm.environment).stderr


def test_a_job_that_nobody_knows_about_now_does_not_end_the_start(tmp_path, slurm):
    slurm.says("scontrol", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    program = started(tmp_path, slurm_config(tmp_path), slurm.environment)
    said(program, r"^warning: of job 12 `scontrol` says: .*Unable to contact slurm controller: slurmctld does not answer$")
    wait_until(lambda: slurm.called("srun"), f"srun\n{program.output()}")
    program.stop()


def test_a_dry_run_without_an_allocation_warns_of_it(tmp_path, slurm):
    del slurm.environment["SLURM_JOB_ID"]
    dry = done(tmp_path, "--config", slurm_config(tmp_path), "--dry-run", env=slurm.environment)
    assert dry.returncode == 0 and dry.stderr.count("warning: SLURM_JOB_ID is not set") == 1, dry.stderr
    assert not slurm.called("scontrol"), "there is no job to ask for"


def shown(proxy, text):
    wait_until(lambda: text in json.dumps(proxy.status()["backends"][0]), f"{text!r} in the status\n{proxy.output()}")


def test_a_silent_srun_waits_for_room_if_slurm_answers(start_proxy, tmp_path, slurm):
    proxy = start_proxy("--config", slurm_config(tmp_path), env=slurm.environment)
    shown(proxy, "srun waits without a word, as it does while the allocation's GPUs or cores are all in use or a node is out")


def test_a_silent_srun_is_not_taken_for_one_that_waits_if_slurm_is_silent(start_proxy, tmp_path, slurm):
    slurm.says("squeue", "exec sleep 1000")
    proxy = start_proxy("--config", slurm_config(tmp_path), env=slurm.environment)
    said(proxy, r"Slurm: `squeue` has not answered within 5 s: slurmctld is busy, or away")
    silence = "srun says nothing, and squeue has no answer from slurmctld"
    shown(proxy, silence)
    # One that is to start while squeue is still being waited for.
    batchproxy = subprocess.run([PROXY, "--admin", proxy.admin.removeprefix("http://"), "engines", "restart", "0"],
                                capture_output=True, text=True, timeout=DEADLINE)
    assert batchproxy.returncode == 0, batchproxy.stdout + batchproxy.stderr
    log = tmp_path / "batchproxy_logs" / "engine-0.log"
    wait_until(lambda: log.read_text().count(silence) == 2, f"it once more in\n{log.read_text()}")
    assert "all in use" not in proxy.output()


def test_a_port_for_agents_that_is_taken_ends_the_start_and_names_who_has_it(tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as other:
        address = "0.0.0.0:{}".format(other.getsockname()[1])
        error = refused_start(tmp_path, exec_config(tmp_path, agents_listen=address))
    assert f"cannot listen for agents at {address} (batchproxy.launcher.agents_listen)" in error, error
    assert f"(pid {os.getpid()}) listens there: end the program that has it, or choose" in error, error


@pytest.mark.parametrize("nodes, warns", [(["n1", "n2"], True), (["localhost"], False)])
def test_a_start_warns_of_a_loopback_address_for_agents_unless_all_engines_are_here(start_proxy, tmp_path, nodes, warns):
    proxy = start_proxy("--config", exec_config(tmp_path, nodes=nodes, agents_listen="127.0.0.1:0")).ready(2)
    warned = [line for line in proxy.errors if line.startswith("warning: agents_listen is 127.0.0.1:0, a loopback address")]
    assert len(warned) == warns, proxy.output()


def test_a_name_for_agents_that_nobody_knows_is_said_beforehand(tmp_path):
    config = exec_config(tmp_path, agents_listen="no-such-host.invalid:0")
    says = "agents_listen names `no-such-host.invalid`"
    assert says in done(tmp_path, "check", config).stderr
    assert says in done(tmp_path, "doctor", "--config", config).stdout
    assert f"warning: {says}" in done(tmp_path, "--config", config, "--dry-run").stderr


def test_a_carrier_that_goes_to_the_background_is_told_to_stay(tmp_path):
    program = started(tmp_path, exec_config(tmp_path, exec_command=["sh", "-c", "exit 0 # {node} {agent}"], restart="never"))
    assert program.wait() == 4, program.output()
    assert ("its agent has not come: sh ended with exit code 0; it must stay in the foreground for as long as its agent: take "
            "what sends it to the background (ssh -f, setsid, &) out of batchproxy.launcher.exec_command") in program.output()
