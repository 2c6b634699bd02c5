"""The programs under test. BATCHPROXY_BUILD names the build folder (default: build/release)."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BATCHPROXY_BUILD", ROOT / "build" / "release")).resolve()
PROXY = BUILD / "proxy" / "batchproxy"
BENCH = BUILD / "bench" / "batchproxy-bench"


def is_sanitized(program=PROXY):
    return any(mark in program.read_bytes() for mark in (b"__asan_init", b"__tsan_init"))
