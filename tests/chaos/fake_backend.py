"""A fast fake vLLM server whose answers tell a misrouted one, and which fails on command.

    python -m tests.chaos.fake_backend --port 0 --journal FILE [--latency 0.02] [--slots 64]

A completion's text is sha256(prompt)[:16]. A prompt that holds one of these marks fails, alone or
with whatever shares its call:

    @500 @400        that status, with an error as vLLM words it
    @hang            no answer, ever
    @drip            one byte every quarter of a second
    @crash           the process ends at once
    @die             as vLLM's engine does: every request gets the JSON 500 that says so, /health
                     says 503, and the process ends a moment later
    @short @extra    one choice too few, too many
    @dup             two choices with one index
    @reorder         the choices backwards (which is allowed)
    @garbage         no HTTP, no JSON, or half of it
    @rst:N           N bytes of the answer, then a reset
    @cut             half of the answer, then the end of the connection
    @slow:MS         a right answer that takes so many milliseconds

POST /fault {"mode": MODE, "for": seconds} does it to every call. MODE: garbage, reset, 500; busy, a 503 that asks for
nothing; stall, no answer while the probes are answered; hang, neither; or none. Whoever still waits when a stall or a
hang is over is answered then.

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
import struct
import time

MODEL = "m"
DRIP_PAUSE = 0.25  # seconds between two bytes
DYING = 0.3  # seconds from an engine's death to its process's end
MARK = re.compile(r"@(500|400|hang|drip|crash|die|short|extra|dup|reorder|garbage|rst:\d+|cut|slow:\d+)")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.I)
OPENAPI = json.dumps({"components": {"schemas": {"CompletionRequest": {"properties": {"return_token_ids": {}}}}}})
MODELS = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 4096}]})
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error",
           503: "Service Unavailable"}
GARBAGE = [
    b"\x00\x01\x02 this is no HTTP at all \xff\xfe\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 26\r\n\r\n<html>It works!</html>\r\n\r\n",
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{"id":"x","choices":[{"i',
]


def text_of(prompt):
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def usage_of(prompt):
    """(prompt tokens, completion tokens): different from prompt to prompt, so that a mix-up shows."""
    return len(prompt.split()), 1 + int(text_of(prompt)[0], 16) % 4


def http(status, body, content_type="application/json"):
    body = body.encode() if isinstance(body, str) else body
    return (f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {content_type}\r\n"
            f"content-length: {len(body)}\r\n\r\n").encode() + body


def vllm_error(status, message=None):
    kind = {400: "BadRequestError", 503: "ServiceUnavailableError"}.get(status, "InternalServerError")
    return http(status, json.dumps({"error": {"message": message or f"the prompt says {status}", "type": kind,
                                              "param": None, "code": status}}))


DEAD = vllm_error(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Engine:
    """What all connections share: slots, the fault in force, the journal."""

    def __init__(self, latency, slots, journal):
        self.latency, self.slots = latency, slots
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
        if self.mode() not in ("hang", "stall"):
            held, self.held = self.held, []
            for resume in held:
                resume()

    def admit(self):
        while self.waiting and (self.running == 0 or self.running + self.waiting[0].size <= self.slots):
            call = self.waiting.popleft()
            self.running += call.size
            call.start()

    def metrics(self):
        waiting = sum(call.size for call in self.waiting)
        return (f'vllm:num_requests_running{{model_name="{MODEL}"}} {self.running}.0\n'
                f'vllm:num_requests_waiting{{model_name="{MODEL}"}} {waiting}.0\n'
                f'vllm:iteration_tokens_total_count{{model_name="{MODEL}"}} {self.steps}.0\n'
                f'vllm:num_preemptions_total{{model_name="{MODEL}"}} 0.0\n')


class Call:
    """One completion call, with one prompt or several."""

    def __init__(self, engine, connection, request_id, body, chat):
        self.engine, self.connection, self.body, self.chat = engine, connection, body, chat
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        self.prompts = prompt if isinstance(prompt, list) else [prompt]
        self.size = len(self.prompts)
        engine.calls += 1
        self.number = engine.calls
        self.timer, self.started, self.over = None, False, False
        self.texts = [text_of(p) for p in self.prompts]
        self.marks = [m[1] for m in map(MARK.search, self.prompts) if m]
        engine.note("received", self.number, request_id, ",".join(self.texts))

    def start(self):
        self.started = True
        seconds = self.engine.latency
        for mark in self.marks:
            if mark.startswith("slow:"):
                seconds += int(mark[5:]) / 1000
        self.later(seconds, self.finish)

    def later(self, seconds, what, *arguments):
        self.timer = self.engine.loop.call_later(seconds, what, *arguments)

    def leave(self):
        """The connection is gone, or the call done: free the slot."""
        if self.over:
            return
        self.over = True
        if self.timer:
            self.timer.cancel()
        if self.started:
            self.engine.running -= self.size
        else:
            self.engine.waiting.remove(self)
        self.engine.admit()

    def send(self, data):
        self.connection.transport.write(data)

    def done(self, status):
        self.leave()
        self.connection.call = None
        self.connection.next_request()

    def fail(self, how, data, reset):
        """`data`, then the end."""
        self.engine.note("failed", self.number, how)
        self.leave()
        self.connection.end(data, reset)

    # --- the answer -----------------------------------------------------------------------------

    def finish(self):
        mode = self.engine.mode()
        if self.engine.dead:
            return self.answer(500, DEAD)
        if mode in ("hang", "stall"):
            self.engine.held.append(lambda: self.over or self.finish())
            return
        if mode == "reset":
            return self.fail("reset", b"", True)
        if mode == "garbage":
            return self.fail("garbage", GARBAGE[self.number % len(GARBAGE)], False)
        if mode == "500":
            return self.answer(500, vllm_error(500))
        if mode == "busy":
            return self.answer(503, vllm_error(503, "the queue is full"))
        marks = [mark for mark in self.marks if not mark.startswith("slow:")]
        if "crash" in marks:
            self.engine.note("failed", self.number, "crash")
            os._exit(9)
        if "die" in marks:
            self.engine.note("failed", self.number, "crash")
            self.engine.dead = True
            self.engine.loop.call_later(DYING, os._exit, 1)
            return self.answer(500, DEAD)
        if "hang" in marks:
            return
        if "garbage" in marks:
            kind = int(self.texts[0][1], 16) % len(GARBAGE)
            return self.fail("garbage", GARBAGE[kind], False)
        for status in (400, 500):
            if str(status) in marks:
                return self.answer(status, vllm_error(status))
        if self.body.get("stream"):
            return self.stream(0, "cut" in marks)
        data = http(200, self.whole(marks))
        for mark in marks:
            if mark.startswith("rst:"):
                return self.fail(mark, data[:int(mark[4:])], True)
            if mark == "cut":
                return self.fail(mark, data[:-len(data) // 4], False)
            if mark == "drip":
                return self.drip(data)
        self.answer(200, data)

    def answer(self, status, data):
        self.engine.steps += 1
        self.engine.note("answered", self.number, status)
        self.send(data)
        self.done(status)

    def drip(self, data):
        self.send(data[:1])
        if len(data) > 1:
            self.later(DRIP_PAUSE, self.drip, data[1:])
        else:
            self.answer(200, b"")

    def whole(self, marks):
        ids = self.body.get("return_token_ids")
        choices, spent = [], [0, 0]
        for index, (prompt, text) in enumerate(zip(self.prompts, self.texts)):
            asked, given = usage_of(prompt)
            spent[0] += asked
            spent[1] += given
            choice = {"index": index, "logprobs": None, "finish_reason": "stop"}
            if self.chat:
                choice["message"] = {"role": "assistant", "content": text}
            else:
                choice.update(text=text, token_ids=[7] * given if ids else None,
                              prompt_token_ids=[8] * asked if ids else None)
            choices.append(choice)
        if "short" in marks:
            choices.pop()
        if "extra" in marks:
            choices.append({**choices[-1], "index": len(choices)})
        if "dup" in marks:
            choices.append({**choices[-1]})
        if "reorder" in marks:
            choices.reverse()
        return json.dumps({"id": f"cmpl-{self.number}", "created": 0, "model": MODEL,
                           "object": "chat.completion" if self.chat else "text_completion", "choices": choices,
                           "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1],
                                     "total_tokens": sum(spent)}})

    def stream(self, step, cut):
        """Four events of a quarter of the text each, then the end."""
        if self.engine.mode() in ("hang", "stall"):
            self.engine.held.append(lambda: self.over or self.stream(step, cut))
            return
        if step == 0:
            self.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                      b"transfer-encoding: chunked\r\n\r\n")
        if step == 2 and cut:
            return self.fail("cut", b"", False)
        if step == 4:
            self.engine.note("answered", self.number, 200)
            self.send(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return self.done(200)
        choices = []
        for index, text in enumerate(self.texts):
            piece = text[4 * step:4 * step + 4]
            choices.append({"index": index, "finish_reason": "stop" if step == 3 else None,
                            **({"delta": {"content": piece}} if self.chat else {"text": piece})})
        event = {"id": f"cmpl-{self.number}", "model": MODEL, "choices": choices}
        self.send(chunk(b"data: " + json.dumps(event).encode() + b"\n\n"))
        self.later(self.engine.latency / 4, self.stream, step + 1, cut)


class Connection(asyncio.Protocol):
    """One of the proxy's connections."""

    def __init__(self, engine):
        self.engine, self.buffer, self.call, self.transport = engine, b"", None, None
        self.busy = False  # an answer is held back by a hang

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if self.call:
            self.engine.note("left", self.call.number)
            self.call.leave()
            self.call = None

    def data_received(self, data):
        self.buffer += data
        self.next_request()

    def end(self, data, reset):
        self.call = None
        if reset:
            # What was written must leave before the reset throws it away.
            self.transport.write(data)
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        else:
            self.transport.write(data)
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
            self.transport.write(http(200, "{}"))
        elif method == b"POST" and target in (b"/v1/completions", b"/v1/chat/completions"):
            found = REQUEST_ID.search(head)
            self.call = Call(self.engine, self, found[1].decode() if found else "-", json.loads(body),
                             target == b"/v1/chat/completions")
            self.engine.waiting.append(self.call)
            self.engine.admit()
        elif self.engine.mode() == "hang":
            self.busy = True
            self.engine.held.append(lambda: self.resume(head, body))
        else:
            self.transport.write(self.page(target))
            if b"connection: close" in head.lower():
                self.transport.close()

    def resume(self, head, body):
        self.busy = False
        if not self.transport.is_closing():
            self.handle(head, body)
            self.next_request()

    def page(self, target):
        if target == b"/health":
            return http(503 if self.engine.dead else 200, "", "text/plain")
        if target == b"/v1/models":
            return http(200, MODELS)
        if target == b"/openapi.json":
            return http(200, OPENAPI)
        if target == b"/metrics":
            return http(200, self.engine.metrics(), "text/plain; version=0.0.4")
        return http(404, '{"detail":"Not Found"}')


async def serve(arguments):
    engine = Engine(arguments.latency, arguments.slots, arguments.journal)
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
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
