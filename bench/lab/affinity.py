"""What prefix affinity is worth, with it and without it in turn.

Questions that share passages come in mixed order from 128 workers to four simulated A100 pairs; each row has fresh
engines."""
from .engines import pairs
from .figures import header, row
from .load import QUESTIONS, ask_questions
from .options import positive


def add_options(parser):
    parser.add_argument("questions", nargs="?", default=QUESTIONS, help="JSON Lines (configs/questions.jsonl)")
    parser.add_argument("requests", nargs="?", type=positive(int), default=3020, help="in all (3020)")
    parser.add_argument("time_scale", nargs="?", type=positive(float), default=1.0,
                        help="of the engines (1.0: real time)")
    parser.add_argument("--rounds", type=positive(int), default=3)


def ask(options, affinity):
    with pairs(options.build, affinity=affinity, launcher={"sim_time_scale": options.time_scale}) as proxy:
        return ask_questions(options.build, proxy.url, 128, options.requests, "--admin", proxy.admin, "--shuffle", 256,
                             "--distinct-rounds", questions=options.questions)


def run(options):
    options.build.need(options.build.proxy, options.build.load)
    header("round", "affinity", "questions/s", "p50 ms", "p99 ms", "prefix hits", "on / off")
    for number in range(1, options.rounds + 1):
        on, off = ask(options, True), ask(options, False)
        for name, result, ratio in (("on", on, f"{on['per_second'] / off['per_second']:.2f}"), ("off", off, "")):
            row(number, name, f"{result['per_second']:.1f}", f"{1e3 * result['p50_seconds']:.0f}",
                f"{1e3 * result['p99_seconds']:.0f}", f"{100 * result['prefix_hits']:.0f} %", ratio)
