"""What an engine can do wrong, as tables: to the call of a prompt that carries a mark, or to every call for a while.

A mark is `@` and a name, `@500`. `!500` does the same before any work: at once, without a slot. A new fault is a row.
Each row is given the call of failing_engine.py, and answers, fails or holds it."""
import dataclasses
import os
import re

from .wire import page, vllm_error

DRIP_PAUSE = 0.25  # seconds between two bytes
DYING = 0.3  # seconds from an engine's death to its process's end
DEAD = vllm_error(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
GARBAGE = [
    b"\x00\x01\x02 this is no HTTP at all \xff\xfe\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 26\r\n\r\n<html>It works!</html>\r\n\r\n",
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{"id":"x","choices":[{"i',
]


def status(number):
    return lambda call: call.answer(number, vllm_error(number))


def garbage(call, kind):
    call.fail("garbage", GARBAGE[kind % len(GARBAGE)], False)


def crash(call):
    call.note("failed", "crash")
    os._exit(9)


def die(call):
    call.note("failed", "crash")
    call.engine.dead = True
    call.engine.loop.call_later(DYING, os._exit, 1)
    call.answer(500, DEAD)


# Instead of an answer. The first of them counts, should a call have several.
INSTEAD = {
    "crash": crash,  # the process ends at once
    "die": die,  # as vLLM's engine does: JSON 500 for all, /health says 503, and soon the process ends
    "hang": lambda call: None,  # no answer, ever
    "garbage": lambda call: garbage(call, int(call.texts[0][1], 16)),  # no HTTP, no JSON, or half of it
    "400": status(400),  # an error as vLLM words it
    "404": status(404),
    "500": status(500),
    "501": status(501),
    "empty": lambda call: call.answer(500, page(500, "")),  # without a word
    "close": lambda call: call.fail("close", b"", False),  # the connection ends, without an answer
}

# Another list of choices.
CHOICES = {
    "short": lambda choices: choices[:-1],  # one too few
    "extra": lambda choices: [*choices, {**choices[-1], "index": len(choices)}],  # one too many
    "dup": lambda choices: [*choices, choices[-1]],  # two with one index
    "reorder": lambda choices: choices[::-1],  # backwards, which is allowed
    "nan": lambda choices: [{**choices[0], "logprobs": float("nan")}, *choices[1:]],  # no JSON
}

# The right answer, but not as it should come. `number` is what follows the mark: `@rst:40`.
SENDING = {
    "rst": lambda call, data, number: call.fail(f"rst:{number}", data[:number], True),  # so many bytes, then a reset
    "cut": lambda call, data, number: call.fail("cut", data[:-len(data) // 4], False),  # too early an end
    "drip": lambda call, data, number: call.drip(data, DRIP_PAUSE),  # a byte at a time
}

SLOW = "slow"  # `@slow:1200`: a right answer, so many milliseconds later

# To every call, while the mode is in force.
MODES = {
    "none": None,
    "reset": lambda call: call.fail("reset", b"", True),
    "garbage": lambda call: garbage(call, call.number),
    "500": status(500),
    "busy": lambda call: call.answer(503, vllm_error(503, "the queue is full")),  # it asks for nothing
    "stall": None,  # no answer while probes are answered; whoever still waits when it is over is answered then
    "hang": None,  # neither
}
HOLDING = ("stall", "hang")

_NAMES = "|".join(re.escape(name) for name in (*INSTEAD, *CHOICES, "cut", "drip"))
_MARK = re.compile(rf"([@!])(?:({_NAMES})|(rst|{SLOW}):(\d+))")


@dataclasses.dataclass(frozen=True)
class Mark:
    name: str
    number: int = 0
    at_once: bool = False


def mark_of(prompt):
    """The first mark of a prompt, or None."""
    if found := _MARK.search(prompt):
        return Mark(found[2] or found[3], int(found[4] or 0), found[1] == "!")
    return None


def instead_of_an_answer(marks):
    names = {mark.name for mark in marks}
    return next((act for name, act in INSTEAD.items() if name in names), None)


def choices_as_told(marks, choices):
    names = {mark.name for mark in marks}
    for name, change in CHOICES.items():
        if name in names:
            choices = change(choices)
    return choices
