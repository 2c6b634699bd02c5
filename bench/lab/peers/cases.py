"""What is compared: hops, requests, and how many there are of each."""
import json

PAIRS = "pairs"  # which are no rounds
PARTS = {PAIRS: "CPU per request beside HAProxy, with an interval", "load": "CPU per request",
         "latency": "added latency", "idle": "memory", "stream": "CPU per stream", "merge": "requests that share calls",
         "tls": "CPU per request and per handshake of TLS",
         "scale": "how the cost grows with connections, bodies and backends"}
TITLES = {"direct": "direct", "copy": "floor: bytes copied", "haproxy": "HAProxy", "nginx": "nginx",
          "batchproxy-plain": "batchproxy, `enable_batching: false`", "batchproxy-default": "batchproxy",
          "batchproxy-merged": "batchproxy, `merge: always`"}
HOPS = [name for name in TITLES if name != "direct"]
# The same with a certificate. Both are asked the same requests without one, too.
TLS_TITLES = {"haproxy": "HAProxy, plain", "haproxy-tls": "HAProxy, TLS", "batchproxy-plain": "batchproxy, plain",
              "batchproxy-tls": "batchproxy, TLS"}
PLAIN_HOPS = ["copy", "haproxy", "nginx", "batchproxy-plain"]
OURS = ["batchproxy-plain", "batchproxy-default"]
GROWN_BY_CONNECTIONS = ["copy", "haproxy", *OURS]
BACKENDS = [1, 4, 64]
RATES = [200, 2000]  # requests a second, to a hop and as many directly

WORDS = " ".join(f"word{i * i % 9973}" for i in range(120000))


class Body:
    """A request's path and body, `size` bytes long; `once`: each on a connection of its own."""

    def __init__(self, name, size, chat=True, once=False, **more):
        self.name, self.size, self.once = name, size, once
        self.path = "/v1/chat/completions" if chat else "/v1/completions"

        def make(text):
            content = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
            return json.dumps({"model": "stub", **content, "temperature": 0, **more}).encode()

        self.data = make(WORDS[:size - len(make(""))])
        assert len(self.data) == size


SHORT = Body("short", 281, max_tokens=16)
RAG = Body("rag", 5120, max_tokens=16)
COMPLETION = Body("completion", 5120, chat=False, max_tokens=1)
ONCE = Body("once", 281, once=True, max_tokens=16)
STREAM = Body("stream", 281, max_tokens=16, stream=True)
HUGE = Body("huge", 1_000_000, max_tokens=16)
SIZES = [SHORT, Body("6 kB", 6000, max_tokens=16), Body("100 kB", 100_000, max_tokens=16), HUGE]


class Counts:
    """Of connections; a client costs a hop a descriptor, and another for its connection to the engine."""

    def __init__(self, descriptors):
        many = min(10_000, descriptors // 2 - 200)
        self.idle = [1, 1000, many]
        self.load = [1, 64, 1000, many]
        self.most = many
