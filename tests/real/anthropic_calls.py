"""Calls of the anthropic package, and what came of them in a form that can be compared."""
import anthropic
import httpx2

from .outcomes import told

MESSAGES = [{"role": "user", "content": "Which Å? (A) \u201cone\u201d (B) \U0001f600\nAnswer:"}]
# The package lets a stream that breaks end with its HTTP library's own exception.
ERRORS = (anthropic.AnthropicError, httpx2.HTTPError)


def outcome(url, ask, **options):
    """The result of ask(client) or its exception, and how many requests the package made for it."""
    sent = []
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [sent.append]})
    with anthropic.Anthropic(**{"base_url": url, "api_key": "any", "http_client": http, **options}) as client:
        return told(lambda: ask(client), ERRORS, sent)


def both(pair, call, **options):
    """The outcomes of call(client, model): asked directly, and through batchproxy."""
    return tuple(outcome(url, lambda client: call(client, pair.model), **options)
                 for url in (pair.direct, pair.proxied))


def message(**fields):
    """A call of /v1/messages, to be made later with a client and a model."""
    return lambda client, model: client.messages.create(
        **{"model": model, "messages": MESSAGES, "max_tokens": 8, "extra_body": {"temperature": 0}, **fields})


def count(**fields):
    return lambda client, model: client.messages.count_tokens(**{"model": model, "messages": MESSAGES, **fields})


def streamed(call):
    """Every event of a streamed call."""
    return lambda client, model: list(call(client, model))
