"""What good clients still get beside a bad one, over what it does."""
import asyncio
import concurrent.futures

from ..figures import header, row
from .cell import SERVICE, cell
from .loops import closed_loop

SETTLING = 3  # seconds
LONG = f"@slow:{19 * SERVICE * 1000:.0f}"  # an answer that takes twenty times as long
# What a bad worker asks for: a mark in its prompt (tests/support/faults.py), and its client's time-out.
BAD = {"500": ("!500", 60), "500 without a word": ("!empty", 60), "501": ("!501", 60), "NaN": ("!nan", 60),
       "reset": ("!close", 60), "404": ("!404", 60), "400": ("!400", 60),
       "time-out of 1 s": (LONG, 1), "leaves after 0.1 s": (LONG, 0.1)}


def good_workers(binary, known, count, kind, seconds):
    """What 16 good workers get a second from `count` engines, beside one bad one of this kind (None: alone)."""
    async def measured(port):
        crowds = [closed_loop(port, 16, SETTLING, seconds, 60)]
        if kind is not None:
            mark, patience = BAD[kind]
            crowds.append(closed_loop(port, 1, SETTLING, seconds, patience, mark, 0.2))
        return (await asyncio.gather(*crowds))[0]

    with cell(binary, count, known) as proxy:
        return asyncio.run(measured(proxy.port))


def measure(binary, options):
    print("\nWhat 16 good workers get beside one bad one (asking again 5 times a second), of what they get alone\n")
    header("the bad one's requests", "2 engines", "4 engines")
    with concurrent.futures.ProcessPoolExecutor(2) as cells:
        def both(kind):
            runs = [cells.submit(good_workers, binary, options.known, count, kind, options.seconds) for count in (2, 4)]
            return [run.result() for run in runs]

        alone = both(None)
        row("none, answers/s", *(f"{good:.0f}" for good in alone))
        for kind in BAD:
            row(kind, *(f"{good / of:.2f}" for good, of in zip(both(kind), alone)))
