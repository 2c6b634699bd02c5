"""Rows 19, 20, 22 and 24: the process and its surroundings."""
import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from tests.support.asking import call
from tests.support.builds import PROXY, ROOT
from tests.support.waiting import DEADLINE, assert_never, wait_until
from tests.support.wire import answer

from .helpers import (
    ask, ask_all, asking, assert_all_right, failures, figure, finished, logged, name_of, traffic,
    write_keys)


def logging_to(tmp_path, file):
    """A program that is the proxy with its standard error there."""
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(f'#!/bin/sh\nexec {PROXY} "$@" 2>>{file}\n')
    wrapped.chmod(0o755)
    return wrapped


def assert_serves_while_it_cannot_log(serve, scripted, program):
    """With something to be told all the while."""
    # No connection is kept, so that one that dies is no stale one.
    flaky = scripted(lambda number, *_: None if number % 3 == 0 else answer(extra=b"connection: close\r\n"))
    proxy = serve([flaky], log_level="debug", batch_timeout=0, program=program)
    begin, attempts = time.monotonic(), collections.Counter()
    while attempts["2"] < 10 or time.monotonic() < begin + 2.5:  # failures are told once a second
        response, _ = ask(proxy, "p")
        assert response.status == 200
        attempts[response.headers["x-batchproxy-attempts"]] += 1
        call(proxy.admin, "/admin/reload", b"")  # each is told, too
    assert figure(proxy, "batchproxy_requests_retried_total") == attempts["2"]
    assert failures(proxy) == {(name_of(flaky), "reset"): attempts["2"]}
    assert not [line for line in proxy.errors if "calls failed" in line], "there was no place for it"
    wait_until(lambda: finished(proxy, "ok") == attempts.total(), "all to be counted")


def test_row_19_log_disk_full(serve, scripted, tmp_path):
    assert_serves_while_it_cannot_log(serve, scripted, logging_to(tmp_path, "/dev/full"))


def test_row_19_log_on_a_file_system_that_is_full(serve, scripted, tmp_path):
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tiny], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system")
    try:
        with contextlib.suppress(OSError), open(tiny / "filler", "wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        assert_serves_while_it_cannot_log(serve, scripted, logging_to(tmp_path, tiny / "log"))
    finally:
        subprocess.run(["umount", "--lazy", tiny], check=True)


def test_row_20_sigterm_under_load(serve, engines):
    two = engines(2, latency=0.5)
    proxy = serve(two, drain_timeout=DEADLINE)
    prompts = [f"p{number}" for number in range(300)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: proxy.status()["requests"]["received"] == 300, "all to be in")
        proxy.process.send_signal(signal.SIGTERM)
        under_way = int(proxy.wait_for_line(r"stopping: (\d+) requests under way")[0][1])
        assert figure(proxy, "batchproxy_requests_received_total") == 300
        assert call(proxy.admin, "/readyz")[0].status == 503
        responses = asked.result()
    assert_all_right(responses, prompts)
    assert {response.headers["x-batchproxy-attempts"] for response in responses} == {"1"}
    assert 0 < under_way <= 300
    assert sum(response.headers.get("connection") == "close" for response in responses) >= 1
    assert proxy.wait() == 0
    assert "stopped: 300 requests received, 300 answered with success, 0 with an error; 0 clients left or were " \
           "cut off" in proxy.lines[-1]


def test_row_20_sigterm_while_all_backends_are_down(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine], drain_timeout=0.5)
    engine.kill()
    logged(proxy, "no backend is ready")
    prompts = [f"p{number}" for number in range(50)]
    with asking(proxy, prompts) as asked:
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 50, "all to be held")
        begin = time.monotonic()
        assert proxy.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begin < 0.5 + 5
        responses = asked.result()
    assert {(response.status, response.code) for response in responses} == {(503, "shutting_down")}
    assert {response.headers["x-should-retry"] for response in responses} == {"true"}
    assert "stopped: 50 requests received, 0 answered with success, 50 with an error; 0 clients left or were " \
           "cut off" in proxy.lines[-1]


def errors_of(path):
    """What its expected output says, but for listen and admin, which the tests' flags stand in for."""
    lines = re.findall(r"\.yaml(:\d+:\d+: error: .*)", path.with_suffix(".expected").read_text())
    return [line for line in lines if not re.search(r"\b(listen|admin)\b", line)]


BROKEN = [path for path in sorted((ROOT / "tests" / "configs" / "broken").glob("*.yaml")) if errors_of(path)]


def test_row_22_reload_with_invalid_files(serve, engines, tmp_path):
    two = engines(2)
    proxy = serve(two)
    config = tmp_path / "c.yaml"
    good = config.read_bytes()
    assert len(BROKEN) >= 30
    with traffic(proxy) as ended:
        for path in BROKEN:
            config.write_bytes(path.read_bytes())
            response, text = call(proxy.admin, "/admin/reload", b"")
            assert response.status == 400, path.name
            assert any("c.yaml" + line in text.decode() for line in errors_of(path)), (path.name, text)
            before = ended["right"]
            wait_until(lambda: ended["right"] > before or set(ended) != {"right"}, "traffic to go on")
        assert figure(proxy, "batchproxy_config_last_reload_success") == 0
        refused = len(BROKEN)
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sum("the configuration was not reloaded; the one in force stays" in line
                               for line in list(proxy.errors)) == refused + 1, "the signal to be heard")
        generation = figure(proxy, "batchproxy_config_generation")
        assert figure(proxy, "batchproxy_config_last_reload_success") == 0
        config.write_bytes(good)
        assert call(proxy.admin, "/admin/reload", b"")[0].status == 200
        assert figure(proxy, "batchproxy_config_last_reload_success") == 1
        assert figure(proxy, "batchproxy_config_generation") == generation + 1
    assert generation in (0, 1) and set(ended) == {"right"}, ended
    assert failures(proxy) == {}
    logged(proxy, r"error .*c\.yaml:\d+:\d+: error: ")


