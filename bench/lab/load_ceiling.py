"""How fast `batchproxy-bench run` can ask, beside wrk: both on one core, nginx with a fixed answer on another.

The ceiling is that of 64 connections. There the client is what is waited for: its connections stand in line before it, and
p50 says how it goes about them. So the latencies of both are compared once more before an nginx that lets 5,000
requests a second through, where the server is what is waited for, as with engines."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

from tests.support.program import Program
from tests.support.waiting import wait_until

from .figures import header, row
from .options import positive
from .peers.hops import free_port, listens

ANSWER = '{"choices":[{"text":" A"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
BODY = {"model": "m", "prompt": "Which? (A) x (B) y\nAnswer:", "max_tokens": 1, "temperature": 0}
CONNECTIONS = [1, 8, 64]
PATIENCE = 30  # seconds, for nginx to start
POST = pathlib.Path(__file__).resolve().parent / "peers" / "post.lua"
NGINX = """
daemon off; master_process off; worker_processes 1;
pid {work}/nginx.pid; error_log {work}/nginx.log crit;
events {{ worker_connections 1000; }}
http {{
    access_log off; client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
    server {{
        listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000000;
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
    limit_req_zone all zone=all:32k rate=5000r/s;
    server {{
        listen 127.0.0.1:{limited} backlog=4096; keepalive_requests 1000000000;
        default_type application/json;
        location / {{ limit_req zone=all burst=1000; try_files /none @answer; }}
        location @answer {{ return 200 '{answer}'; }}
    }}
}}
"""


def add_options(parser):
    parser.add_argument("--seconds", type=positive(float), default=5, help="of each measurement (5)")
    parser.add_argument("--rounds", type=positive(int), default=3, help="of each number of connections (3)")


def on_core(number):
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[number % len(cores)]})


def ask_by_wrk(url, connections, seconds, body):
    """Requests a second, and p50 in microseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", POST, url, "--",
               "/v1/completions", body]
    said = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True,
                          preexec_fn=on_core(0)).stdout
    number, unit = re.search(r"50% +([\d.]+)(us|ms|s)", said).groups()
    return (float(re.search(r"Requests/sec: +([\d.]+)", said)[1]),
            float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit])


def ask_by_bench(build, url, connections, seconds, questions):
    """The same, and the microseconds of CPU that it says a request costs it."""
    command = [build.load, "run", "--url", url, "--model", "m", "--questions", questions, "--workers", connections,
               "--duration", seconds, "--warm-up", "10%", "--json", "-"]
    said = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=True, preexec_fn=on_core(0)).stdout
    told = json.loads(said)
    return told["request_throughput"], 1e3 * told["p50_e2el_ms"], told["batchproxy"]["client_cpu_us_per_request"]


def compared(options, url, connections, body, questions):
    """The cells of a row: medians of the rounds."""
    taken = [(*ask_by_wrk(url, connections, options.seconds, body),
              *ask_by_bench(options.build, url, connections, options.seconds, questions))
             for _ in range(options.rounds)]
    wrk, wrk_p50, ours, our_p50, cpu = (statistics.median(column) for column in zip(*taken))
    return (f"{wrk:.0f}", f"{ours:.0f}", f"{ours / wrk:.2f}", f"{wrk_p50:.0f}", f"{our_p50:.0f}",
            f"{our_p50 / wrk_p50:.2f}", f"{cpu:.1f}")


def run(options):
    options.build.need(options.build.load)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        port, limited = free_port(), free_port()
        config, body, questions = work / "nginx.conf", work / "body.json", work / "q.jsonl"
        config.write_text(NGINX.format(work=work, port=port, limited=limited, answer=ANSWER))
        body.write_text(json.dumps(BODY))
        questions.write_text(json.dumps(BODY) + "\n")
        nginx = Program(["nginx", "-p", work, "-c", config], work, prepare=on_core(1))
        try:
            wait_until(lambda: not nginx.is_running() or listens(port), f"nginx at port {port}", PATIENCE)
            if not nginx.is_running():
                raise SystemExit(f"nginx has ended:\n{nginx.output()}")
            header("nginx gives", "connections", "wrk, req/s", "bench, req/s", "bench / wrk", "wrk, p50 µs",
                   "bench, p50 µs", "bench / wrk", "bench, CPU µs")
            for at, given in ((port, "all it can"), (limited, "5,000/s")):
                for connections in CONNECTIONS:
                    row(given, connections, *compared(options, f"http://127.0.0.1:{at}", connections, body, questions))
        finally:
            nginx.stop()
