"""Instructions of a program, counted by valgrind's callgrind."""
import re
import shutil


def need_valgrind():
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not there: apt-get install valgrind")


def prefix(out):
    """What a program is started by, so that its count is in the file `out` when it has ended."""
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]


def total(out):
    """The count; None if there is none."""
    found = re.search(r"^(?:totals|summary): (\d+)", out.read_text() if out.exists() else "", re.MULTILINE)
    return int(found[1]) if found else None
