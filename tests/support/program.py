"""A running program whose output is read line by line, and which is stopped by its pid."""
import os
import re
import signal
import subprocess
import threading

from .waiting import DEADLINE, wait_until


class Program:
    """`lines` and `errors`: what it has said so far on stdout and stderr. `prepare` runs in the child before it."""

    def __init__(self, args, cwd, env=None, prepare=None):
        self.lines, self.errors = [], []
        self.process = subprocess.Popen(
            [str(arg) for arg in args], cwd=cwd, env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: self._begin(prepare))
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True)]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _begin(prepare):
        # A shell's job in the background, such as the tests may be, ignores it, and so would its children.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prepare:
            prepare()

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def _read(self, stream, into):
        for line in stream:
            into.append(line.rstrip("\n"))

    def wait_for_line(self, pattern, count=1, deadline=None):
        """The matches of `pattern` once `count` lines on stdout match it."""
        def look():
            found = [m for m in (re.search(pattern, line) for line in list(self.lines)) if m]
            if len(found) >= count:
                return found
            if self.process.poll() is not None and not any(r.is_alive() for r in self._readers):
                raise AssertionError(f"ended without {pattern!r}:\n{self.output()}")
            return None
        return wait_until(look, lambda: f"{pattern!r} in\n{self.output()}", deadline)

    def wait_for_error(self, words):
        """A line on stderr with `words`: what is told there may follow what is seen elsewhere."""
        wait_until(lambda: any(words in line for line in list(self.errors)), lambda: f"{words!r} in\n{self.output()}")

    def output(self):
        return "\n".join(["--- stdout", *self.lines, "--- stderr", *self.errors])

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        try:
            code = self.process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end:\n{self.output()}")
        for reader in self._readers:
            reader.join()
        return code

    def kill(self):
        """At once, and without a word about its end."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
