"""Chaos, drain and soak runs against the real program; see docs/FAILURES.md."""
