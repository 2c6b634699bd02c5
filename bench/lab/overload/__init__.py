"""What overload and bad neighbours cost, of what the engines can give.

goodput: one engine with 8 slots of 0.25 s, and requests at 0.5 to 20 times what it can answer, from
workers that ask again at once (closed loop) and at a fixed rate (open loop). An answer is good when
its client is still there. `--known`: batchproxy is told the engine's slots; without, it must learn.
neighbours: 16 good workers, alone and beside one bad one of each kind, on 2 and on 4 engines.

Every engine, and the clients of every cell, are processes of their own; all is on loopback."""
import pathlib

from ..options import floats, names_of, positive
from . import goodput, neighbours

PARTS = {"goodput": goodput, "neighbours": neighbours}


def add_options(parser):
    parser.add_argument("--binary", type=pathlib.Path, help="the batchproxy to measure (that of the build)")
    parser.add_argument("--parts", type=names_of(PARTS), default=list(PARTS), help="some of " + ",".join(PARTS))
    parser.add_argument("--seconds", type=positive(float), default=12.0, help="that each cell takes, once settled (12)")
    parser.add_argument("--loads", type=floats, default=[0.5, 1, 2, 5, 20], help="of goodput (0.5,1,2,5,20)")
    parser.add_argument("--known", action="store_true", help="batchproxy is told the engines' slots")


def run(options):
    if options.binary is None:
        options.build.need(options.build.proxy)
        options.binary = options.build.proxy
    for part in options.parts:
        PARTS[part].measure(options.binary.absolute(), options)
