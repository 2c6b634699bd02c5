"""Kinds of options that several subcommands have."""
import argparse
import os
import pathlib


def positive(kind):
    """An int or a float above 0."""
    def read(text):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be more than 0")
        return value
    read.__name__ = kind.__name__  # in argparse's own words about what is none
    return read


def share(text):
    """A part of a whole, neither nothing nor all of it."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value


def floats(text):
    return [float(part) for part in text.split(",")]


def counts(text):
    """Whole numbers above 0, with commas."""
    return [positive(int)(part) for part in text.split(",")]


def writable(text):
    """A file that can be written, or made where it is to be: told now, and not when all is measured."""
    file = pathlib.Path(text)
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{file} is a folder; name a file")
    there = file if file.exists() else file.parent
    if not there.exists():
        raise argparse.ArgumentTypeError(f"there is no folder {there}")
    if not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{there} may not be written")
    return file


def names_of(known):
    """Some of the names in `known`, with commas."""
    def read(text):
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
        return names
    return read
