"""Engines that go on without batchproxy, and are taken over by the next one."""
import os
import signal
import subprocess

import pytest

from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.proxy import write_config
from tests.support.waiting import alive, wait_until


@pytest.fixture
def config(tmp_path):
    """Before start_proxy among what a test asks for: a proxy that is there at the end would start what is stopped again."""
    path = write_config(tmp_path / "c.yaml", servers=2, keep=True)
    yield path
    stop(path)


def stop(config):
    return subprocess.run([PROXY, "stop", "--config", config], cwd=config.parent, capture_output=True, text=True,
                          timeout=60, check=False)


def take_over(start_proxy, config, pids):
    proxy = start_proxy("--config", config).ready(2)
    assert sorted(proxy.engine_pids(2)) == sorted(pids), proxy.output()
    assert complete(proxy.url, "x")[0].status == 200
    return proxy


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_engines_survive_the_end_of_the_proxy_and_are_taken_over(config, start_proxy, end):
    first = start_proxy("--config", config).ready(2)
    pids = first.engine_pids(2)
    urls = [backend["url"] for backend in first.status()["backends"]]
    first.process.send_signal(end)
    first.wait()
    assert all(alive(pid) for pid in pids)
    second = take_over(start_proxy, config, pids)
    assert [backend["url"] for backend in second.status()["backends"]] == urls
    assert not any("unready" in line or "did not start" in line for line in second.errors), second.output()


def test_what_happens_to_an_engine_meanwhile_is_seen_by_the_next(config, start_proxy):
    first = start_proxy("--config", config).ready(2)
    pids = first.engine_pids(2)
    first.process.kill()
    first.wait()
    os.kill(pids[0], signal.SIGKILL)
    second = start_proxy("--config", config).ready(2)
    now = second.engine_pids(2)
    assert pids[1] in now and set(now) - set(pids)  # the dead one may have been taken over for a moment
    os.kill(pids[1], signal.SIGKILL)
    second.engine_pids(len(now) + 1)
    wait_until(lambda: any("has ended: killed by SIGKILL" in line for line in second.errors), "that it is told")
    second.ready(2)


def test_an_engine_with_other_settings_is_restarted_and_one_too_many_is_stopped(config, start_proxy):
    first = start_proxy("--config", config).ready(2)
    pids = first.engine_pids(2)
    first.stop()
    config.write_text(config.read_text().replace('"servers": 2', '"servers": 1').replace("8192", "4096"))
    second = start_proxy("--config", config).ready(1)
    wait_until(lambda: not any(alive(pid) for pid in pids), "the old ones end")
    second.wait_for_error("engine-0 runs with other settings")
    second.ready(1)


def test_stop_ends_them(config, start_proxy):
    proxy = start_proxy("--config", config).ready(2)
    pids = proxy.engine_pids(2)
    assert proxy.stop() == 0
    assert any("the engines go on" in line for line in proxy.lines)
    done = stop(config)
    assert done.returncode == 0 and done.stdout == "engine-0: stopped\nengine-1: stopped\n", done
    assert not any(alive(pid) for pid in pids)
    assert "no engine runs" in stop(config).stdout


def test_without_keep_those_of_an_earlier_one_are_told_of(config, start_proxy):
    start_proxy("--config", config).ready(2).stop()
    config.write_text(config.read_text().replace('"keep": true', '"keep": false'))
    second = start_proxy("--config", config).ready(2)
    second.wait_for_error("2 engines of an earlier batchproxy")
    second.stop()
    assert "engine-1: stopped" in stop(config).stdout


def test_two_at_a_time_do_not_share_engines(config, start_proxy):
    first = start_proxy("--config", config).ready(2)
    pids = first.engine_pids(2)
    second = start_proxy("--config", config).ready(2)
    assert not set(second.engine_pids(2)) & set(pids)
    second.wait_for_error("another batchproxy has the engines")
    ports = {backend["url"] for proxy in (first, second) for backend in proxy.status()["backends"]}
    assert len(ports) == 4 and all(alive(pid) for pid in pids)
    second.stop()
    (others,) = (config.parent / "batchproxy_logs").glob("proxy-*")
    config.write_text(config.read_text().replace('"keep": true', f'"keep": true, "log_directory": "{others}"'))
    assert "engine-1: stopped" in stop(config).stdout
    config.write_text(config.read_text().replace(f', "log_directory": "{others}"', ""))
