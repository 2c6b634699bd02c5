"""Calls of the openai package, and what came of them in a form that can be compared."""
import openai

# What an engine makes up for every answer anew.
VOLATILE = {"id", "created", "timings"}


def plain(value):
    """Results of the package as dicts and lists, without what differs from call to call."""
    if isinstance(value, openai.BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def described(error):
    """What a program sees of an exception."""
    fields = ["status_code", "body", "code", "param", "type"]
    return {"class": type(error).__name__, "text": str(error),
            **{field: getattr(error, field, None) for field in fields}}


def outcome(url, ask, **options):
    """The result of ask(client) or its exception, and how many requests the package made for it."""
    sent = []
    http = openai.DefaultHttpx2Client(event_hooks={"request": [sent.append]})
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", http_client=http, **options) as client:
        try:
            return {"result": plain(ask(client)), "error": None, "requests": len(sent)}
        except openai.OpenAIError as error:
            return {"result": None, "error": described(error), "requests": len(sent)}


def both(pair, call, **options):
    """The outcomes of call(client, model): asked directly, and through batchproxy."""
    return tuple(outcome(url, lambda client: call(client, pair.model), **options)
                 for url in (pair.direct, pair.proxied))


MESSAGES = [{"role": "system", "content": "Answer with a letter."},
            {"role": "user", "content": "Which Å? (A) \u201cone\u201d (B) \U0001f600\nAnswer:"}]


def complete(prompt="Which? (A) one (B) two\nAnswer:", **fields):
    """A call of /v1/completions, to be made later with a client and a model."""
    return lambda client, model: client.completions.create(
        **{"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **fields})


def chat(**fields):
    return lambda client, model: client.chat.completions.create(
        **{"model": model, "messages": MESSAGES, "max_tokens": 8, "temperature": 0, **fields})


def streamed(call):
    """Every event of a streamed call."""
    return lambda client, model: list(call(client, model))
