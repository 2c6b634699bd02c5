"""Fresh Debian systems in folders, in which packages are tried as on a machine that has nothing of ours."""
import contextlib
import ctypes
import functools
import os
import pathlib
import re
import shutil
import subprocess

from tests.support.waiting import wait_until

ROOTS = pathlib.Path(__file__).resolve().parents[2] / "build" / "roots"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not():
    """Why there can be none here; nothing if there can."""
    if os.geteuid() != 0:
        return "a fresh root needs the rights to mount and chroot"
    if not shutil.which("debootstrap"):
        return "debootstrap is missing: scripts/dependencies --packages"
    return None


def mirror():
    """Where this machine gets Debian's packages from."""
    for file in [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]:
        if file.is_file() and (found := re.search(r"^(?:URIs: *|deb (?:\[.*?\] )?)(\S*debian/?)\s*", file.read_text(), re.M)):
            return found[1]
    raise LookupError("no source of Debian's packages in /etc/apt")


def base_of(suite, *included):
    """A fresh system with these packages, made once."""
    base = ROOTS / "-".join([suite, *included])
    if not (base / "ready").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.parent.mkdir(parents=True, exist_ok=True)
        wanted = [f"--include={','.join(included)}"] if included else []
        subprocess.run(["debootstrap", "--variant=minbase", *wanted, suite, str(base), mirror()],
                       check=True, stdout=subprocess.DEVNULL)
        (base / "ready").touch()
    return base


@functools.cache
def keep_mounts_to_ourselves():
    """What this process mounts is seen by it alone from now on, and ends with it, however it ends. Else one that was killed
    would leave the machine's /dev in a temporary folder, which the next run of pytest clears."""
    new_mounts = 0x00020000  # CLONE_NEWNS
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_mounts) != 0:
        raise OSError(ctypes.get_errno(), "unshare: no mounts of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


# Namespaces of its own, the few devices that a container has, and then systemd.
BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
echo $$ >"$2/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --mount --uts --ipc sh -c '
set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/dev"
for device in null zero full random urandom tty; do touch "$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
mount -t tmpfs tmpfs "$1/dev/shm"
ln -s /proc/self/fd "$1/dev/fd"
exec env -i container=batchproxy-test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" /lib/systemd/systemd
' sh "$1"
"""


PIVOT = r"""
set -e
mount --make-rprivate /
cd "$1"
mkdir -p old
pivot_root . old
umount -l /old
echo there
exec cat
"""


def cgroups():
    """Where this machine has its control groups of version 2; nothing if it has none."""
    found = re.search(r"(?m)^cgroup2 (\S+) cgroup2 rw", pathlib.Path("/proc/mounts").read_text())
    return pathlib.Path(found[1]) if found else None


def first_below(pid):
    """The process that is 1 in the namespace which `pid` has made."""
    below = subprocess.run(["pgrep", "-P", str(pid)], text=True, stdout=subprocess.PIPE).stdout.split()
    for child in below:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that mounts has ended meanwhile
            if pathlib.Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
    return None


def remove_group(group):
    """Whether it is gone, with those below."""
    with contextlib.suppress(OSError):
        for folder in sorted(group.rglob("*"), reverse=True):
            if folder.is_dir():
                folder.rmdir()
        group.rmdir()
    return not group.exists()


class Root:
    """A fresh system that may be changed, in `folder`. Its base stays as it is."""

    def __init__(self, suite, folder, *included):
        self.suite = suite
        self.base = base_of(suite, *included)
        self.path = folder / suite
        self.entered = ["chroot", str(self.path)]
        self.layers = [folder / f"{suite}-{layer}" for layer in ("changes", "work")]

    @contextlib.contextmanager
    def mounted(self, *binds):
        """It is there meanwhile, and gone afterwards. `binds`: (folder of this machine, place in the root)."""
        keep_mounts_to_ourselves()
        for place in (self.path, *self.layers):
            place.mkdir()
        done = []
        try:
            if self.is_laid_over_its_base():
                done.append(self.path)
            else:  # no layers on this file system
                subprocess.run(["cp", "-a", f"{self.base}/.", str(self.path)], check=True)
            self.give_the_way_to_packages()
            for what, where in [(["-t", "proc", "proc"], "proc"), (["--rbind", "/dev"], "dev"),
                                *((["--bind", str(source)], place) for source, place in binds)]:
                target = self.path / where.lstrip("/")
                target.mkdir(parents=True, exist_ok=True)
                subprocess.run(["mount", *what, str(target)], check=True)
                subprocess.run(["mount", "--make-rslave", str(target)], check=True)
                done.append(target)
            yield self
        finally:
            for target in reversed(done):
                subprocess.run(["umount", "-l", str(target)], check=True)
            for place in (self.path, *self.layers):
                shutil.rmtree(place)

    def is_laid_over_its_base(self):
        changes, work = self.layers
        return subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.base},upperdir={changes},workdir={work}",
                               str(self.path)], stderr=subprocess.DEVNULL).returncode == 0

    def give_the_way_to_packages(self):
        """That of this machine."""
        (self.path / "ready").unlink()
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(file, self.path / file[1:])
        for file in pathlib.Path("/etc/apt/apt.conf.d").glob("*"):
            if re.search(r"^Acquire::(Check|http|Retries)", file.read_text(), re.M):
                shutil.copy(file, self.path / "etc/apt/apt.conf.d")

    def command(self, *words, **environment):
        variables = {"PATH": PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **environment}
        return [*self.entered, "env", "-i", *(f"{name}={value}" for name, value in variables.items()),
                *map(str, words)]

    def run(self, *words, check=True, timeout=300, **environment):
        done = subprocess.run(self.command(*words, **environment), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
        assert not check or done.returncode == 0, done.stdout[-8000:]
        return done

    @contextlib.contextmanager
    def pivoted(self):
        """Commands have it as the root of their mounts meanwhile: what enters a container leaves a mere chroot."""
        with subprocess.Popen(["unshare", "--mount", "sh", "-c", PIVOT, "sh", str(self.path)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # it ends when its input does
            assert holder.stdout.readline() == b"there\n"
            chroot, self.entered = self.entered, ["nsenter", "-t", str(holder.pid), "--mount"]
            try:
                yield self
            finally:
                self.entered = chroot

    @contextlib.contextmanager
    def booted(self):
        """With its systemd as process 1 of its own, and a part of the machine's control groups: what `inside` gives runs there."""
        group = cgroups() / f"batchproxy-test-{os.getpid()}"
        group.mkdir()
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", BOOT, "sh", str(self.path), str(group)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.first = wait_until(lambda: first_below(process.pid), "systemd to be started")
            wait_until(lambda: subprocess.run(self.inside("systemctl", "is-system-running"), text=True, stderr=subprocess.DEVNULL,
                                              stdout=subprocess.PIPE).stdout.strip() in ("running", "degraded"), "systemd to have started")
            yield self
        finally:
            process.kill()  # and all that is in its namespace with it
            process.wait()
            wait_until(lambda: remove_group(group), "its control groups to be empty")

    def inside(self, *words):
        """Words to be run in the system that is booted."""
        return ["nsenter", "-t", str(self.first), "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd", "env", "-i",
                f"PATH={PATH}", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, words)]

    def tell(self, *words, check=True):
        done = subprocess.run(self.inside(*words), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300)
        assert not check or done.returncode == 0, done.stdout[-8000:]
        return done.stdout

    def put(self, path):
        """The place in the root of a copy of this file."""
        shutil.copy(path, self.path / "tmp")
        return f"/tmp/{path.name}"
