"""Fresh Debian systems in folders, in which packages are tried as on a machine that has nothing of ours."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess

ROOTS = pathlib.Path(__file__).resolve().parents[2] / "build" / "roots"
INCLUDED = "python3-pip,python3-venv"


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


class Root:
    """A copy of a fresh system, gone afterwards."""

    def __init__(self, suite, folder):
        base = ROOTS / suite
        if not (base / "ready").exists():
            shutil.rmtree(base, ignore_errors=True)
            base.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(base), mirror()],
                           check=True, stdout=subprocess.DEVNULL)
            (base / "ready").touch()
        self.path = folder / suite
        subprocess.run(["cp", "-a", str(base), str(self.path)], check=True)
        shutil.copy("/etc/resolv.conf", self.path / "etc" / "resolv.conf")

    @contextlib.contextmanager
    def mounted(self):
        mounts = [(["-t", "proc", "proc"], "proc"), (["--bind", "/dev"], "dev")]
        done = []
        try:
            for what, where in mounts:
                subprocess.run(["mount", *what, str(self.path / where)], check=True)
                done.append(self.path / where)
            yield self
        finally:
            for where in reversed(done):
                subprocess.run(["umount", "-l", str(where)], check=True)

    def command(self, *words):
        return ["chroot", str(self.path), "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *map(str, words)]

    def run(self, *words, check=True):
        done = subprocess.run(self.command(*words), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        assert not check or done.returncode == 0, done.stdout
        return done
