"""What takes minutes, as named parts: `scripts/test --full` runs all of them, `scripts/test --full chaos vllm` these two.

A test belongs to one by `@pytest.mark.full("chaos")` and is skipped unless BATCHPROXY_FULL asks for it: `1` is all of
them, else it names some. A new part is a row here.

    python3 -m tests.support.parts list                 each with a line
    python3 -m tests.support.parts folders PART...      of their tests; what they need is `tools`, `packages` and `builds`"""
import dataclasses
import os
import sys


@dataclasses.dataclass(frozen=True)
class Part:
    folder: str
    line: str
    tools: str = ""  # of scripts/python-tools
    packages: str = ""  # of Debian
    build: str = "release"  # what its tests start, a preset of CMake; nothing if they build what they need


PARTS = {
    "chaos": Part("tests/chaos", "two minutes in which four engines die, hang and lie, three ways"),
    "drain": Part("tests/chaos", "SIGTERM under full load, twenty times"),
    "soak": Part("tests/chaos", "twenty minutes of kills and reloads in which no memory may grow"),
    "night": Part("tests/chaos", "ten minutes in which four engines die in seven ways and are started again"),
    "jobs": Part("tests/chaos", "100,000 questions in a file, while the proxy dies ten times and an engine every ten seconds"),
    "prometheus": Part("tests/prometheus", "Prometheus itself (Debian's package): rules, alerts, a scrape, the board",
                       packages="prometheus"),
    "node": Part("tests/real", "the openai package for Node.js: files and batches", "--node"),
    "ui": Part("tests/ui", "the page at /ui in Chromium: axe-core, keys, pictures; five thousand streams", "--axe",
               packages="chromium chromium-driver fonts-liberation fonts-dejavu-core"),
    "packages": Part("tests/packages", "wheel, .deb and tarball, built and tried on fresh Debian systems (600 MB)",
                     packages="debootstrap lintian", build=""),
    "ray": Part("tests/ray", "two nodes of a real Ray: eight engines over both, while one goes and comes back (400 MB)",
                "--ray"),
    "slurm": Part("tests/slurm", "a real Slurm of two fake nodes, of which one is taken away (needs root)",
                  packages="slurmctld slurmd slurm-client munge"),
    "ssh": Part("tests/ssh", "engines that a real ssh brings to their nodes (needs root)",
                packages="openssh-server openssh-client"),
    "vllm": Part("tests/real", "a real vLLM, on a CPU, behind batchproxy (3 GB of packages)", "--vllm"),
    "benchmarks": Part("tests/real", "guidellm and vllm bench serve in front of that vLLM", "--vllm"),
    "lm_eval": Part("tests/real", "lm-evaluation-harness on real and simulated engines (700 MB)", "--clients"),
    "agents": Part("tests/real", "the OpenAI Agents SDK (with the same packages, and that vLLM)", "--clients --vllm"),
}


def asked_for(environment=os.environ):
    """The parts that BATCHPROXY_FULL names."""
    value = environment.get("BATCHPROXY_FULL", "")
    return set(PARTS) if value == "1" else set(check(value.split()))


def check(names):
    """The same names, if there are parts of all of them."""
    if unknown := [name for name in names if name not in PARTS]:
        raise ValueError(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def main(what, *names):
    if what == "list":
        for name, part in PARTS.items():
            print(f"{name:<12}{part.line}")
        return
    parts = [PARTS[name] for name in check(names) or PARTS]
    found = {"folders": [part.folder for part in parts], "tools": [tool for part in parts for tool in part.tools.split()],
             "builds": [part.build for part in parts if part.build],
             "packages": [package for part in parts for package in part.packages.split()]}
    print(*dict.fromkeys(found[what]))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
