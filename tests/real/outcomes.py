"""What came of a call of OpenAI's or Anthropic's package, in a form that can be compared."""
import pydantic

# What an engine makes up for every answer anew.
VOLATILE = {"id", "item_id", "created", "created_at", "completed_at", "timings"}


def plain(value):
    """Results of the packages as dicts and lists, without what differs from call to call."""
    if isinstance(value, pydantic.BaseModel):
        value = value.model_dump(warnings=False)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def text_of(event):
    """(which, text) of each part of a text in an event of any of the APIs."""
    for choice in event.get("choices") or []:
        yield choice["index"], choice.get("text") or (choice.get("delta") or {}).get("content") or ""
    delta = event.get("delta")
    if isinstance(delta, str):
        yield 0, delta
    elif isinstance(delta, dict) and "text" in delta:
        yield event["index"], delta["text"]


def joined(events):
    """A stream without what depends on the moment: vLLM puts tokens that it has at once into one event."""
    events = plain(list(events))
    texts, ends, kinds = {}, {}, []
    for event in events:
        for index, text in text_of(event):
            texts[index] = texts.get(index, "") + text
        ends |= {choice["index"]: choice["finish_reason"] for choice in event.get("choices") or []
                 if choice["finish_reason"]}
        if event.get("type") not in kinds:
            kinds.append(event.get("type"))
    return {"texts": texts, "ends": ends, "kinds": kinds, "usage": [event.get("usage") for event in events][-1]}


def described(error):
    """What a program sees of an exception."""
    fields = ["status_code", "body", "code", "param", "type"]
    return {"class": type(error).__name__, "text": str(error),
            **{field: getattr(error, field, None) for field in fields}}


def told(ask, errors, sent):
    """The result of ask() or its exception, if it is one of `errors`; `sent` holds the requests that were made."""
    try:
        return {"result": plain(ask()), "error": None, "requests": len(sent)}
    except errors as error:
        return {"result": None, "error": described(error), "requests": len(sent)}
