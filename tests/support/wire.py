"""The bytes that engines say: HTTP answers, pieces of a stream, vLLM's errors and pages."""
import http
import json
import socket
import struct

MODELS = b'{"object":"list","data":[{"id":"m","object":"model"}]}'
# A vLLM that can tell the token counts of each prompt of a list.
OPENAPI = b'{"components": {"schemas": {"CompletionRequest": {"properties": {"return_token_ids": {}}}}}}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ERROR_TYPES = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}


def answer(body=b'{"choices":[{"text":"ok"}]}', status=b"200 OK", extra=b"", content_type=b"application/json"):
    return (b"HTTP/1.1 " + status + b"\r\ncontent-type: " + content_type + b"\r\n" + extra
            + b"content-length: %d\r\n\r\n" % len(body) + body)


def page(status, body, content_type=b"application/json"):
    """The same of a status number, and of a text or bytes."""
    line = f"{status} {http.HTTPStatus(status).phrase}".encode()
    return answer(body.encode() if isinstance(body, str) else body, line, content_type=content_type)


def vllm_error(status, message=None):
    return page(status, json.dumps({"error": {"message": message or f"the prompt says {status}", "param": None,
                                              "type": ERROR_TYPES.get(status, "InternalServerError"), "code": status}}))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def reset_on_close(client):
    """The next close() of this socket sends a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
