"""Rows 10 and 11: connections that drip or are dead."""
import threading

import pytest

from tests.support.wire import answer, reset_on_close

from .helpers import ask, assert_quiet, failures_told, figure, name_of


def test_row_10_answer_that_drips(serve, scripted):
    over = threading.Event()

    def drip(*_):
        whole = answer(b'{"choices":[{"text":"slow"}]}' + b" " * 1000)
        return [step for byte in whole for step in (bytes([byte]), lambda: over.wait(0.01))]

    dripping, healthy = scripted(drip), scripted(lambda *_: answer())
    proxy = serve([dripping, healthy], attempt_timeout=0.3)
    while not dripping.requests:
        response, body = ask(proxy, "p")
        assert response.status == 200 and body == {"choices": [{"text": "ok"}]}
    over.set()
    assert response.headers["x-batchproxy-attempts"] == "2"
    assert failures_told(proxy) == {(name_of(dripping), "timeout"): 1}
    assert figure(proxy, "batchproxy_requests_retried_total") == 1


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_row_11_kept_connection_closed_under_a_request(serve, scripted, how):
    def close(number, request, carried):
        if carried == 1:
            return answer()
        if how == "RST":
            reset_on_close(racy.carriers[number - 1])
        return None

    racy = scripted(close)
    proxy = serve([racy], io_threads=1)
    for _ in range(6):
        response, _ = ask(proxy, "p")
        assert response.status == 200 and response.headers["x-batchproxy-attempts"] == "1"
    assert figure(proxy, "batchproxy_stale_connections_total") == 5
    assert len(racy.requests) == 11
    assert figure(proxy, "batchproxy_requests_retried_total") == 0
    assert_quiet(proxy)
