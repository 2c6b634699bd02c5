"""A build folder, and the programs in it."""
import pathlib

from tests.support import builds

ROOT = builds.ROOT


class Build:
    def __init__(self, folder=builds.BUILD):
        self.folder = pathlib.Path(folder).resolve()
        self.proxy = self.folder / "proxy" / "batchproxy"
        self.load = self.folder / "bench" / "batchproxy-bench"
        self.microbench = self.folder / "bench" / "batchproxy-microbench"
        self.stub_engine = self.folder / "bench" / "stub_engine"
        self.copy_hop = self.folder / "bench" / "copy_hop"

    def need(self, *programs, hint=""):
        """Ends the run unless all of these are there."""
        for program in programs:
            if not program.exists():
                raise SystemExit(f"{program} is not there; build it: cmake --build {self.folder}{hint}")
