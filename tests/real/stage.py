"""A scripted engine, directly and behind batchproxy, that plays one list of replies after another."""
import contextlib
import json
import threading

from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import DEADLINE
from tests.support.wire import answer

from .servers import proxy_before

SOON = b"retry-after: 0.01\r\n"  # the packages would wait half a second and more
DROPPED = None  # the connection closes without an answer
SILENCE = "silence"  # it stays open without one
STREAM = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
          b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")


def failure(status, extra=b""):
    body = {"error": {"message": f"no {status}", "type": "SomeError", "param": None, "code": status}}
    return answer(json.dumps(body).encode(), b"%d Status" % status, extra)


class Stage:
    """`outcome(url, ask, **options)`: what comes of ask(client); `ask` is the usual call, `good` an answer to it."""

    def __init__(self, outcome, ask, good):
        self.outcome, self.ask, self.good = outcome, ask, good
        self.engine = ScriptedEngine(self.reply)
        self.proxied = None
        self.replies = []
        self.reached = 0  # calls of the one that plays
        self.over = threading.Event()  # lets go of those who wait for an answer that never comes

    def reply(self, _, request, __):
        if not request.startswith(b"POST"):  # batchproxy looks after its engines
            return failure(404)
        self.reached += 1
        reply = self.replies[min(self.reached, len(self.replies)) - 1]
        if reply == SILENCE:
            self.over.wait(DEADLINE)
            return DROPPED
        return reply

    def play(self, url, replies, ask=None, **options):
        """The outcome of one call, and how many requests reached the engine for it."""
        self.replies, self.reached = replies, 0
        return {**self.outcome(url, ask or self.ask, **options), "reached": self.reached}

    def recover(self):
        """What the last test did to the breaker must not decide the next one."""
        assert self.play(self.proxied, [self.good])["error"] is None

    def both(self, replies, ask=None, **options):
        self.recover()
        return self.play(self.engine.url, replies, ask, **options), self.play(self.proxied, replies, ask, **options)


@contextlib.contextmanager
def running_stage(cwd, outcome, ask, good):
    made = Stage(outcome, ask, good)
    with proxy_before(cwd, made.engine.url) as proxy:
        made.proxied = proxy.url
        yield made
        made.over.set()
    made.engine.close()
