"""docs/COMPATIBILITY.md is what the other tests here have shown."""
import importlib.metadata
import os

import pytest

from tests.support import parts

from .compatibility import DOCUMENT, HERE, REQUIREMENTS, VLLM_REQUIREMENTS, pinned_versions, render
from .vllm import engines


def test_the_installed_packages_are_those_of_the_lists():
    pinned = pinned_versions(*(REQUIREMENTS if parts.asked_for() & {"lm_eval", "agents"} else REQUIREMENTS[:1]))
    assert {name: importlib.metadata.version(name) for name in pinned} == pinned


@pytest.mark.full("vllm")
def test_so_are_those_beside_vllm():
    engines.require()
    (site,) = engines.BIN.parent.glob("lib/python3*/site-packages")
    installed = {found.name: found.version for found in importlib.metadata.distributions(path=[str(site)])}
    pinned = pinned_versions(VLLM_REQUIREMENTS)
    assert {name: installed[name] for name in pinned} == pinned


def test_the_table_is_what_these_tests_show(ledger):
    if {path.name for path in HERE.rglob("test_*.py")} - ledger.files:
        pytest.skip("needs the whole folder")
    assert not ledger.not_passed(), "the table needs all of its tests to pass"
    text = render(ledger.rows(full=True), ledger.rows(full=False))
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "UPDATE_GOLDEN=1 rewrites docs/COMPATIBILITY.md"
