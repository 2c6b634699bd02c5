"""An engine that is not vLLM: it has the pages that it is given, answers every POST, and notes what it is asked."""
import http.server
import json
import threading

ANSWER = {"object": "list", "data": [], "choices": [{"text": "ok", "message": {"content": "ok"}}], "results": []}


def model_list(*names):
    return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


class ForeignServer:
    """`pages`: path -> (status, body); any other is 404. Without `key`, pages but the `open_pages` answer 401."""

    def __init__(self, pages, key=None, open_pages=(), refusal="{}"):
        self.pages, self.key, self.open_pages, self.refusal = dict(pages), key, open_pages, refusal
        self.asked, self.served = [], []  # paths of GET, paths of POST
        foreign = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, status, body):
                if foreign.key and self.path not in foreign.open_pages:
                    if self.headers["authorization"] != f"Bearer {foreign.key}":
                        status, body = 401, foreign.refusal
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_GET(self):
                foreign.asked.append(self.path)
                self.reply(*foreign.pages.get(self.path, (404, "not found")))

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                foreign.served.append(self.path)
                self.reply(200, json.dumps(ANSWER))

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
