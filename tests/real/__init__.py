"""A package, so that its conftest.py and that of tests/integration do not take each other's name."""
