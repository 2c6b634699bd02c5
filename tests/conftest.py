"""Which of the tests that take minutes run: see support/parts.py; and which run with others beside them."""
import pytest

from tests.support import parts


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: fills the machine, or goes by real time: scripts/test runs nothing beside it")
    config.addinivalue_line("markers", "full(part): takes minutes; runs when BATCHPROXY_FULL asks for that part")
    try:
        parts.asked_for()
    except ValueError as error:
        raise pytest.UsageError(f"BATCHPROXY_FULL: {error}") from None


@pytest.hookimpl(tryfirst=True)  # before -k and -m deselect
def pytest_collection_modifyitems(items):
    asked = parts.asked_for()
    for item in items:
        for mark in item.iter_markers("full"):
            [part] = parts.check(list(mark.args))
            if part not in asked:
                item.add_marker(pytest.mark.skip(reason=f"takes minutes: scripts/test --full {part} runs it"))
