"""Debian's buildah and podman in a fresh system: they build packaging/image/Dockerfile and run what comes of it, and need no
daemon."""
import contextlib
import json
import resource
import subprocess

from tests.support.builds import ROOT
from tests.support.waiting import wait_until

from .roots import PATH, Root, cgroups

TOOLS = ("buildah", "podman", "crun", "netavark", "aardvark-dns", "iptables", "iproute2", "docker-compose", "ca-certificates")
BASE = "docker.io/library/debian:bookworm-slim"
NAME = "batchproxy"


@contextlib.contextmanager
def container_tool(folder, cache):
    """`cache`: the compiler's, of which the build makes use."""
    storage = folder / "storage"
    storage.mkdir()
    tools, debian = Root("bookworm", folder, *TOOLS), Root("bookworm", folder / "debian")
    debian.path.parent.mkdir()
    binds = [("/sys", "sys"), (cgroups(), "sys/fs/cgroup"), (storage, "var/lib/containers"), (ROOT, "source"), (cache, "cache")]
    with tools.mounted(*binds), tools.pivoted(), debian.mounted():
        packed = subprocess.Popen(["tar", "-C", str(debian.path), "--one-file-system", "-cf", "-", "."], stdout=subprocess.PIPE)
        # With what Debian's own image says of itself.
        subprocess.run(tools.command("podman", "import", "--quiet", "--change", f"ENV PATH={PATH}", "-", BASE),
                       check=True, stdin=packed.stdout, stdout=subprocess.DEVNULL)
        assert packed.wait() == 0
        yield tools


def build(tools, commit):
    """As INSTALLING says. The base is Debian's minimal system, made here: no registry of images is asked."""
    return tools.run("buildah", "bud", "--isolation", "chroot", "--pull-never", "--format", "docker",
                     "-v", "/cache:/root/.cache/ccache", "-f", "/source/packaging/image/Dockerfile",
                     "--build-arg", f"COMMIT={commit}", "-t", NAME, "/source", timeout=7200).stdout


def limits():
    """Not podman's own, which may be above what is allowed here."""
    for name, which in [("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)]:
        most = min(1024, resource.getrlimit(which)[1] % 2**63)  # without a limit this is -1
        yield from ("--ulimit", f"{name}={most}:{most}")


def from_network_of(pid, *words):
    """What words of this machine say in that process's network."""
    done = subprocess.run(["nsenter", "-t", str(pid), "--net", "env", f"PYTHONPATH={ROOT}", *words], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Container:
    def __init__(self, tools, *words):
        self.tools = tools
        self.said = tools.path / "tmp" / "said"
        with open(tools.path / "dev/null") as nothing, open(self.said, "w") as out:  # its own: see DEVICES
            self.process = subprocess.Popen(
                tools.command("podman", "run", "--name", "it", "--network", "none", "--cgroups", "disabled",
                              "--health-interval", "disable",  # by a timer of systemd; it is asked for instead
                              *limits(), NAME, *words),
                stdin=nothing, stdout=out, stderr=subprocess.STDOUT)

    def tell(self, *words, check=True):
        """What podman says to `words` and the container's name."""
        return self.tools.run("podman", *words, check=check)

    @property
    def state(self):
        return json.loads(self.tell("inspect", "it").stdout)[0]["State"]

    def inside(self, script):
        return self.tell("exec", "it", "sh", "-c", script).stdout

    def from_its_network(self, *words):
        return from_network_of(self.state["Pid"], *words)

    def is_healthy(self):
        return self.tell("healthcheck", "run", "it", check=False).returncode == 0

    def remove(self):
        self.tell("rm", "--force", "--time", "0", "it")
        self.process.wait()


# What podman takes where nobody has given it a group of its own, nor a systemd.
CONTAINERS_CONF = """
[containers]
cgroups = "disabled"
default_ulimits = [{limits}]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Composed:
    """The services of a compose file, started by docker-compose: podman stands in for Docker's daemon. They have a network of their
    own, so their ports are free."""
    SOCKET = "unix:///run/podman.sock"

    def __init__(self, tools, name):
        self.tools = tools
        self.file = f"/source/packaging/image/{name}"
        words = ", ".join(f'"{word}"' for word in limits() if "=" in word)
        (tools.path / "etc/containers/containers.conf").write_text(CONTAINERS_CONF.format(limits=words))
        with open(tools.path / "dev/null") as nothing, open(tools.path / "tmp/daemon", "w") as out:
            self.daemon = subprocess.Popen(
                tools.command("unshare", "--net", "sh", "-c", f"ip link set lo up && exec podman system service --time 0 {self.SOCKET}"),
                stdin=nothing, stdout=out, stderr=subprocess.STDOUT)

    def __enter__(self):
        try:
            wait_until(lambda: (self.tools.path / "run/podman.sock").exists(), "podman to listen")
            self.tell("up", "--detach", "--no-build")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.tell("down", "--timeout", "0", check=False)
        self.daemon.terminate()
        self.daemon.wait()

    def tell(self, *words, check=True):
        return self.tools.run("docker-compose", "-p", NAME, "-f", self.file, *words, check=check, DOCKER_HOST=self.SOCKET).stdout

    def from_its_network(self, *words):
        return from_network_of(self.daemon.pid, *words)
