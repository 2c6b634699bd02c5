"""Processes as /proc tells of them."""
import pathlib


def _stats():
    """(pid, state, pid of the parent) of every process."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(path.parent.name), state, int(parent)


def descendants(pid):
    """{pid: state} of the children of `pid`, and of theirs."""
    stats, found, new = list(_stats()), {}, {pid}
    while new:
        children = {child: state for child, state, parent in stats if parent in new}
        found |= children
        new = set(children)
    return found
