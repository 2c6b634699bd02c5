"""The lab: everything that is measured live, as subcommands of `python3 -m bench.lab`, from the root of the repository.

A subcommand is a module, or a room, of its name. It has a docstring, whose first line is its line in `--help`;
add_options(parser); and run(options), where options.build is the Build to measure. A new one is named in __main__.py.
The standard library of Python 3.11 is all that is needed: programs are started by tests/support, as the tests do."""
