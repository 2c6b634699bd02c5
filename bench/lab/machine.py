"""What the machine gives and takes: cores, who runs first, descriptors, memory, CPU time."""
import contextlib
import os
import pathlib
import re
import resource

TICK = 1 / os.sysconf("SC_CLK_TCK")


def raise_descriptors(needed):
    """As many as there may be, also for programs started from here; says how many. Fewer than needed end the run."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < needed:
        raise SystemExit(f"needs {needed} file descriptors; the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def go_first():
    """Has this process and its children run before all others, where that is allowed; says whether it is."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        return True
    return False


def go_along():
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def may_go_first():
    may = go_first()
    go_along()
    return may


def family(pid):
    """`pid` and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(ValueError, OSError):
            child = int(entry)
            parents[child] = int(pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:  # which grows
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_seconds(pid):
    """User and system time of a process and its descendants, to the microsecond where the kernel tells."""
    total = 0.0
    for each in family(pid):
        try:
            total += sum(int(task.joinpath("schedstat").read_text().split()[0]) / 1e9
                         for task in pathlib.Path(f"/proc/{each}/task").iterdir())
        except OSError:  # a kernel without schedstat
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += TICK * (int(fields[11]) + int(fields[12]))
    return total


def resident(pid):
    """Memory of a process and its descendants, in bytes."""
    return 1024 * sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{each}/status").read_text())[1])
                      for each in family(pid))


def idle_seconds(core):
    """Of a core, with what a hypervisor took from it."""
    fields = re.search(rf"^cpu{core} (.*)$", pathlib.Path("/proc/stat").read_text(), re.MULTILINE)[1].split()
    return TICK * (int(fields[3]) + int(fields[4]))


def stolen_seconds(core):
    """That a hypervisor took from a core."""
    fields = re.search(rf"^cpu{core} (.*)$", pathlib.Path("/proc/stat").read_text(), re.MULTILINE)[1].split()
    return TICK * int(fields[7])


def established(port):
    """How many connections a server on loopback has."""
    sockets = pathlib.Path("/proc/net/tcp").read_text()
    return len(re.findall(rf"^ *\d+: 0100007F:{port:04X} \S+ 01 ", sockets, re.MULTILINE))
