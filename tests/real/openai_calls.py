"""Calls of the openai package, and what came of them in a form that can be compared."""
import openai

from .outcomes import plain, told

MESSAGES = [{"role": "system", "content": "Answer with a letter."},
            {"role": "user", "content": "Which Å? (A) \u201cone\u201d (B) \U0001f600\nAnswer:"}]


def outcome(url, ask, **options):
    """The result of ask(client) or its exception, and how many requests the package made for it."""
    sent = []
    http = openai.DefaultHttpx2Client(event_hooks={"request": [sent.append]})
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", http_client=http, **options) as client:
        return told(lambda: ask(client), openai.OpenAIError, sent)


def both(pair, call, **options):
    """The outcomes of call(client, model): asked directly, and through batchproxy."""
    return tuple(outcome(url, lambda client: call(client, pair.model), **options)
                 for url in (pair.direct, pair.proxied))


def complete(prompt="Which? (A) one (B) two\nAnswer:", **fields):
    """A call of /v1/completions, to be made later with a client and a model."""
    return lambda client, model: client.completions.create(
        **{"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **fields})


def chat(**fields):
    return lambda client, model: client.chat.completions.create(
        **{"model": model, "messages": MESSAGES, "max_tokens": 8, "temperature": 0, **fields})


def respond(**fields):
    """A call of /v1/responses."""
    return lambda client, model: client.responses.create(
        **{"model": model, "input": MESSAGES, "max_output_tokens": 8, "temperature": 0, **fields})


def streamed(call):
    """Every event of a streamed call."""
    return lambda client, model: list(call(client, model))
