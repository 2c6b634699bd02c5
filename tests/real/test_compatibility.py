"""docs/COMPATIBILITY.md is what the other tests here have shown."""
import importlib.metadata
import os

import pytest

from .compatibility import DOCUMENT, FULL, HERE, REQUIREMENTS, pinned_versions, render


def test_the_installed_packages_are_those_of_the_lists():
    installed = {name: importlib.metadata.version(name) for name in pinned_versions()
                 if FULL or f"\n{name}==" in "\n" + REQUIREMENTS[0].read_text()}
    assert installed == {name: pinned_versions()[name] for name in installed}


def test_the_table_is_what_these_tests_show(ledger):
    if {path.name for path in HERE.glob("test_*.py")} - ledger.files:
        pytest.skip("needs the whole folder")
    assert not ledger.not_passed(), "the table needs all of its tests to pass"
    text = render(ledger.rows(full=True), ledger.rows(full=False))
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "UPDATE_GOLDEN=1 rewrites docs/COMPATIBILITY.md"
