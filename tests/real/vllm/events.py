"""Streams in a form that can be compared: vLLM puts tokens that it has at once into one event."""


def text_of(choice):
    return choice.get("text") or (choice.get("delta") or {}).get("content") or ""


def without_pieces(events):
    """What a stream says in all, whatever it was cut into."""
    texts, ends, ids = {}, {}, {}
    for event in events:
        for choice in [] if event == "[DONE]" else event["choices"]:
            index = choice["index"]
            texts[index] = texts.get(index, "") + text_of(choice)
            ids[index] = ids.get(index, []) + (choice.get("token_ids") or [])
            if choice["finish_reason"]:
                ends[index] = choice["finish_reason"]
    usage = [event.get("usage") for event in events if event != "[DONE]"][-1]
    return {"texts": texts, "ends": ends, "ids": ids, "usage": usage, "done": events[-1]}
