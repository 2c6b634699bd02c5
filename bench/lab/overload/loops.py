"""Clients of a cell: those that ask again at once, and those that come at a fixed rate."""
import asyncio
import itertools
import json
import time

from tests.support.failing_engine import MODEL


class Window:
    """Counts the good answers that come in `seconds`, once `settle` seconds are over."""

    def __init__(self, settle, seconds):
        self.start = time.monotonic()
        self.opens = self.start + settle
        self.closes = self.opens + seconds
        self._good = 0

    def note(self, status):
        self._good += status == 200 and self.opens <= time.monotonic() < self.closes

    def per_second(self):
        return self._good / (self.closes - self.opens)


async def ask(port, prompt, patience):
    """The status; 0 when the client gave up or was cut off."""
    async def exchange():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            body = json.dumps({"model": MODEL, "prompt": f"{prompt} {time.monotonic_ns()}", "max_tokens": 1})
            writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                         b"content-length: %d\r\n\r\n%s" % (len(body), body.encode()))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            return int(head.split()[1])
        finally:
            writer.close()
    try:
        return await asyncio.wait_for(exchange(), patience)
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, OSError):
        return 0


async def end(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def closed_loop(port, workers, settle, seconds, patience, prompt="x", pause=0.0):
    """Good answers per second. Each worker asks again after the pause; 0.2 s after a bad answer, if that is more."""
    window = Window(settle, seconds)

    async def work():
        while time.monotonic() < window.closes:
            status = await ask(port, prompt, patience)
            window.note(status)
            if rest := pause if status == 200 else max(pause, 0.2):
                await asyncio.sleep(rest)

    tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
    await asyncio.sleep(settle + seconds + 0.1)
    await end(tasks)
    return window.per_second()


async def open_loop(port, rate, settle, seconds, patience):
    """Good answers per second, with `rate` requests a second whatever becomes of them."""
    window, tasks = Window(settle, seconds), set()

    async def one():
        window.note(await ask(port, "x", patience))

    for number in itertools.count():
        at = window.start + number / rate
        if at > window.closes:
            break
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        task = asyncio.ensure_future(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await end(list(tasks))
    return window.per_second()
