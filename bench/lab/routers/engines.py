"""Simulated engines of two A100s each, which can be killed, halted, and started again where they were."""
import signal

from tests.support.asking import metrics
from tests.support.proxy import SimEngine

from ..machine import cpu_seconds

COUNT = 4
# They answer with a hash of the prompt, so that every answer can be checked.
FLAGS = ["--sim-answer", "sha256", "--tensor-parallel-size", 2, "--max-model-len", 4096, "--max-num-batched-tokens",
         2048, "--max-num-seqs", 256]


class Engines:
    """COUNT of them, with empty caches; all are gone when the `with` block ends."""

    def __init__(self, build, folder, time_scale):
        self._build, self._folder, self._flags = build, folder, [*FLAGS, "--sim-time-scale", time_scale]
        self._programs = {}

    def __enter__(self):
        try:
            for number in range(COUNT):
                self._start(number, 0)
        except BaseException:
            self.__exit__()
            raise
        self.ports = [int(engine.url.rpartition(":")[2]) for engine in self._programs.values()]
        return self

    def __exit__(self, *_):
        for engine in self._programs.values():
            engine.kill()

    def _start(self, number, port):
        self._programs[number] = SimEngine(self._folder, *self._flags, "--port", port, program=self._build.proxy)

    def kill(self, *numbers):
        for number in numbers:
            self._programs[number].kill()

    def start_again(self, *numbers):
        for number in numbers:
            self._start(number, self.ports[number])

    def halt(self, number):
        """It takes connections, and answers nothing."""
        self._programs[number].process.send_signal(signal.SIGSTOP)

    def go_on(self, number):
        self._programs[number].process.send_signal(signal.SIGCONT)

    def cpu_seconds(self):
        return sum(cpu_seconds(engine.pid) for engine in self._programs.values())

    def counted(self, name):
        """A counter of vLLM's for each engine, whatever its labels: prefix_cache_hits, request_success."""
        return [sum(value for key, value in metrics(f"http://127.0.0.1:{port}").items()
                    if key.startswith(f"vllm:{name}_total{{")) for port in self.ports]
