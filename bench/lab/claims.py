"""The classic claims: what batching, tensor parallelism and both together bring over one request at a time.

All on simulated A100s, in real time: Llama-2-7B, each row on engines of its own with empty caches. "Individual" is one
worker before one engine on one GPU, without batching."""
from .engines import pairs
from .figures import header, row
from .load import QUESTIONS, ask_questions
from .options import positive

ALONE, MANY = {"enable_batching": False}, {}
# What, engines, GPUs of each, whether many ask at once, and what is claimed of it.
ROWS = [("individual", 1, 1, ALONE, "1x"), ("batching", 1, 1, MANY, "2-4x"), ("tensor parallel", 1, 8, ALONE, "6-8x"),
        ("combined", 1, 8, MANY, "12-20x"), ("combined, 4 x TP2", 4, 2, MANY, ""),
        ("combined, 8 x TP1", 8, 1, MANY, "")]
# What is asked, how often by a worker who is alone and by each of many, and the flags that say it.
WORK = [("multiple choice, several questions to a passage", 100, 24, QUESTIONS, ["--distinct-rounds"]),
        ("free text, 300 tokens asked and 150 answered", 12, 10, None,
         ["--synthetic", 1200, "--prompt-tokens", 300, "--output-tokens", 150, "--distinct-rounds"])]


def add_options(parser):
    parser.add_argument("--workers", type=positive(int), default=128, help="how many ask at once (%(default)s)")
    parser.add_argument("--time-scale", type=positive(float), default=1.0,
                        help="real seconds for each simulated one (%(default)s)")


def measure(options, work, engines, gpus, settings):
    _, alone, each, questions, flags = work
    workers, requests = (1, alone) if settings is ALONE else (options.workers, each * options.workers)
    launched = {"servers": engines, "sim_hardware": "a100", "sim_time_scale": options.time_scale}
    with pairs(options.build, vllm_args={"tensor_parallel_size": gpus}, launcher=launched, **settings) as proxy:
        return workers, ask_questions(options.build, proxy.url, workers, requests, "--warm-up", "10%", "--cool-down",
                                      "10%", *flags, questions=questions)


def run(options):
    options.build.need(options.build.proxy, options.build.load)
    for work in WORK:
        print(f"\n**Simulated A100: {work[0]}**\n")
        header("", "engines", "workers", "questions/s", "p50 ms", "measured", "claimed")
        first = None
        for name, engines, gpus, settings, claimed in ROWS:
            workers, told = measure(options, work, engines, gpus, settings)
            rate, p50 = told["per_second"] * options.time_scale, told["p50_seconds"] / options.time_scale
            first = first or rate
            row(name, f"{engines} x TP{gpus}", workers, f"{rate:.2f}", f"{1e3 * p50:.0f}", f"{rate / first:.1f}x",
                claimed)
