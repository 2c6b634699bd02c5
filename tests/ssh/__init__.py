"""Engines that a real ssh brings to their nodes."""
