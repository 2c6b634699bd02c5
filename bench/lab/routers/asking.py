"""Workers that ask one question after the other, check every answer, and ask nothing twice."""
import asyncio
import hashlib
import json
import time
from typing import NamedTuple

from tests.support.asking import MODEL

PATH = b"/v1/completions"
MAX_TOKENS = 8
RESTED = 3  # seconds: an engine closes what rests for five, and good clients do not use such a connection again
RIGHT, WRONG, TIMEOUT, GARBAGE = "right", "wrong", "timeout", "garbage"  # the last three in batchproxy-bench's words


class Outcome(NamedTuple):
    """What became of a question: RIGHT, or the error that the client saw; seconds since the job began."""
    kind: str
    begun: float
    took: float


class Lost(Exception):
    """No answer came; the text says how, in the words of batchproxy-bench."""


class Connection:
    """HTTP/1.1 on loopback, a request at a time; made anew where it has rested or is closed."""

    def __init__(self, port):
        self._port, self._reader, self._writer, self._used = port, None, None, 0

    async def post(self, body):
        """The status and the answer's body."""
        if self._writer is None or self._reader.at_eof() or time.monotonic() - self._used > RESTED:
            await self._connect()
        try:
            self._writer.write(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (PATH, len(body), body))
            status, fields = await self._read_head()
            data = await self._read_body(fields)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost("cut" if isinstance(error, asyncio.IncompleteReadError) else "reset") from None
        except (asyncio.LimitOverrunError, ValueError, IndexError):
            self.close()
            raise Lost(GARBAGE) from None
        self._used = time.monotonic()
        if fields.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, data

    async def _connect(self):
        self.close()
        try:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            raise Lost("refused") from None

    async def _read_head(self):
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = (line.partition(b":") for line in lines if line)
        return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in fields}

    async def _read_body(self, fields):
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            chunks = []
            while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                chunks.append((await self._reader.readexactly(size + 2))[:-2])
            await self._reader.readuntil(b"\r\n")
            return b"".join(chunks)
        if b"content-length" in fields:
            return await self._reader.readexactly(int(fields[b"content-length"]))
        return await self._reader.read()  # until the server closes

    def close(self):
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def judge(prompt, status, data):
    """The kind of an outcome."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if status != 200:
        error = answer.get("error", answer) if isinstance(answer, dict) else None
        code = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
        return f"{status} {code}" if code and str(code) != str(status) else str(status)
    try:
        text = answer["choices"][0]["text"].strip()
    except (AttributeError, IndexError, KeyError, TypeError):
        return GARBAGE
    return RIGHT if text and hashlib.sha256(prompt.encode()).hexdigest().startswith(text) else WRONG


class Job:
    """All prompts, asked by workers at `ports` in turn (one, or those of the engines themselves)."""

    def __init__(self, ports, prompts, workers, patience):
        self._ports, self._prompts, self._workers, self._patience = ports, prompts, workers, patience
        self._left = iter(range(len(prompts)))
        self._marks = {}  # number of outcomes -> asyncio.Event
        self.outcomes = []
        self.ended = asyncio.Event()

    async def run(self):
        """The seconds that it took."""
        self._begun = time.monotonic()
        await asyncio.gather(*(self._work() for _ in range(self._workers)))
        self.ended.set()
        for mark in self._marks.values():
            mark.set()
        return time.monotonic() - self._begun

    async def reached(self, share):
        """Waits until so much of it is over."""
        await self._marks.setdefault(max(1, int(share * len(self._prompts))), asyncio.Event()).wait()

    async def _work(self):
        connections = [Connection(port) for port in self._ports]
        for number in self._left:  # which all workers share
            prompt, connection = self._prompts[number], connections[number % len(connections)]
            begun = time.monotonic()
            kind = await self._ask(connection, prompt)
            self.outcomes.append(Outcome(kind, begun - self._begun, time.monotonic() - begun))
            if mark := self._marks.get(len(self.outcomes)):
                mark.set()
        for connection in connections:
            connection.close()

    async def _ask(self, connection, prompt):
        body = json.dumps({"model": MODEL, "prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0})
        try:
            async with asyncio.timeout(self._patience):
                return judge(prompt, *await connection.post(body.encode()))
        except Lost as lost:
            return str(lost)
        except TimeoutError:
            connection.close()
            return TIMEOUT
