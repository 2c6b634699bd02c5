"""What one engine answers in time when more is asked of it than it can give."""
import asyncio
import concurrent.futures
import itertools

from ..figures import header, row
from .cell import CAPACITY, SLOTS, cell
from .loops import closed_loop, open_loop

SETTLING = 14  # seconds, until what is learnt has been learnt
# Keys of `batchproxy:`, and the seconds after which clients leave.
LIMITS = {"request_timeout 6 s": ({"request_timeout": 6}, 100), "clients leave after 6 s": ({}, 6),
          "clients leave after 120 s": ({}, 120)}


def share(binary, known, loop, limit, load, seconds):
    """Of what one engine can give, or of what is asked for: the share that comes in time."""
    keys, patience = LIMITS[limit]
    with cell(binary, 1, known, **keys) as proxy:
        if loop == "closed":
            clients = closed_loop(proxy.port, max(1, round(load * SLOTS)), SETTLING, seconds, patience)
        else:
            clients = open_loop(proxy.port, load * CAPACITY, SETTLING, seconds, patience)
        return asyncio.run(clients) / (CAPACITY * min(load, 1.0))


def measure(binary, options):
    print(f"\nGood answers per second, as a share of what can be ({CAPACITY:g}/s, or what is asked for), one engine\n")
    header("loop", "limit", *(f"{load:g}x" for load in options.loads))
    with concurrent.futures.ProcessPoolExecutor(len(options.loads)) as cells:
        for loop, limit in itertools.product(("closed", "open"), LIMITS):
            shares = [cells.submit(share, binary, options.known, loop, limit, load, options.seconds)
                      for load in options.loads]
            row(loop, limit, *(f"{one.result():.2f}" for one in shares))
