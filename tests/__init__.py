"""The tests in Python, as one package: `python3 -m pytest tests`, or `python3 -m tests.chaos.chaos` from the root."""
