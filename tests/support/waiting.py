"""Waiting for something to happen, with an end: no sleep that hopes."""
import contextlib
import os
import pathlib
import time

DEADLINE = float(os.environ.get("BATCHPROXY_TEST_DEADLINE", "60"))  # seconds, for anything to happen


def wait_until(condition, what, deadline=None):
    """Polls `condition` until it is true; fails with `what`, or what that says then, after the deadline."""
    end = time.monotonic() + (deadline or DEADLINE)
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"timed out: {what() if callable(what) else what}")


def assert_never(condition, seconds, what):
    """Fails with `what` if `condition` comes true within `seconds`."""
    end = time.monotonic() + seconds
    with contextlib.suppress(AssertionError):
        wait_until(condition, what, seconds)
    assert time.monotonic() >= end, what


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
