"""Load by threads of this process, and by `batchproxy-bench run`."""
import json
import statistics
import subprocess
import threading
import time

from .build import ROOT
from .client import Client
from .figures import percentile

QUESTIONS = ROOT / "configs" / "questions.jsonl"


class Workers:
    """Ask one question after the other; their latencies in milliseconds."""

    def __init__(self, port, count, body):
        self._stopped, self._latencies, self._failed = False, [], 0
        self._threads = [threading.Thread(target=self._work, args=(port, body)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self, port, body):
        client = Client(port)
        while not self._stopped:
            start = time.perf_counter()
            if client.ask("/v1/completions", body)[0] != 200:
                self._failed += 1
            self._latencies.append(1e3 * (time.perf_counter() - start))
        client.close()

    def latencies_over(self, seconds):
        self._latencies.clear()
        time.sleep(seconds)
        taken = list(self._latencies)
        return f"{len(taken)} answers, p50 {statistics.median(taken):.1f} ms, p99 {percentile(taken, 99):.1f} ms"

    def stop(self):
        self._stopped = True
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise SystemExit(f"{self._failed} questions of the load were not answered with 200")


def ask_questions(build, url, workers, requests, *flags, questions=QUESTIONS):
    """What `batchproxy-bench run` tells, by the names of the lab's tables; every question has been answered.
    `questions` is a file, or None where the flags say what is asked."""
    asked = [] if questions is None else ["--questions", questions]
    command = [build.load, "run", "--url", url, *asked, "--workers", workers,
               "--requests", requests, "--json", "-", *flags]
    ended = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"batchproxy-bench ended with {ended.returncode}: {ended.stdout}")
    told = json.loads(ended.stdout)
    return {"asked": told["num_prompts"], "answered": told["completed"], "per_second": told["request_throughput"],
            "p50_seconds": told["p50_e2el_ms"] / 1e3, "p99_seconds": told["p99_e2el_ms"] / 1e3,
            "prefix_hits": told["batchproxy"].get("prefix_hits")}