def test_row_22_reload_adds_and_removes_backends_under_load(serve, engines, tmp_path):
    three = engines(3)
    proxy = serve(three[:2])
    generation = figure(proxy, "batchproxy_config_generation")

    def names():
        return [backend["name"] for backend in proxy.status()["backends"] if backend["state"] == "ready"]

    with traffic(proxy, 32) as ended:
        for number, wanted in enumerate([three[1:], three[:1], three, three[2:], three[:2]]):
            write_keys(tmp_path / "c.yaml", wanted)
            if number % 2:
                proxy.process.send_signal(signal.SIGHUP)
                wait_until(lambda: figure(proxy, "batchproxy_config_generation") == generation + number + 1, "it")
            else:
                response, text = call(proxy.admin, "/admin/reload", b"")
                assert response.status == 200 and b" is new" in text
            wait_until(lambda: sorted(names()) == sorted(map(name_of, wanted)), "the new ones to be ready")
            before = ended["right"]
            wait_until(lambda: ended["right"] > before + 50, "traffic")
    assert set(ended) == {"right"}, ended
    assert figure(proxy, "batchproxy_config_last_reload_success") == 1
    logged(proxy, f"reload: {name_of(three[2])} is new")
    logged(proxy, f"reload: {name_of(three[0])} gets no more requests")
    assert failures(proxy) == {}


CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* The wall clock goes a day ahead once the file JUMP exists; all other clocks go on. */
int clock_gettime(clockid_t clock, struct timespec* now) {
  const long failed = syscall(SYS_clock_gettime, clock, now);
  const char* jump = getenv("CLOCK_JUMP");
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && jump != NULL &&
      access(jump, F_OK) == 0) {
    now->tv_sec += 86400;
  }
  return (int)failed;
}
time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval* out, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


def test_row_24_clock_jump(start_proxy, scripted, tmp_path):
    """A day ahead, and back: no timer goes by the wall clock, only the log does."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "clock.so", tmp_path / "clock.c"], check=True)
    jump, release, late_over = tmp_path / "jump", threading.Event(), threading.Event()

    def script(number, request, carried):
        if b"hang" in request:
            late_over.wait(DEADLINE)
            return None
        release.wait(DEADLINE)
        return None if b"dies" in request and number % 2 else answer()

    backend = scripted(script)
    write_keys(tmp_path / "c.yaml", [backend], request_timeout=1.5, io_threads=1)
    env = {"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_JUMP": str(jump),
           "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
    proxy = start_proxy("--config", tmp_path / "c.yaml", env=env).ready(1)
    with asking(proxy, ["before"] * 8) as asked, asking(proxy, ["hang"]) as late:
        wait_until(lambda: len(backend.requests) == 9, "all to be under way")
        begin = time.monotonic()
        jump.touch()
        assert_never(asked.done, 0.3, "a timer went off with the wall clock")
        release.set()
        assert {response.status for response in asked.result()} == {200}
        [response] = late.result()
        late_over.set()
        assert response.status == 504 and 0.9 < time.monotonic() - begin < DEADLINE / 2, "in its own time"
    stamp = logged(proxy, "calls failed: 1 timeout").split(" ")[0]
    tomorrow = time.strftime("%Y-%m-%d", time.localtime(time.time() + 86400))
    assert stamp in (tomorrow, time.strftime("%Y-%m-%d", time.localtime(time.time() + 86400 - DEADLINE)))
    jump.unlink()
    assert {response.status for response in ask_all(proxy, ["after"] * 8)} == {200}
    assert failures(proxy) == {(name_of(backend), "timeout"): 1}
    assert finished(proxy, "ok") == 16 and finished(proxy, "timeout") == 1


def test_row_24_no_wall_clock_in_the_sources():
    """Only what dates the lines of a log, or what is told to clients and users, may ask for the time of day."""
    wall = re.compile(r"system_clock|high_resolution_clock|utc_clock|file_clock|gettimeofday|CLOCK_REALTIME|"
                      r"std::time\(|\btime\((?:0|nullptr|NULL)\)|localtime|gmtime")
    loggers = {"backends/sim/startup_log.cc", "backends/sim/sim_engine.cc",
               "backends/sim/server.cc",  # the dates in its answers
               "launcher/process/run_separator.h", "launcher/process/shim.cc",
               "launcher/placement/far_engine.cc",  # the line with which a run begins
               "proxy/terminal/terminal_writer.cc",  # the lines of a console that is a file
                   "proxy/control/log_format.cc",  # the lines of the log as JSON
                   "proxy/admin/admin.cc", "proxy/trace/access_log.cc",  # when a request came
                   "proxy/trace/record_text.h", "proxy/trace/record_text.cc",
               "backends/net/certificate.h", "backends/net/certificate.cc", "proxy/certificates/expiry_watch.cc",
               "proxy/app.cc", "proxy/commands/check.cc",  # when certificates end
               "proxy/otlp/span_exporter.cc",  # when a request came
               "proxy/files/wall_clock.h",  # when files and batches were made, and expire
               "proxy/jobs/asker.cc", "proxy/jobs/run/manage.cc"}  # when a question was asked, and what that was
    folders = ["configs", "batcher", "backends", "launcher", "proxy"]
    users = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*")
             if path.suffix in (".h", ".cc") and wall.search(path.read_text())}
    assert users <= loggers, users - loggers
    assert wall.search("std::chrono::system_clock::now()"), "the check sees one"
