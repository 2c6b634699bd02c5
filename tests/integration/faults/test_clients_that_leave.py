"""Rows 12 to 14: clients that leave."""
import asyncio
import contextlib
import time

from tests.chaos import client as chaos_client
from tests.chaos.harness import open_files, resident_kib
from tests.support.builds import is_sanitized
from tests.support.failing_engine import text_of
from tests.support.waiting import DEADLINE, assert_never, wait_until
from tests.support.wire import reset_on_close

from .helpers import (
    Hanging, ask_all, assert_all_right, assert_quiet, connect, failures, figure, finished, logged, prompts_of, received,
    request_of)


def test_row_12_clients_leave_while_queued(serve, engines):
    [engine] = engines(1)
    proxy = serve([engine])
    engine.kill()
    logged(proxy, r"no backend is ready; requests wait for one for up to 110 s \(hold_timeout\)")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.sendall(request_of(f"left {number}"))
        wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 1000, "all to be queued")
        for client in clients[::2]:
            reset_on_close(client)
    wait_until(lambda: figure(proxy, "batchproxy_requests_queued") == 0, "all to be dropped")
    wait_until(lambda: finished(proxy, "client_gone") == 1000, "them to be counted")
    assert figure(proxy, "batchproxy_requests_received_total") == 1000
    assert figure(proxy, "batchproxy_prompts_queued") == 0
    engine.start()
    assert_all_right(ask_all(proxy, ["stayed"]), ["stayed"])
    assert received([engine]) == {text_of("stayed"): 1}
    logged(proxy, "a backend is ready again; [01] requests have waited for it")
    assert failures(proxy) == {}


def test_row_13_client_leaves_while_in_flight_alone(serve, scripted):
    hanging = Hanging(scripted)
    proxy = serve([hanging])
    for stream in (False, True):
        with connect(proxy) as client:
            client.sendall(request_of("p", stream=stream))
            wait_until(lambda: len(hanging.backend.requests) == 1 + stream, "it to be under way")
            assert len(hanging.closed) == stream
        wait_until(lambda: len(hanging.closed) == 1 + stream, "its engine to be told")
    wait_until(lambda: finished(proxy, "client_gone") == 2, "them to be counted")
    assert figure(proxy, "batchproxy_requests_retried_total") == 0
    assert_quiet(proxy)


def test_row_13_clients_leave_a_shared_call(serve, scripted):
    """The call goes on until the last of them has left."""
    hanging = Hanging(scripted)
    proxy = serve([hanging], merge="always", flush="fixed", batch_size=4, batch_timeout=30)
    clients = [connect(proxy) for _ in range(4)]
    for number, client in enumerate(clients):
        client.sendall(request_of(f"p{number}"))
    [request] = wait_until(lambda: hanging.backend.requests, "the call to leave")
    assert len(prompts_of(request)) == 4
    for client in clients[:3]:
        client.close()
    # Who has left is looked for four times a second.
    assert_never(lambda: hanging.closed, 0.8, "given up although one of them still waits")
    clients[3].close()
    wait_until(lambda: hanging.closed == [1], "the call to be given up")
    wait_until(lambda: finished(proxy, "client_gone") == 4, "all to be counted")
    assert len(hanging.backend.requests) == 1
    assert_quiet(proxy)


def test_row_14_disconnect_storm(serve, engines):
    [engine] = engines(1, latency=1.0, slots=4096)
    proxy = serve([engine], merge="off")
    pid = proxy.process.pid
    files, memory = open_files(pid), resident_kib(pid)

    async def one(prompt, leaving, times):
        wire = await chaos_client.connect(proxy.address)
        try:
            begin = time.monotonic()
            asked = asyncio.create_task(wire.exchange(request_of(prompt)))
            if leaving is not None:
                await leaving.wait()
                asked.cancel()
                return None
            response = await asked
            times.append(time.monotonic() - begin)
            return response
        finally:
            wire.close(reset=leaving is not None)

    async def storm(name, leavers):
        prompts, times, leave = [f"{name} {number}" for number in range(1000)], [], asyncio.Event()
        gone = [asyncio.create_task(one(f"{name} gone {number}", leave, times)) for number in range(leavers)]
        staying = [asyncio.create_task(one(prompt, None, times)) for prompt in prompts]
        await asyncio.to_thread(wait_until, lambda: figure(proxy, "batchproxy_requests_inflight") >= leavers,
                                "all that will leave to be under way")
        leave.set()
        assert_all_right(await asyncio.wait_for(asyncio.gather(*staying), DEADLINE), prompts)
        await asyncio.gather(*gone)
        return sorted(times)[int(len(times) * 0.99)]

    calm = asyncio.run(storm("calm", 0))
    worst = asyncio.run(storm("first", 1000))
    assert worst <= 2 * calm
    wait_until(lambda: finished(proxy, "client_gone") == 1000, "them to be counted")
    wait_until(lambda: finished(proxy, "ok") == 2000, "all to be counted")
    wait_until(lambda: abs(open_files(pid) - files) <= 2, "the descriptors to be given back")
    assert figure(proxy, "batchproxy_buffered_bytes") == 0
    assert resident_kib(pid) - memory <= 2000 * 64 or is_sanitized()  # what the allocator keeps of the peak
    assert_quiet(proxy)
