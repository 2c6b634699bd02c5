"""A backend that does exactly what a test tells it, connection by connection."""
import re
import socket
import threading

MODELS = b'{"object":"list","data":[{"id":"m","object":"model"}]}'


def answer(body=b'{"choices":[{"text":"ok"}]}', status=b"200 OK", extra=b""):
    return (b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n" + extra
            + b"content-length: %d\r\n\r\n" % len(body) + body)


class ScriptedBackend:
    """Serves what the proxy asks of its own accord, and hands every other request to `script`.

    page(path) -> the body of GET /openapi.json or /metrics, or None for 404. `health` is the status line's end, or None to leave who asks without an answer.

    script(number, request, connection) -> bytes to send, or None to close without a word. `number`
    counts the requests from 1; `connection` is how many requests this connection has carried. Also
    a list of steps: bytes, each sent in a packet of its own; a callable, which is waited for; None,
    which closes. `carriers` says which connection each of `requests` came over."""

    def __init__(self, script, page=lambda path: None, address=("127.0.0.1", 0)):
        self.script, self.page = script, page
        self.models = MODELS  # what it says it serves
        self.requests, self.carriers = [], []
        self.health = b"200 OK"
        self._lock = threading.Lock()
        self._listener = socket.create_server(address)
        self.port = self._listener.getsockname()[1]
        self.url = "http://%s:%d" % self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

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
                if request.startswith(b"GET /health"):
                    if self.health is None:
                        continue
                    client.sendall(answer(b"", self.health))
                    continue
                if request.startswith(b"GET /v1/models"):
                    client.sendall(answer(self.models))
                    continue
                if request.startswith((b"GET /openapi.json", b"GET /metrics")):
                    found = self.page(request.split()[1].decode())
                    client.sendall(answer(b"", b"404 Not Found") if found is None else answer(found))
                    continue
                carried += 1
                with self._lock:
                    self.requests.append(request)
                    self.carriers.append(client)
                    number = len(self.requests)
                reply = self.script(number, request, carried)
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
