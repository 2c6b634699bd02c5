"""What packing requests into shared calls is worth.

`merge: auto` and `merge: off` in turn, before four simulated pairs of GPUs. In the first cell the engines' HTTP front
end is the bottleneck (4 ms per call, short prompts, one-token answers, at half speed so that this machine is not); in
the others it is not, and auto should change nothing."""
import json
import pathlib
import random
import tempfile

from .engines import pairs
from .figures import header, row
from .load import QUESTIONS, ask_questions
from .options import positive

SHORT = None  # the questions that write_short_questions() writes
WORDS = "time year people way day man thing woman life child world school state family student".split()
# Name, questions, workers, requests, max_tokens, and how the engines differ.
CELLS = [
    ("H100, 4 ms per call, 256 workers", SHORT, 256, 8000, 1,
     {"vllm_args": {"sim-call-cost": 0.004}, "launcher": {"sim_hardware": "h100", "sim_time_scale": 2}}),
    ("A100, 1 ms per call, 32 workers", SHORT, 32, 4000, 1, {}),
    ("A100, passages, 128 workers", QUESTIONS, 128, 6040, 8, {}),
    ("A100, passages, 16 workers", QUESTIONS, 16, 604, 8, {}),
]


def add_options(parser):
    parser.add_argument("rounds", nargs="?", type=positive(int), default=3, help="of each cell (3)")


def write_short_questions(path):
    """About 140 tokens each: an instruction that all share, and a case of its own."""
    chance = random.Random(1)
    with path.open("w") as out:
        for i in range(4000):
            text = "Read the case and say whether it holds. " * 9 + f"Case {i}: "
            text += " ".join(chance.choice(WORDS) for _ in range(40))
            question = {"passage": "", "question": text, "options": ["(A) yes", "(B) no"], "label": "A"}
            print(json.dumps(question), file=out)
    return path


def ask(build, merge, questions, workers, requests, tokens, engines):
    """The load's figures, and the proxy's status after it."""
    with pairs(build, merge=merge, **engines) as proxy:
        result = ask_questions(build, proxy.url, workers, requests, "--max-tokens", tokens, "--shuffle", 256,
                               "--distinct-rounds", questions=questions)
        return result, proxy.status()


def run(options):
    options.build.need(options.build.proxy, options.build.load)
    header("cell", "off, q/s", "auto, q/s", "auto / off", "off, p50 ms", "auto, p50 ms", "prompts per call")
    with tempfile.TemporaryDirectory() as name:
        short = write_short_questions(pathlib.Path(name) / "short.jsonl")
        for cell, questions, *rest in CELLS:
            for _ in range(options.rounds):
                (auto, status), (off, _) = (ask(options.build, merge, questions or short, *rest)
                                            for merge in ("auto", "off"))
                calls = status["requests"]["received"] - status["requests"]["merged"] + status["merged_calls"]
                row(cell, f"{off['per_second']:.0f}", f"{auto['per_second']:.0f}",
                    f"{auto['per_second'] / off['per_second']:.2f}", f"{1e3 * off['p50_seconds']:.0f}",
                    f"{1e3 * auto['p50_seconds']:.0f}", f"{auto['asked'] / calls:.1f}")
