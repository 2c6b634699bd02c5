"""An engine inside of the test, which does exactly what the test tells it, byte by byte, on each connection."""
import json
import re
import socket
import threading

from .wire import MODELS, answer, page

ANY = "*"  # the path of a page for every path that has none of its own
HEALTH, LIST = "/health", "/v1/models"  # pages that it has unless `pages` has others


class ScriptedEngine:
    """Has the pages that it is given, and hands every other request to `script`.

    pages: path -> the body of GET path; or (status, body); or None, which is 404; or a function that returns one of
    these. Without any it has HEALTH, as `health` says (the end of a status line; None: no answer at all), LIST, as `models` says, and neither
    /openapi.json nor /metrics. With a `key`, whoever does not show it gets 401 and the `refusal`, except on open_pages.

    script(number, request, connection) -> bytes to send, or None to close without a word. `number`
    counts the requests from 1; `connection` is how many requests this connection has carried. Also
    a list of steps: bytes, each sent in a packet of its own; a callable, which is waited for; None,
    which closes. `carriers` says which connection each of `requests` came over; `asked` is the paths of its pages;
    `silent_to` is the connections that were given no answer about its health: closed once the asker has given up."""

    def __init__(self, script, pages=(), address=("127.0.0.1", 0), key=None, open_pages=(), refusal="{}"):
        self.script = script
        self.pages = {"/openapi.json": None, "/metrics": None, **dict(pages)}
        self.key, self.open_pages, self.refusal = key, open_pages, refusal
        self.models = MODELS  # what it says it serves
        self.requests, self.carriers, self.asked, self.silent_to = [], [], [], []
        self.health = b"200 OK"
        self._lock = threading.Lock()
        self._listener = socket.create_server(address)
        self.port = self._listener.getsockname()[1]
        self.url = "http://%s:%d" % self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def served(self):
        """The paths of `requests`."""
        return [path_of(request) for request in self.requests]

    def _page(self, path):
        """What GET `path` is answered; None: the script is to answer it."""
        if path not in self.pages and ANY not in self.pages:
            if path.startswith(HEALTH):
                return b"" if self.health is None else answer(b"", self.health)
            return answer(self.models) if path.startswith(LIST) else None
        found = self.pages.get(path, self.pages.get(ANY))
        if callable(found):
            found = found()
        if found is None:
            return answer(b"", b"404 Not Found")
        return page(*found) if isinstance(found, tuple) else answer(found)

    def _refused(self, request):
        """The answer to a request without the key, if it needs it."""
        if self.key is None or path_of(request) in self.open_pages:
            return None
        shown = re.search(rb"(?i)\r\nauthorization: *([^\r]+)", request.partition(b"\r\n\r\n")[0])
        return None if shown and shown[1] == f"Bearer {self.key}".encode() else page(401, self.refusal)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        carried = 0
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client:
            while request := self._read(client):
                if request.startswith(b"GET ") and (found := self._page(path_of(request))) is not None:
                    self.asked.append(path_of(request))
                    client.sendall(self._refused(request) or found)
                    if not found:
                        self.silent_to.append(client)
                    continue
                carried += 1
                with self._lock:
                    self.requests.append(request)
                    self.carriers.append(client)
                    number = len(self.requests)
                reply = self._refused(request) or self.script(number, request, carried)
                if isinstance(reply, list):
                    if not self._play(client, reply):
                        return
                    continue
                if reply is None:
                    return
                client.sendall(reply)
                if b"connection: close" in reply.lower():
                    return

    @staticmethod
    def _play(client, steps):
        """False when the connection is at its end."""
        for step in steps:
            if step is None:
                return False
            if callable(step):
                step()
                continue
            try:
                client.sendall(step)
            except OSError:  # the proxy has seen enough
                return False
        return True

    @staticmethod
    def _read(client):
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                more = client.recv(65536)
            except OSError:
                return b""
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        while found and len(body) < int(found[1]):
            more = client.recv(65536)
            if not more:
                return b""
            body += more
            data += more
        return data

    def close(self):
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            self._listener.close()


def path_of(request):
    return request.split(b" ", 2)[1].decode()


def model_list(*names):
    """The page of these names."""
    return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
