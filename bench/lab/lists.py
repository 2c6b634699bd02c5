"""What spreading a client's long list over four engines is worth.

512 prompts go to one simulated A100 pair directly, and through batchproxy to four, in real time; the answer must be the
same."""
import json
import time

from tests.support.asking import MODEL, call

from .engines import pairs
from .figures import header, row
from .options import positive


def add_options(parser):
    parser.add_argument("--rounds", type=positive(int), default=3)


def ask(url, salt):
    """Seconds, and the answer without what is its own each time."""
    prompts = [f"{salt} {i}: " + " ".join(f"word{i * j % 97}" for j in range(60)) for i in range(512)]
    body = json.dumps({"model": MODEL, "prompt": prompts, "max_tokens": 8, "temperature": 0})
    start = time.perf_counter()
    response, text = call(url, "/v1/completions", body)
    answer = json.loads(text)
    if response.status != 200:
        raise SystemExit(f"answered {response.status}: {answer}")
    for own in ("id", "created"):
        del answer[own]
    return time.perf_counter() - start, answer


def run(options):
    options.build.need(options.build.proxy)
    with pairs(options.build) as proxy:
        header("round", "one engine, s", "four through batchproxy, s", "ratio", "answers")
        for number in range(1, options.rounds + 1):
            # Prompts that no engine has seen before, so that no cache helps; then the same ones elsewhere.
            direct, expected = ask(proxy.engine, f"direct {number}")
            spread, _ = ask(proxy.url, f"spread {number}")
            same = ask(proxy.url, f"direct {number}")[1] == expected
            row(number, f"{direct:.2f}", f"{spread:.2f}", f"{direct / spread:.2f}",
                "identical" if same else "DIFFERENT")
            if not same:
                raise SystemExit("batchproxy's answer is not the engine's")
