"""Single requests, and the figures of /metrics."""
import contextlib
import http.client
import json
import re

from .waiting import DEADLINE

MODEL = "meta-llama/Llama-2-7b-chat-hf"  # that simulated engines serve


def call(url, path, body=None, headers=None, method=None):
    """One request on a connection of its own: the response, and its body."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)
    with contextlib.closing(connection):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method or ("GET" if body is None else "POST"), path, data,
                           {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response, response.read()


def complete(url, prompt, **fields):
    """One completion: the response and its JSON."""
    body = {"model": MODEL, "prompt": prompt, "max_tokens": 4, **fields}
    response, text = call(url, "/v1/completions", body)
    return response, json.loads(text)


def metrics(url):
    """{name or name{labels}: value} of the /metrics of an admin port or an engine."""
    _, text = call(url, "/metrics")
    samples = {}
    for line in text.decode().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def labelled(samples, name):
    """{label value: sample} of a metric with one label."""
    found = ((re.fullmatch(re.escape(name) + r'\{\w+="([^"]*)"\}', key), value) for key, value in samples.items())
    return {match[1]: value for match, value in found if match}
