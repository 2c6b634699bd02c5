"""A router that stands before fresh engines and has been warmed up."""
import asyncio
import contextlib
import http.client
import os
import pathlib
import signal
import tempfile

from tests.support.asking import call
from tests.support.program import Program
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

from ..machine import cpu_seconds, family
from ..peers.hops import free_port
from . import installed
from .asking import Job
from .engines import COUNT, Engines
from .recipes import NONE, OURS, ROUTERS, Site

PATIENCE = 120  # seconds, for a router to start: some of Python's take half a minute
LITTLE = 16  # workers, and questions, of each step of the warm-up


class NotMeasured(Exception):
    """It does not stand; the text says why."""


def _answers(port, path):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return call(f"http://127.0.0.1:{port}", path)[0].status == 200
    return False


def _start_foreign(name, engines, folder, places):
    """A program that takes its port from flags or a file: another one is tried where somebody else was faster."""
    for last in (False, True):
        router = ROUTERS[name]
        site = Site(free_port(), free_port(), engines.ports, folder, installed.find(router.package, places))
        plan = router.plan(site)
        program = Program(plan.command, folder, env={"no_proxy": "*", "NO_PROXY": "*", **plan.env})
        try:
            wait_until(lambda: not program.is_running() or _answers(site.port, plan.ready), f"{plan.ready} of {name}",
                       PATIENCE)
        except BaseException:
            _end(program)
            raise
        if program.is_running():
            return program, site.port
        _end(program)
        if last:
            raise NotMeasured(f"it has ended:\n{program.output()[-1000:]}")


def _end(program):
    """At once, with the processes that it has started."""
    for pid in family(program.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    program.kill()


class Standing:
    """`ports`: where clients ask in turn; `engines`; and the router's program, if there is one."""

    def __init__(self, engines, ports, program):
        self.engines, self.ports, self._program = engines, ports, program

    def cpu_seconds(self):
        return cpu_seconds(self._program.pid) if self._program else 0.0

    def warm_up(self):
        """Until every engine has been asked: connections are made, and what learns has learnt something."""
        asked = iter(range(1 << 30))

        def all_have_answered():
            prompts = [f"{next(asked)} is a number to warm up with." for _ in range(LITTLE)]
            asyncio.run(_small_job(self.ports, prompts))
            return all(self.engines.counted("request_success"))
        wait_until(all_have_answered, f"an answer of each of the {COUNT} engines\n{self._said()}", PATIENCE)

    def _said(self):
        return self._program.output()[-1000:] if self._program else ""


async def _small_job(ports, prompts):
    await Job(ports, prompts, LITTLE, PATIENCE).run()


@contextlib.contextmanager
def standing(build, name, time_scale, places):
    """That router (recipes.ROUTERS) with default settings, before engines with empty caches."""
    with tempfile.TemporaryDirectory() as work, Engines(build, work, time_scale) as engines:
        folder, program = pathlib.Path(work), None
        try:
            if name == NONE:
                ports = engines.ports
            elif name == OURS:
                backends = [word for port in engines.ports for word in ("--backend", f"http://127.0.0.1:{port}")]
                program = Proxy(backends, folder, program=build.proxy)
                program.ready(COUNT)
                ports = [program.port]
            else:
                program, port = _start_foreign(name, engines, folder, places)
                ports = [port]
            stands = Standing(engines, ports, program)
            stands.warm_up()
            yield stands
        finally:
            if program is not None:
                _end(program)
