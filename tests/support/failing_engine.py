"""A fast fake vLLM server whose answers tell a misrouted one, and which fails on command. A program of its own:

    python -m tests.support.failing_engine --port 0 --journal FILE [--latency 0.02] [--slots 64]

A completion's text is sha256(prompt)[:16]. A prompt that holds a mark fails, alone or with whatever shares its call;
POST /fault {"mode": MODE, "for": seconds} does it to every call. Marks and modes are the tables of faults.py.

The journal has one line per event, written before the answer is, so what a client has seen stands
in it: `TIME received CALL REQUEST-ID KEYS`, `TIME answered CALL STATUS`, `TIME failed CALL HOW`,
`TIME left CALL`. KEYS are the texts that the prompts will be answered with, with commas."""
import argparse
import asyncio
import collections
import hashlib
import json
import os
import re
import signal
import socket
import time

from .faults import DEAD, HOLDING, MODES, SENDING, SLOW, choices_as_told, instead_of_an_answer, mark_of
from .wire import OPENAPI, STREAM_HEAD, chunk, page, reset_on_close

MODEL = "m"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.I)
MODELS = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 4096}]})
TEXT = b"text/plain; version=0.0.4"


def text_of(prompt):
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def usage_of(prompt):
    """(prompt tokens, completion tokens): different from prompt to prompt, so that a mix-up shows."""
    return len(prompt.split()), 1 + int(text_of(prompt)[0], 16) % 4


class Engine:
    """What all connections share: slots, the mode in force, the journal."""

    def __init__(self, latency, slots, journal, without):
        self.latency, self.slots, self.without = latency, slots, without
        self.running, self.waiting = 0, collections.deque()
        self.calls = self.steps = 0
        self.fault, self.fault_until = "none", 0.0
        self.held = []  # what waits for the end of a hang
        self.dead = False  # its process will end
        self.journal_fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.loop = asyncio.get_running_loop()

    def note(self, *words):
        os.write(self.journal_fd, f"{time.time():.6f} {' '.join(map(str, words))}\n".encode())

    def set_fault(self, mode, seconds):
        self.fault, self.fault_until = mode, self.loop.time() + seconds
        self.loop.call_later(seconds + 0.001, self.end_hang)
        self.end_hang()

    def mode(self):
        return self.fault if self.loop.time() < self.fault_until else "none"

    def end_hang(self):
        if self.mode() not in HOLDING:
            held, self.held = self.held, []
            for resume in held:
                resume()

    def admit(self):
        while self.waiting and (self.running == 0 or self.running + self.waiting[0].size <= self.slots):
            call = self.waiting.popleft()
            self.running += call.size
            call.start()

    def page(self, path):
        pages = {"/health": lambda: page(503 if self.dead else 200, "", b"text/plain"),
                 "/v1/models": lambda: page(200, MODELS),
                 "/openapi.json": lambda: page(200, OPENAPI),
                 "/metrics": lambda: page(200, self.metrics(), TEXT)}
        if path in pages and path not in self.without:
            return pages[path]()
        return page(404, '{"detail":"Not Found"}')

    def metrics(self):
        waiting = sum(call.size for call in self.waiting)
        return (f'vllm:num_requests_running{{model_name="{MODEL}"}} {self.running}.0\n'
                f'vllm:num_requests_waiting{{model_name="{MODEL}"}} {waiting}.0\n'
                f'vllm:iteration_tokens_total_count{{model_name="{MODEL}"}} {self.steps}.0\n'
                f'vllm:num_preemptions_total{{model_name="{MODEL}"}} 0.0\n')


