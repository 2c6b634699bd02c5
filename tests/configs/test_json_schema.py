"""The schema of the configuration, as validators read it: it takes what `batchproxy check` takes, and refuses slips."""
import json
import re
import subprocess

import jsonschema
import pytest
import yaml

from tests.support.builds import PROXY, ROOT

SHIPPED = ROOT / "share" / "batchproxy" / "batchproxy.schema.json"
FILES = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "packaging" / "batchproxy.yaml"]
BROKEN = ROOT / "tests" / "configs" / "broken"


@pytest.fixture(scope="module")
def schema():
    made = json.loads(SHIPPED.read_text())
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


@pytest.fixture(scope="module")
def keys():
    """The name and the default of each key, from the program."""
    text = subprocess.run([PROXY, "keys"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return re.findall(r"^\| `(\S+)` \| ([^|]+) \| (?:`(.*?)`)? \|", text, re.M)


def file_with(name, value):
    """A configuration in which that key, as `batchproxy keys` names it, has that value."""
    made = value
    name = name if name.startswith("batchproxy.") else "model." + name
    for part in reversed(name.split(".")):
        made = {part.removesuffix("[]"): [made] if part.endswith("[]") else made}
    if ".backends[]." in name and not name.endswith(".url"):
        made["batchproxy"]["backends"][0]["url"] = "http://node1:8000"
    return made


def test_the_program_prints_what_is_shipped():
    printed = subprocess.run([PROXY, "keys", "--json-schema"], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert printed == SHIPPED.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_configuration_that_is_shipped_is_valid(schema, path):
    schema.validate(yaml.safe_load(path.read_text()))


def test_each_key_takes_its_default(schema, keys):
    assert len(keys) > 80
    for name, kind, default in keys:
        if kind == "argument" or not default:
            continue
        schema.validate(file_with(name, yaml.safe_load(default)))


def test_a_misspelt_key_is_refused_wherever_the_section_is_ours(schema, keys):
    ours = [name for name, _, _ in keys if name.startswith("batchproxy.")]
    assert len(ours) > 60
    for name in ours:
        assert not schema.is_valid(file_with(name + "x", None)), name


def test_a_misspelt_section_is_refused(schema):
    assert not schema.is_valid({"batchproxy": {"luncher": {"servers": 4}}})
    assert schema.is_valid({"batchproxi": {"listen": 1}}), "the workers' file has keys of its own"


def test_values_of_a_wrong_kind_are_refused(schema, keys):
    for name, kind, default in keys:
        if kind in ("whole number", "number", "seconds", "true or false", "word"):
            assert not schema.is_valid(file_with(name, "no such thing")), name
            assert not schema.is_valid(file_with(name, [1])), name
        elif kind in ("text", "list of text", "list"):
            assert not schema.is_valid(file_with(name, {"a": 1})), name


@pytest.mark.parametrize("text, valid", [
    ("batchproxy: {listen: 8080}", True),
    ("batchproxy: {merge: off, log_level: 'off'}", True),
    ("batchproxy: {merge: on}", False),
    ("batchproxy: {affinity: yes, allow_unauthenticated: 'true'}", True),
    ("batchproxy: {io_threads: 257}", False),
    ("batchproxy: {io_threads: '4', max_queue: 32_768}", True),
    ("batchproxy: {launcher: {servers: auto, gpus: '4,5,6,7'}}", True),
    ("batchproxy: {launcher: {gpus: 0-7}}", True),
    ("batchproxy: {launcher: {servers: many}}", False),
    ("batchproxy: {launcher: {servers: [{count: 2, vllm_args: {tensor_parallel_size: 2}}]}}", True),
    ("batchproxy: {launcher: {servers: []}}", False),
    ("batchproxy: {backends: [http://node1:8000, {url: http://node2:8000, models: [m]}]}", True),
    ("batchproxy: {backends: [{models: [m]}]}", False),
    ("batchproxy: {launcher:}", True),
    ("batchproxy: 7", False),
    ("batch_size: 16\nrag: {retriever_config: {batch_size: whatever}}", True),
    ("batch_size: many", False),
    ("model: {generator_settings: {vllm_args: {max-num-seqs: 64}, port: 70000}}", False),
])
def test_it_takes_what_check_takes(schema, text, valid, tmp_path):
    assert schema.is_valid(yaml.safe_load(text)) == valid
    # Alone these say nothing of engines: only what check says of the keys themselves counts.
    (tmp_path / "c.yaml").write_text(text)
    said = subprocess.run([PROXY, "check", tmp_path / "c.yaml", "--backend", "http://node1:8000"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    refused = re.search(r"c\.yaml:\d+:\d+: error: .*(unknown key|expected|is missing)", said)
    assert (refused is None) == valid, said


def test_what_check_calls_an_unknown_key_or_value_is_refused(schema):
    seen = 0
    for path in sorted(BROKEN.glob("*.yaml")):
        expected = path.with_suffix(".expected").read_text()
        try:
            content = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if re.search(r"error: (unknown key '.*' in batchproxy|batchproxy\.(?!\S*vllm_args)\S+: expected)", expected):
            seen += 1
            assert not schema.is_valid(content), path.name
    assert seen > 8


def test_each_key_of_the_documentation_is_described(schema):
    rows = re.findall(r"^\| `(batchproxy\.\S+)` \|", (ROOT / "docs" / "CONFIGURATION.md").read_text(), re.M)
    for name in rows:
        part = schema.schema
        for word in name.split("."):
            part = part["properties"][word.removesuffix("[]")]
            if word == "backends[]":
                part = part["items"]["anyOf"][1]
            elif word == "servers[]":
                part = next(form["items"] for form in part["anyOf"] if "items" in form)
        assert part["description"]
