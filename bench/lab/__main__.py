"""Measures batchproxy live; each subcommand starts what it needs on ports of its own, and prints Markdown."""
import argparse
import signal
import sys

from . import (affinity, batches, claims, idle_connections, instructions, job_tail, lists, load_ceiling, many_engines, merging,
               overload, peers, policies, queued_prompts, recorded, routers)
from .build import Build

COMMANDS = [affinity, batches, claims, idle_connections, instructions, job_tail, lists, load_ceiling, many_engines, merging,
            overload, peers, policies, queued_prompts, recorded, routers]
RAW = argparse.RawDescriptionHelpFormatter


def name_of(command):
    return command.__name__.rpartition(".")[2].replace("_", "-")


def read_options(words):
    lines = "".join(f"  {name_of(command):<18}{command.__doc__.splitlines()[0]}\n" for command in COMMANDS)
    parser = argparse.ArgumentParser(prog="python3 -m bench.lab", description=f"{__doc__}\n\n{lines}",
                                     formatter_class=RAW)
    commands = parser.add_subparsers(metavar="SUBCOMMAND", required=True, help="one of these; --help tells its options")
    for command in COMMANDS:
        added = commands.add_parser(name_of(command), description=command.__doc__, formatter_class=RAW)
        added.add_argument("build", nargs="?", type=Build, default=Build(),
                           help="the build folder (BATCHPROXY_BUILD, else build/release)")
        command.add_options(added)
        added.set_defaults(run=command.run)
    return parser.parse_args(words)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and so stops what has been started
    options = read_options(sys.argv[1:])
    try:
        options.run(options)
    except AssertionError as error:  # of tests/support: what was waited for, and what the program has said
        sys.exit(str(error))


if __name__ == "__main__":
    main()
