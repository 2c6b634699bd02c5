"""How each router is started before four vLLM servers: with the settings that its own documentation recommends.

What all of them get, where they have it: health checks, requests that failed are asked again elsewhere (POST, too), the
policy that looks at prefixes, and time-outs that long answers do not reach."""
import json
import os
from dataclasses import dataclass, field

from tests.support.asking import MODEL

TIMEOUT = 600  # seconds, for an answer

HAPROXY = """
global
    no strict-limits
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client {timeout}s
    timeout server {timeout}s
    timeout queue {timeout}s
    timeout http-keep-alive {timeout}s
frontend clients
    bind 127.0.0.1:{port}
    default_backend engines
backend engines
    balance leastconn
    option httpchk GET /health
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    default-server inter 1s fall 2 rise 1
{servers}
"""

NGINX = """
daemon off;
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout {timeout}s;
    upstream engines {{
        zone engines 256k;
        least_conn;
{servers}
        keepalive 512;
        # An engine closes what rests for five seconds.
        keepalive_timeout 3s;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 64m;
        client_body_buffer_size 1m;
        location / {{
            proxy_pass http://engines;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 5s;
            proxy_read_timeout {timeout}s;
            proxy_next_upstream error timeout http_502 http_503 http_504 non_idempotent;
            proxy_next_upstream_tries 4;
        }}
    }}
}}
"""


@dataclass
class Site:
    """Where a router is to stand: its ports, the engines' before which it does, and a folder of its own."""
    port: int
    spare_port: int
    engines: list
    folder: os.PathLike
    program: os.PathLike

    @property
    def urls(self):
        return [f"http://127.0.0.1:{port}" for port in self.engines]

    def write(self, name, text):
        file = self.folder / name
        file.write_text(text)
        return file

    def servers(self, line):
        return "\n".join(line.format(number=number, port=port) for number, port in enumerate(self.engines))


@dataclass
class Plan:
    """What is run, and which path answers 200 when it is ready."""
    command: list
    ready: str
    env: dict = field(default_factory=dict)


def haproxy(site):
    text = HAPROXY.format(port=site.port, timeout=TIMEOUT, servers=site.servers(
        "    server engine{number} 127.0.0.1:{port} check"))
    return Plan([site.program, "-db", "-f", site.write("haproxy.cfg", text)], "/health")


def nginx(site):
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not write in a folder of ours
    text = NGINX.format(port=site.port, timeout=TIMEOUT, folder=site.folder, user=user, servers=site.servers(
        "        server 127.0.0.1:{port} max_fails=3 fail_timeout=5s;"))
    return Plan([site.program, "-p", site.folder, "-c", site.write("nginx.conf", text)], "/health")


def _common(site):
    return ["--host", "127.0.0.1", "--port", site.port, "--worker-urls", *site.urls, "--prometheus-host", "127.0.0.1",
            "--prometheus-port", site.spare_port, "--request-timeout-secs", TIMEOUT,
            # Every minute by default, and every 30 seconds while it starts: too seldom for an engine that comes back.
            "--health-check-interval-secs", "5", "--worker-startup-check-interval", "1"]


def smg(*more):
    return lambda site: Plan([site.program, "launch", *_common(site), "--log-level", "error", *more], "/v1/models")


def sglang_router(*more):
    return lambda site: Plan([site.program, "launch", *_common(site), "--log-level", "error", *more], "/readiness")


def vllm_router(*more):
    return lambda site: Plan([site.program, *_common(site), "--log-level", "error", *more], "/v1/models")


def litellm(site):
    """In production mode and without a database. An engine that has failed three times rests for five seconds."""
    models = [{"model_name": MODEL, "litellm_params": {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1",
                                                       "api_key": "none"}} for url in site.urls]
    config = {"model_list": models,
              "router_settings": {"routing_strategy": "simple-shuffle", "num_retries": 3, "allowed_fails": 3,
                                  "cooldown_time": 5, "timeout": TIMEOUT},
              "litellm_settings": {"telemetry": False, "request_timeout": TIMEOUT},
              "general_settings": {"dangerously_permit_weak_or_unset_master_key": True}}
    return Plan([site.program, "--config", site.write("litellm.yaml", json.dumps(config)), "--host", "127.0.0.1",
                 "--port", site.port, "--num_workers", "1", "--telemetry", "False"], "/health/liveliness",
                {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR",
                 "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"})


@dataclass(frozen=True)
class Router:
    """`package`: what has to be installed, and what its program is called; none for no proxy. `plan(Site)`: how."""
    title: str
    package: str = ""
    plan: object = None


OURS, NONE = "batchproxy", "direct"
ROUTERS = {
    NONE: Router("no proxy, engines in turn"),
    "nginx": Router("nginx {}, least_conn", "nginx", nginx),
    "haproxy": Router("HAProxy {}, leastconn", "haproxy", haproxy),
    OURS: Router("batchproxy {}", OURS),  # which tests/support starts
    "smg": Router("SMG {}, cache_aware (its default)", "smg", smg("--policy", "cache_aware")),
    "smg-prefix": Router("SMG {}, prefix_hash", "smg", smg("--policy", "prefix_hash")),
    # By default it avoids busy engines by what it saw of them up to ten seconds ago.
    "smg-free": Router("SMG {}, cache_aware without overload protection, loads read each second", "smg",
                       smg("--policy", "cache_aware", "--disable-worker-overload-protection",
                           "--load-monitor-interval", "1")),
    "sglang-router": Router("sglang-router {}, cache_aware (its default)", "sglang-router",
                            sglang_router("--policy", "cache_aware")),
    "vllm-router": Router("vLLM router {}, cache_aware (its default)", "vllm-router",
                          vllm_router("--policy", "cache_aware")),
    "litellm": Router("LiteLLM {}, simple-shuffle (its default)", "litellm", litellm),
}