class Call:
    """One completion call, with one prompt or several. It waits for slots, works in them, and is answered."""

    def __init__(self, engine, connection, request_id, body, chat):
        self.engine, self.connection, self.body, self.chat = engine, connection, body, chat
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        self.prompts = prompt if isinstance(prompt, list) else [prompt]
        self.size = len(self.prompts)
        engine.calls += 1
        self.number = engine.calls
        self.timer, self.over = None, False
        self.waits = self.works = False
        self.texts = [text_of(p) for p in self.prompts]
        self.marks = [mark for mark in map(mark_of, self.prompts) if mark]
        self.note("received", request_id, ",".join(self.texts))

    def note(self, what, *words):
        self.engine.note(what, self.number, *words)

    def enter(self):
        if any(mark.at_once for mark in self.marks):
            return self.finish()
        self.waits = True
        self.engine.waiting.append(self)
        self.engine.admit()

    def start(self):
        self.waits, self.works = False, True
        slower = sum(mark.number for mark in self.marks if mark.name == SLOW) / 1000
        self.later(self.engine.latency + slower, self.finish)

    def later(self, seconds, what, *arguments):
        self.timer = self.engine.loop.call_later(seconds, what, *arguments)

    def leave(self):
        """The connection is gone, or the call done: free the slot."""
        if self.over:
            return
        self.over = True
        if self.timer:
            self.timer.cancel()
        if self.works:
            self.engine.running -= self.size
        elif self.waits:
            self.engine.waiting.remove(self)
        self.engine.admit()

    def send(self, data):
        self.connection.transport.write(data)

    def done(self):
        self.leave()
        self.connection.call = None
        self.connection.next_request()

    def fail(self, how, data, reset):
        """`data`, then the end."""
        self.note("failed", how)
        self.leave()
        self.connection.end(data, reset)

    # --- the answer -----------------------------------------------------------------------------

    def finish(self):
        mode = self.engine.mode()
        if self.engine.dead:
            return self.answer(500, DEAD)
        if mode in HOLDING:
            self.engine.held.append(lambda: self.over or self.finish())
            return
        if MODES[mode]:
            return MODES[mode](self)
        if act := instead_of_an_answer(self.marks):
            return act(self)
        if self.body.get("stream"):
            return self.stream(0)
        data = page(200, self.whole())
        for mark in self.marks:
            if mark.name in SENDING:
                return SENDING[mark.name](self, data, mark.number)
        self.answer(200, data)

    def answer(self, status, data):
        self.engine.steps += self.works
        self.note("answered", status)
        self.send(data)
        self.done()

    def drip(self, data, pause):
        self.send(data[:1])
        if len(data) > 1:
            self.later(pause, self.drip, data[1:], pause)
        else:
            self.answer(200, b"")

    def whole(self):
        usages = [usage_of(prompt) for prompt in self.prompts]
        choices = [self.choice(index, *usage) for index, usage in enumerate(usages)]
        asked, given = map(sum, zip(*usages)) if usages else (0, 0)
        return json.dumps({"id": f"cmpl-{self.number}", "created": 0, "model": MODEL,
                           "object": "chat.completion" if self.chat else "text_completion",
                           "choices": choices_as_told(self.marks, choices),
                           "usage": {"prompt_tokens": asked, "completion_tokens": given,
                                     "total_tokens": asked + given}})

    def choice(self, index, asked, given):
        choice = {"index": index, "logprobs": None, "finish_reason": "stop"}
        if self.chat:
            return {**choice, "message": {"role": "assistant", "content": self.texts[index]}}
        ids = self.body.get("return_token_ids")
        return {**choice, "text": self.texts[index], "token_ids": [7] * given if ids else None,
                "prompt_token_ids": [8] * asked if ids else None}

    def stream(self, step):
        """Four events of a quarter of the text each, then the end."""
        if self.engine.mode() in HOLDING:
            self.engine.held.append(lambda: self.over or self.stream(step))
            return
        if step == 0:
            self.send(STREAM_HEAD)
        if step == 2 and any(mark.name == "cut" for mark in self.marks):
            return self.fail("cut", b"", False)
        if step == 4:
            self.note("answered", 200)
            self.send(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return self.done()
        choices = []
        for index, text in enumerate(self.texts):
            piece = text[4 * step:4 * step + 4]
            choices.append({"index": index, "finish_reason": "stop" if step == 3 else None,
                            **({"delta": {"content": piece}} if self.chat else {"text": piece})})
        event = {"id": f"cmpl-{self.number}", "model": MODEL, "choices": choices}
        self.send(chunk(b"data: " + json.dumps(event).encode() + b"\n\n"))
        self.later(self.engine.latency / 4, self.stream, step + 1)


class Connection(asyncio.Protocol):
    """One of the proxy's connections."""

    def __init__(self, engine):
        self.engine, self.buffer, self.call, self.transport = engine, b"", None, None
        self.busy = False  # an answer is held back by a hang

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if self.call:
            self.call.note("left")
            self.call.leave()
            self.call = None

    def data_received(self, data):
        self.buffer += data
        self.next_request()

    def end(self, data, reset):
        self.call = None
        # What was written must leave before a reset throws it away.
        self.transport.write(data)
        if reset:
            reset_on_close(self.transport.get_extra_info("socket"))
            self.transport.abort()
        else:
            self.transport.close()

    def next_request(self):
        while self.call is None and not self.busy and not self.transport.is_closing():
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = CONTENT_LENGTH.search(self.buffer, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            head, body, self.buffer = self.buffer[:end + 2], self.buffer[end + 4:size], self.buffer[size:]
            self.handle(head, body)

    def handle(self, head, body):
        method, target, _ = head.split(b" ", 2)
        if target == b"/fault":
            asked = json.loads(body)
            self.engine.set_fault(asked["mode"], asked.get("for", 0))
            self.transport.write(page(200, "{}"))
        elif method == b"POST" and target in (b"/v1/completions", b"/v1/chat/completions"):
            found = REQUEST_ID.search(head)
            self.call = Call(self.engine, self, found[1].decode() if found else "-", json.loads(body),
                             target == b"/v1/chat/completions")
            self.call.enter()
        elif self.engine.mode() == "hang":
            self.busy = True
            self.engine.held.append(lambda: self.resume(head, body))
        else:
            self.transport.write(self.engine.page(target.decode()))
            if b"connection: close" in head.lower():
                self.transport.close()

    def resume(self, head, body):
        self.busy = False
        if not self.transport.is_closing():
            self.handle(head, body)
            self.next_request()


async def serve(arguments):
    engine = Engine(arguments.latency, arguments.slots, arguments.journal, arguments.without)
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", arguments.port))
    await loop.create_server(lambda: Connection(engine), sock=listener, backlog=1024)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", default="/dev/null")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds per call")
    parser.add_argument("--slots", type=int, default=64, help="prompts at once; more wait")
    parser.add_argument("--without", action="append", default=[], metavar="PATH", help="a page that it has not")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
