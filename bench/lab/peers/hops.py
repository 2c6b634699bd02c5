"""How each hop is started before a stub of an engine, with lab.threads threads; nginx and the floor have one."""
import contextlib
import json
import socket

from tests.support.certificates import make_certificate
from tests.support.program import Program
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

from ..engines import copy_hop

PATIENCE = 30  # seconds, for a program to start

HAPROXY = """
global
    nbthread {threads}
    maxconn {connections}
    # Without this it does not start where maxconn may need more descriptors than there are; it shares connections to
    # the server, so it needs fewer.
    no strict-limits
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend clients
    bind 127.0.0.1:{port}{secured}
    default_backend engine
backend engine
{servers}
"""

# One process, as HAProxy is one; nothing is written to files, also of large bodies; streams come as they are made.
NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log crit;
events {{ worker_connections {sockets}; }}
http {{
    access_log off;
    client_body_temp_path {work}/client;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    upstream engine {{
        server 127.0.0.1:{stub};
        keepalive {connections};
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
        client_max_body_size 0;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""

# What stands in batchproxy's file beside its I/O threads.
BATCHPROXY = {"plain": {"enable_batching": False, "batchproxy": {}},
              "tls": {"enable_batching": False, "batchproxy": {}},
              "default": {"batchproxy": {}},
              "merged": {"batchproxy": {"merge": "always"}}}


def free_port():
    """One that the kernel gives; somebody else may take it before it is used, and then a program says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def certificate(lab):
    """A certificate (P-256) and its key; and both in one file, as HAProxy wants them."""
    files = make_certificate(lab.work / "tls")
    both = lab.work / "tls" / "both.pem"
    both.write_text("".join(file.read_text() for file in files))
    return *files, both


def configured(lab, name, template, program, *flags, secured=""):
    """A foreign proxy, which takes its port from a file."""
    port, config = free_port(), lab.work / f"{name}.conf"
    servers = "\n".join(f"    server stub{n} 127.0.0.1:{each}" for n, each in enumerate(lab.stub.ports))
    config.write_text(template.format(port=port, stub=lab.stub.port, servers=servers, work=lab.work, secured=secured, threads=lab.threads,
                                      connections=lab.connections + 200, sockets=2 * lab.connections + 1000))
    hop = lab.keep(name, Program([*lab.prefix, program, *flags, config], lab.work, prepare=lab.pin))
    hop.port, hop.is_secured = port, bool(secured)
    wait_until(lambda: not hop.is_running() or listens(port), f"{name} at port {port}", PATIENCE)
    if not hop.is_running():
        raise SystemExit(f"{name} has ended:\n{hop.output()}")
    return hop


def batchproxy(lab, name, build):
    settings = {**BATCHPROXY[name.removeprefix("batchproxy-")]}
    backends = [{"url": f"http://127.0.0.1:{port}"} for port in lab.stub.ports]
    settings["batchproxy"] = {**settings["batchproxy"], "io_threads": lab.threads, "backends": backends}
    if name == "batchproxy-tls":
        own, key, _ = certificate(lab)
        settings["batchproxy"]["tls"] = {"certificate": str(own), "key": str(key)}
    config = lab.work / f"batchproxy-{lab.kept}.yaml"
    config.write_text(json.dumps(settings))  # which is YAML too
    hop = lab.keep(name, Proxy(["--config", config], lab.work, program=build.proxy, prepare=lab.pin))
    hop.is_secured = hop.url.startswith("https:")
    wait_until(lambda: all(backend["state"] == "ready" for backend in hop.status()["backends"]), "ready backends",
               PATIENCE)
    return hop


def start(lab, name, build=None):
    """The hop of that name (cases.TITLES) before lab.stub, on lab's core; ours of that build, or lab's."""
    match name:
        case "direct":
            return lab.stub
        case "copy":
            return lab.keep(name, copy_hop(lab.build, lab.work, lab.stub.port, prepare=lab.pin))
        case "haproxy":
            return configured(lab, name, HAPROXY, "haproxy", "-db", "-f")
        case "haproxy-tls":
            secured = f" ssl crt {certificate(lab)[2]} alpn http/1.1"
            return configured(lab, name, HAPROXY, "haproxy", "-db", "-f", secured=secured)
        case "nginx":
            return configured(lab, name, NGINX, "nginx", "-p", lab.work, "-c")
        case _:
            return batchproxy(lab, name, build or lab.build)
