"""Load from wrk."""
import contextlib
import pathlib
import re
import signal
import subprocess
import time

from tests.support.waiting import wait_until

from ..machine import established

SCRIPT = pathlib.Path(__file__).resolve().with_name("post.lua")
PATIENCE = 30  # seconds, for a load to build up, and to end
FAILURES = (r"Non-2xx or 3xx responses: (\d+)", r"connect (\d+)", r"read (\d+)", r"write (\d+)", r"timeout (\d+)")


class Wrk:
    """wrk, until the `with` block ends; the block begins when all its connections are there. Then `failed` is known."""

    def __init__(self, lab, server, body, connections):
        self._lab, self._server, self._connections = lab, server, connections
        self._needed = 1 if body.once else connections
        file = lab.work / "body.json"
        file.write_bytes(body.data)
        # The time is a bound, should we not live to end it.
        self._command = ["wrk", "-t1", f"-c{connections}", "-d150s", "--timeout", "60s", "-s", SCRIPT,
                         f"http{'s' * server.is_secured}://127.0.0.1:{server.port}", "--", body.path, file,
                         "close" if body.once else "keep-alive"]
        self.failed = 0

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                         preexec_fn=self._lab.pin)
        self.pid = self._process.pid
        try:
            wait_until(lambda: self._process.poll() is not None or self._are_there(), "connections of wrk", PATIENCE)
            if self._process.poll() is not None:
                raise SystemExit(f"wrk has ended: {self._process.stdout.read()}")
            time.sleep(min(0.5, self._lab.seconds) + self._connections / 10_000)
        except BaseException:
            self._end()
            raise
        return self

    def halt(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def __exit__(self, *_):
        try:
            said = self._interrupt()
        except BaseException:
            self._end()
            raise
        self.failed = sum(int(number) for pattern in FAILURES for number in re.findall(pattern, said))

    def _interrupt(self):
        """What it says. Once is not enough where a signal comes to one of its threads that does not sleep."""
        self.go_on()
        for _ in range(PATIENCE):
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.communicate(timeout=1)[0]
        raise SystemExit("wrk does not end")

    def _are_there(self):
        return established(self._server.port) >= self._needed

    def _end(self):
        self._process.kill()
        self._process.wait()
