"""A client that trusts nothing: it reads answers byte for byte, and its requests tell whether they are right."""
import asyncio
import contextlib
import dataclasses
import errno
import json
import random
import socket
import struct

from tests.support.failing_engine import MODEL, text_of, usage_of


# --- connections ---------------------------------------------------------------------------------

class Lost(Exception):
    """The connection ended without a whole answer. `partial`: bytes of one had come.
    `refused`: nobody listened."""

    def __init__(self, how, partial=b"", refused=False):
        super().__init__(how)
        self.how, self.partial, self.refused = how, partial, refused


@dataclasses.dataclass
class Response:
    status: int
    headers: dict
    body: bytes
    cut: bool = False  # the end of the connection came before the end of the body
    extra: bytes = b""  # what came behind it

    @property
    def code(self):
        return self.headers.get("x-batchproxy-code")

    @property
    def last(self):
        return self.cut or self.headers.get("connection", "").lower() == "close"


def parse(data, eof):
    """A Response once `data` holds one, else None."""
    while True:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = data[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        rest = data[end + 4:]
        if status >= 200:
            break
        data = rest  # 1xx
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name in headers:
            raise ValueError(f"{name} stands twice")
        headers[name] = value.strip()
    if "content-length" in headers:
        size = int(headers["content-length"])
        if len(rest) >= size:
            return Response(status, headers, rest[:size], extra=rest[size:])
        return Response(status, headers, rest, cut=True) if eof else None
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            line_end = rest.find(b"\r\n")
            size = int(rest[:line_end].split(b";")[0], 16) if line_end >= 0 else None
            if size is None or len(rest) < line_end + 4 + size:
                return Response(status, headers, body, cut=True) if eof else None
            piece, rest = rest[line_end + 2:line_end + 2 + size], rest[line_end + 4 + size:]
            if size == 0:
                return Response(status, headers, body, extra=rest)
            body += piece
    return Response(status, headers, rest) if eof else None


class Wire(asyncio.Protocol):
    """One connection, one exchange at a time. `unasked` counts bytes that nobody had asked for."""

    def __init__(self):
        self.transport, self.data, self.waiter = None, b"", None
        self.closed, self.why, self.unasked = False, "", 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.waiter is None:
            self.unasked += len(data)
        else:
            self.data += data
            self.look(False)

    def eof_received(self):
        self.finish("EOF")

    def connection_lost(self, error):
        self.finish(type(error).__name__ if error else "EOF")

    def finish(self, why):
        if not self.closed:
            self.closed, self.why = True, why
            if self.waiter:
                self.look(True)

    def look(self, eof):
        if self.waiter.done():
            return
        try:
            response = parse(self.data, eof)
        except ValueError as error:
            self.waiter.set_exception(Lost(f"not HTTP: {error}", self.data))
            return
        if response:
            self.waiter.set_result(response)
        elif eof:
            self.waiter.set_exception(Lost(self.why, self.data))

    async def exchange(self, request):
        if self.closed:
            raise Lost(self.why)
        self.data, self.waiter = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        try:
            return await self.waiter
        finally:
            self.waiter = None

    def close(self, reset=False):
        if reset:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def connect(address):
    host, port = address.rsplit(":", 1)
    try:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, host, int(port))
    except OSError as error:
        name = errno.errorcode.get(error.errno, type(error).__name__)
        raise Lost(f"connect: {name}", refused=error.errno == errno.ECONNREFUSED) from None
    return wire


# --- requests that can tell right answers from wrong ones ----------------------------------------

# How often each mark is drawn. `cut` is the one that a stream may carry too.
MARKS = {"500": 4, "400": 6, "hang": 1, "drip": 1, "crash": 0.4, "die": 0.4, "short": 3, "extra": 3, "dup": 3, "reorder": 6,
         "garbage": 3, "rst": 3, "cut": 4}
# What a lone prompt with the mark may be answered with, besides what any request may (see judge()).
# A backend that gives a single call too few or too many choices is passed on, if it says so itself.
MARKED = {"500": {500}, "400": {400}, "hang": {504}, "drip": {504}, "crash": {502, 422},
          "die": {500, 422}, "short": {200, 502},
          "extra": {200, 502}, "dup": {200, 502}, "reorder": {200}, "garbage": {502}, "rst": {502}, "cut": {502},
          "slow": {200}}


@dataclasses.dataclass
class Request:
    id: str
    prompts: list
    chat: bool = False
    stream: bool = False
    mark: str = ""

    def bytes(self):
        body = {"model": MODEL, "max_tokens": 8}
        if self.chat:
            body["messages"] = [{"role": "user", "content": self.prompts[0]}]
        else:
            body["prompt"] = self.prompts if len(self.prompts) > 1 else self.prompts[0]
        if self.stream:
            body["stream"] = True
        text = json.dumps(body).encode()
        path = "/v1/chat/completions" if self.chat else "/v1/completions"
        return (f"POST {path} HTTP/1.1\r\nhost: proxy\r\ncontent-type: application/json\r\n"
                f"x-request-id: {self.id}\r\ncontent-length: {len(text)}\r\n\r\n").encode() + text


