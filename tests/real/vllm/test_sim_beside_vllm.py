"""The simulated engine beside a real vLLM: asked the same, both answer in the same shape, with the same status and words.

What stays different is `EXPLAINED`, which is also the table of docs/SIMULATOR.md."""
import concurrent.futures
import json
import os
import re
import signal

import pytest

from tests.support.asking import call
from tests.support.builds import ROOT
from tests.support.proxy import running_sim
from tests.support.waiting import wait_until

from . import calls
from .engines import MODEL

full = pytest.mark.full("vllm")
SIM = ["--served-model-name", MODEL, "--max-model-len", "8192"]
DOCUMENT = ROOT / "docs" / "SIMULATOR.md"

# What is different on purpose: where, and why. `where` is a call's name, or a path or a metric that only one has.
EXPLAINED = {
    "fields": {
        ".data[].simulated": "only the simulation has it: nobody shall take its models for real ones",
    },
    "calls": {
        "longer than the context": "vLLM counts characters first, by its tokenizer's longest token; the simulation's "
                                   "tokens have other lengths",
        "longer than the context, in a list": "the same",
        "`logprobs` is -1": "names the size of the vocabulary",
        "a bad regular expression": "the words behind `Grammar error:` are those of the library that reads it",
        "no JSON": "the place and the words are those of the library that reads it",
        "an image": "names the model",
        "no `input`": "vLLM complains of each of the forms that such a request could have",
    },
    "fields of the head": {
        "date": "the simulation does not tell the time",
        "server": "nor who has made it",
        "vary": "nor has it CORS",
    },
    "paths": {
        "the routes of other APIs: `/v1/responses`, `/v1/messages`, `/generative_scoring`, `/invocations` …":
            "not simulated: 404",
        "/classify": "the simulation's one model embeds and classifies",
        "/sim/fault": "only the simulation has it",
    },
    "metrics": {
        "all but those that batchproxy reads": "not simulated",
    },
    "the rest": {
        "answers": "made up; deterministic",
        "vocabulary": "every text of up to seven characters is a token",
        "start-up log": "the first line says that it is a simulation; the KV cache is a GPU's",
    },
}

# Their keys are tokens, and tokens are what the two differ in.
KEYED_BY_TOKENS = ("top_logprobs[]", "prompt_logprobs[]")
# Whether an answer has one depends on what it says.
DEPENDS = ("stop_reason", "finish_reason")
KINDS = {bool: "bool", int: "number", float: "number", str: "text", type(None): "null"}


def paths(value, at=""):
    """The shape of a JSON value: every path in it, with the kind of what is there."""
    if isinstance(value, dict):
        found = set()
        for key, item in value.items():
            place = f"{at}.{'*' if at.endswith(KEYED_BY_TOKENS) else key}"
            found |= {f"{place}: any"} if key in DEPENDS else paths(item, place)
        return found
    if isinstance(value, list):
        return {one for item in value for one in paths(item, at + "[]")}
    return {f"{at}: {KINDS[type(value)]}"}


def explained(path):
    return path.partition(":")[0] in EXPLAINED["fields"]


def without_ids(answer):
    """An error's JSON, but for the time that some have."""
    status, kind, body = answer
    return status, kind, calls.steady(body)


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    with running_sim(tmp_path_factory.mktemp("sim"), *SIM, "--sim-time-scale", "0.001") as engine:
        yield engine


@pytest.fixture(scope="module")
def embedding_sim(tmp_path_factory):
    with running_sim(tmp_path_factory.mktemp("embedder"), *SIM, "--runner", "pooling") as engine:
        yield engine


@pytest.fixture(scope="module")
def real(vllm_engines):
    return vllm_engines[0]


def both(real, sim, one):
    return one.ask(real.url, MODEL), one.ask(sim.url, MODEL)


def names(table):
    return [pytest.param(one, id=f"{one.path} {one.name}", marks=full) for one in table]


@pytest.mark.parametrize("one", names(calls.ANSWERED))
def test_answers_have_the_same_shape(real, sim, one):
    assert_the_same_shape(real, sim, one)


@pytest.mark.parametrize("one", names(calls.POOLED))
def test_so_have_those_of_a_model_that_embeds(vllm_embedder, embedding_sim, one):
    assert_the_same_shape(vllm_embedder, embedding_sim, one)


def assert_the_same_shape(real, sim, one):
    (status, kind, theirs), (my_status, my_kind, mine) = both(real, sim, one)
    assert (my_status, my_kind) == (status, kind) and status == 200, mine
    if kind == "":
        assert mine == theirs
        return
    theirs, mine = paths(theirs), {path for path in paths(mine) if not explained(path)}
    assert {"only real": sorted(theirs - mine), "only simulated": sorted(mine - theirs)} == \
        {"only real": [], "only simulated": []}


@pytest.mark.parametrize("one", names([*calls.REFUSED, *calls.UNREADABLE, *calls.UNKNOWN_MODEL, *calls.UNKNOWN_ROUTE,
                                       *calls.OF_A_GENERATOR, calls.SLASH]))
def test_refusals_are_the_same(real, sim, one):
    assert_the_same_refusal(real, sim, one)


