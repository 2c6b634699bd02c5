"""Chaos, drain and soak runs against the real program; see README.md."""