def make_request(seed, number, marked=0.0):
    """Request `number` of a run: the same whenever the seed is."""
    rng = random.Random(f"{seed}/{number}")
    words = " ".join(rng.choices("why does the sun set so late in june and not before".split(),
                                 k=rng.choice([3, 8, 30, 120])))
    kind = rng.choices(["plain", "list", "chat", "stream", "chat stream"], [70, 5, 10, 10, 5])[0]
    count = rng.randint(2, 6) if kind == "list" else 1
    prompts = [f"r{seed}-{number}.{i} {words}" for i in range(count)]
    mark = ""
    if count == 1 and rng.random() < marked:
        mark = "cut" if "stream" in kind else rng.choices(list(MARKS), list(MARKS.values()))[0]
        prompts[0] += f" @{mark}:{rng.choice([0, 1, 40, 150])}" if mark == "rst" else f" @{mark}"
    return Request(f"r{seed}-{number}", prompts, "chat" in kind, "stream" in kind, mark)


def texts_of(request, body):
    """The texts of a whole answer by index; ValueError if it is not one."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise ValueError("no choices")
    texts = {}
    for choice in answer["choices"]:
        if choice["index"] in texts:
            raise ValueError("an index stands twice")
        texts[choice["index"]] = choice["message"]["content"] if request.chat else choice["text"]
    return [texts[i] for i in range(len(texts))], answer.get("usage")


def read_events(request, body):
    """(text, whether [DONE] came, code of an error event or None) of an event stream."""
    text, done, code = "", False, None
    for event in body.decode().split("\n\n"):
        if not event.startswith("data: "):
            continue
        if event == "data: [DONE]":
            done = True
            continue
        data = json.loads(event[6:])
        if "error" in data:
            code = str(data["error"].get("code"))
        for choice in data.get("choices", []):
            text += (choice["delta"].get("content") or "") if request.chat else choice["text"]
    return text, done, code


# Codes of answers for which every attempt was used up, or may not be repeated.
SPENT = {"backend_lost", "backend_timeout", "bad_backend_response", "choice_count_mismatch", "poison_prompt"}
ATTEMPTS = 3
MOST_ATTEMPTS = ATTEMPTS + 2  # one alone after as many losses; the last may stand still, and another is asked as well
SPENT_ATTEMPTS = {str(count) for count in range(ATTEMPTS, MOST_ATTEMPTS + 1)}
HARMLESS = {"right", "spent", "marked", "stream lost"}  # verdicts


def judge(request, response):
    """(verdict, details). Verdicts: "right", "spent" (all attempts used up), "marked" (an error as its
    mark calls for), "stream lost" (told in the stream), and the violations: "misrouted", "invented",
    "cut", "wrong status", "wrong headers", "wrong usage", "extra bytes"."""
    headers = response.headers
    seen = f"{response.status} {response.code or ''} attempts={headers.get('x-batchproxy-attempts')}"
    if response.extra:
        return "extra bytes", repr(response.extra[:80])
    if headers.get("x-request-id") != request.id:
        return "wrong headers", f"{seen} x-request-id={headers.get('x-request-id')!r}"
    if response.status == 200:
        verdict, details = judge_success(request, response)
        attempts = headers.get("x-batchproxy-attempts", "")
        if verdict in ("right", "marked") and (not attempts.isdigit() or not 1 <= int(attempts) <= MOST_ATTEMPTS):
            return "wrong headers", f"attempts={attempts or 'none'}{' of a stream' if request.stream else ''}"
        return verdict, details
    if response.cut:
        return "cut", seen
    try:
        error = json.loads(response.body)["error"]
    except (ValueError, KeyError, TypeError):
        return "invented", f"{seen}: not an error object: {response.body[:80]!r}"
    if response.code and error.get("code") != response.code:
        return "wrong headers", f"{seen}, but the body says {error.get('code')}"
    if response.status in MARKED.get(request.mark, ()):
        return "marked", seen
    if response.code in SPENT or headers.get("x-batchproxy-attempts") in SPENT_ATTEMPTS:
        return "spent", seen
    return "wrong status", f"{seen} {error.get('message')!r}"


def judge_success(request, response):
    expected = [text_of(prompt) for prompt in request.prompts]
    if request.stream:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            return "invented", f"200 with {response.body[:120]!r} for a stream"
        try:
            text, done, code = read_events(request, response.body)
        except (ValueError, KeyError, TypeError):
            return "invented", repr(response.body[:120])
        if not expected[0].startswith(text):
            return "misrouted", f"{text!r} for {expected[0]!r}"
        if code is not None:
            return ("invented", "[DONE] behind an error") if done else ("stream lost", code)
        if response.cut or not done:
            return "cut", "a stream without [DONE] and without an error"
        return ("right", "") if text == expected[0] else ("invented", f"{text!r} and [DONE]")
    if response.cut:
        return "cut", "200"
    try:
        texts, usage = texts_of(request, response.body)
    except (ValueError, KeyError, TypeError):
        # The backend's own wrong list, passed on as it was.
        if request.mark == "dup" and response.body.count(expected[0].encode()) == 2:
            return "marked", "200"
        return "invented", f"200 with {response.body[:120]!r}"
    if request.mark in ("short", "extra") and texts in ([], expected * 2):
        return "marked", "200"
    if texts != expected:
        return "misrouted", f"{texts} for {expected}"
    sums = [sum(column) for column in zip(*map(usage_of, request.prompts))]
    if ("x-batchproxy-usage" not in response.headers
            and (usage["prompt_tokens"], usage["completion_tokens"]) != tuple(sums)):
        return "wrong usage", f"{usage} for {sums}"
    if request.mark not in ("", "reorder", "slow"):
        return "marked", "200"
    return "right", ""


def finish_of(response):
    """The class that the proxy should have counted the answer in."""
    if response.status < 400:
        return "ok"
    if response.status < 500:
        return "client_error"
    if response.code and response.status in (503, 504):
        return "shed" if response.status == 503 else "timeout"
    return "backend_error"
