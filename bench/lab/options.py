"""Kinds of options that several subcommands have."""
import argparse


def positive(kind):
    """An int or a float above 0."""
    def read(text):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be more than 0")
        return value
    read.__name__ = kind.__name__  # in argparse's own words about what is none
    return read


def floats(text):
    return [float(part) for part in text.split(",")]


def names_of(known):
    """Some of the names in `known`, with commas."""
    def read(text):
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
        return names
    return read
