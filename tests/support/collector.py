"""A small OpenTelemetry collector inside of the test: takes OTLP over HTTP as JSON, or does what the test tells it to."""
import http.server
import json
import ssl
import threading


class Collector:
    """`answers`: what the next requests are answered, (status, fields) each, or a callable that is called and returns one;
    then 200. `requests`: (path, fields, body) of all; `spans()`: of those that were taken. `tls`: a certificate and its key.
    One that does not listen yet has its port, where connections are refused until listen()."""

    def __init__(self, tls=None, listens=True, answers=()):
        self.requests, self.answers, self._taken = [], list(answers), []
        self._lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, fields, text = collector._answer(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in {"content-type": "application/json", "content-length": str(len(text)), **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that left

        self.server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server.server_bind()
        self.port = self.server.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._runs = False
        if listens:
            self.listen()

    def listen(self):
        self.server.server_activate()
        self._runs = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _answer(self, path, fields, body):
        with self._lock:
            self.requests.append((path, {name.lower(): value for name, value in fields.items()}, body))
            answer = self.answers.pop(0) if self.answers else (200, {})
        status, more = answer() if callable(answer) else answer
        text = more.pop("body", "{}").encode()
        if status == 200:
            with self._lock:
                self._taken.append(json.loads(body))
        return status, more, text

    def spans(self):
        with self._lock:
            bodies = list(self._taken)
        return [span for body in bodies for resource in body["resourceSpans"] for scope in resource["scopeSpans"]
                for span in scope["spans"]]

    def resources(self):
        with self._lock:
            return [attributes(resource["resource"]) for body in self._taken for resource in body["resourceSpans"]]

    def close(self):
        if self._runs:
            self.server.shutdown()
        self.server.server_close()


def attributes(of):
    """{name: value} of a span or a resource."""
    def value(one):
        (kind, found), = one["value"].items()
        return int(found) if kind == "intValue" else found
    return {one["key"]: value(one) for one in of["attributes"]}
