"""Engines in the allocation of a real Slurm; see tests/support/slurm.py."""