@pytest.mark.parametrize("one", names([*calls.POOLED_REFUSED, *calls.OF_AN_EMBEDDER]))
def test_so_are_those_of_a_model_that_embeds(vllm_embedder, embedding_sim, one):
    assert_the_same_refusal(vllm_embedder, embedding_sim, one)


def assert_the_same_refusal(real, sim, one):
    theirs, mine = both(real, sim, one)
    assert mine[:2] == theirs[:2], mine
    if one.name not in EXPLAINED["calls"]:
        assert without_ids(mine) == without_ids(theirs)


@full
def test_heads_have_the_same_fields(real, sim):
    for path in ("/v1/models", "/health", "/nothing", "/v1/models/"):
        theirs, mine = ({name.lower() for name, _ in call(url, path)[0].getheaders()} for url in (real.url, sim.url))
        assert theirs - mine == set(EXPLAINED["fields of the head"]) and mine <= theirs | {"connection"}, path


@full
def test_the_page_of_abilities_tells_of_nothing_that_vllm_has_not(real, sim):
    theirs, mine = (json.loads(call(engine.url, "/openapi.json")[1]) for engine in (real, sim))
    assert set(mine["paths"]) - set(theirs["paths"]) == {"/sim/fault"}
    for title, schema in mine["components"]["schemas"].items():
        assert set(schema["properties"]) <= set(theirs["components"]["schemas"][title]["properties"]), title


def families(url):
    """{metric: (its type, the names of its labels)} of vLLM's own metrics."""
    page = call(url, "/metrics")[1].decode()
    kinds = dict(re.findall(r"(?m)^# TYPE (vllm:\S+) (\w+)$", page))
    labels = {}
    for name, given in re.findall(r"(?m)^(vllm:\w+)\{(.*)\} ", page):
        labels[name] = labels.get(name, set()) | set(re.findall(r'(\w+)="', given))
    return kinds, labels, page


@full
def test_the_metrics_that_are_simulated_are_vllms(real, sim):
    (kinds, labels, page), (my_kinds, my_labels, my_page) = families(real.url), families(sim.url)
    assert my_kinds.items() <= kinds.items()
    config = "vllm:cache_config_info"
    assert {name: one for name, one in my_labels.items() if name != config}.items() <= labels.items()
    assert my_labels[config] <= labels[config]
    # In vLLM's order, too: what stands before a label may look like it.
    order = [re.findall(r'(\w+)="', re.search(config + r"\{(.*)\}", one)[1]) for one in (page, my_page)]
    assert order[1] == [name for name in order[0] if name in my_labels[config]]


STARTS = [r"version [\d.]+",
          r"\(APIServer pid=\d+\) INFO \S+ \S+ \[api_utils.py:\d+\] non-default args: \{",
          r"Using max model len 8192",
          r"\(EngineCore pid=\d+\) INFO \S+ \S+ \[core.py:\d+\] Initializing a V1 LLM engine \(v[^)]+\) with config: "
          r"model='",
          r"Starting to load model \S+\.\.\.", r"Loading safetensors checkpoint shards: +0% Completed \| 0/\d",
          r"[CG]PU KV cache size: [\d,]+ tokens, Maximum concurrency for 8,192 tokens per request: [\d.]+x",
          r"init engine \(profile, create kv cache, warmup model\) took [\d.]+ s",
          r"Starting vLLM server on http://127", r"Route: /v1/completions, Methods: POST",
          r"INFO: +Application startup complete\."]


@full
def test_the_lines_of_a_start_are_vllms(real, sim):
    for log in (real.log(), "\n".join(sim.lines)):
        at = 0
        for line in STARTS:  # in this order
            found = re.search(line, log[at:])
            assert found, (line, log)
            at += found.end()


@full
def test_both_die_with_the_same_words(vllm_template, tmp_path):
    asked = [calls.complete("whole", max_tokens=8000, ignore_eos=True),
             calls.complete("stream", max_tokens=8000, ignore_eos=True, stream=True)]

    def dying(url, running, kill):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(one.ask, url, MODEL) for one in asked]
            wait_until(lambda: running() == 2, "both to run")
            kill()
            (whole, stream) = [one.result() for one in waiting]
        return whole, stream[0], stream[2][-2:]

    with vllm_template.engine() as engine:
        theirs = dying(engine.url, lambda: engine.metric("vllm:num_requests_running"),
                       lambda: os.kill(engine.core(), signal.SIGKILL))
    with running_sim(tmp_path, *SIM, "--sim-time-scale", "1") as engine:
        mine = dying(engine.url, lambda: call(engine.url, "/metrics")[1].count(b'num_requests_running{engine="0",'
                                                                               b'model_name="tiny"} 2') * 2,
                     lambda: call(engine.url, "/sim/fault", {"mode": "die"}))
        engine.wait()
    assert mine == theirs


def test_the_document_lists_what_is_different():
    lines = []
    for title, entries in EXPLAINED.items():
        lines += [f"### {title[0].upper()}{title[1:]}", "", "| Where | Why |", "|---|---|"]
        lines += [f"| {where} | {why} |" for where, why in entries.items()]
        lines.append("")
    before, mark, _ = DOCUMENT.read_text().partition("## What stays different\n")
    text = before + mark + "\n" + "\n".join(lines)
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "UPDATE_GOLDEN=1 rewrites docs/SIMULATOR.md"
