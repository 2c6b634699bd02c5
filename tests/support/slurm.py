"""A Slurm of several fake nodes on this machine, each with eight fake GPUs: munged, slurmctld and a slurmd for each node,
on ports that are free now, with all their files in one folder. Needs root and Debian's packages (see parts.py)."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess

from .processes import descendants
from .waiting import DEADLINE, alive, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "salloc", "sbatch", "squeue", "sinfo", "scontrol", "scancel")
CPUS, GPUS = 16, 8  # of each node

CONFIG = """\
ClusterName=fake
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
KillWait=2
OverTimeLimit=0
UnkillableStepTimeout=60
InactiveLimit=0
MinJobAge=300
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldTimeout=300
SlurmdTimeout=300
"""


def why_not():
    """Why there can be no Slurm here; empty when there can."""
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]:
        return f"no {', '.join(missing)}: scripts/test --full slurm installs what is missing"
    if os.geteuid() != 0:
        return "a slurmd of its own needs root"
    return ""


def free_ports(count):
    """Ports that nobody has now. Slurm takes no port 0."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class Slurm:
    """`env` is what Slurm's programs need to find it."""

    def __init__(self, folder, nodes=("n1", "n2")):
        self.folder, self.nodes = pathlib.Path(folder), nodes
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        self.daemons, self.allocations = {}, []
        self._write()

    def _write(self):
        for name in ("state", "munge", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir(mode=0o755)
        (self.folder / "munge" / "key").write_bytes(os.urandom(128))
        (self.folder / "munge" / "key").chmod(0o600)
        controller, *ports = free_ports(1 + len(self.nodes))
        host = socket.gethostname().split(".")[0]
        text = CONFIG.format(host=host, controller=controller, folder=self.folder)
        for node, port in zip(self.nodes, ports):
            text += (f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory=4000 "
                     f"Gres=gpu:h100:{GPUS} State=UNKNOWN\n")
        text += f"PartitionName=gpu Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP\n"
        (self.folder / "slurm.conf").write_text(text)
        # Character devices are what a step's CUDA_VISIBLE_DEVICES is made of: these exist everywhere.
        (self.folder / "gres.conf").write_text("".join(
            f"NodeName={node} Name=gpu Type=h100 File=/dev/tty[0-{GPUS - 1}]\n" for node in self.nodes))

    def start(self):
        munge = self.folder / "munge"
        self._daemon("munged", "--foreground", f"--socket={munge}/socket", f"--key-file={munge}/key",
                     f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--force")
        wait_until((munge / "socket").exists, "munged")
        self._daemon("slurmctld", "-D", "-c")
        for node in self.nodes:
            self.start_node(node)
        return self

    def _daemon(self, program, *args, name=None):
        log = open(self.folder / f"{name or program}.out", "ab")
        with log:
            self.daemons[name or program] = subprocess.Popen(
                [program, *args], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    def start_node(self, node):
        self._daemon("slurmd", "-D", "-N", node, name=node)
        wait_until(lambda: self.state(node).rstrip("*") in ("idle", "mixed", "allocated") and "*" not in self.state(node),
                   f"node {node}, which is {self.state(node)}\n{self.logs()}")

    def take_away(self, node):
        """Every process of its steps is killed, and its slurmd answers nobody until give_back(). The slurmstepds live: of
        steps whose slurmstepd has died Slurm 22.05 never hears the end, and keeps their GPUs until the job ends."""
        self.daemons[node].send_signal(signal.SIGSTOP)
        for pid in {child for step in self.steps_of(node) for child in descendants(step)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def give_back(self, node):
        self.daemons[node].send_signal(signal.SIGCONT)

    def steps_of(self, node):
        """The slurmstepds of a node: each has its socket in the node's spool folder."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(b"slurmstepd: [") and self._belongs(path.parent, node):
                    found.append(int(path.parent.name))
        return found

    def _belongs(self, process, node):
        name = f"SLURMD_NODENAME={node}".encode()
        children = descendants(int(process.name))
        for pid in children:
            with contextlib.suppress(OSError):
                if name in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    return True
        return False

    def run(self, *words, check=True, env=None):
        return subprocess.run([str(word) for word in words], env={**os.environ, **self.env, **(env or {})}, check=check,
                              capture_output=True, text=True, timeout=DEADLINE)

    def state(self, node):
        return self.run("sinfo", "--noheader", "--nodes", node, "--format=%T", check=False).stdout.strip()

    def steps(self):
        """What runs now, by squeue."""
        return self.run("squeue", "--steps", "--noheader", "--format=%i %j %N").stdout.split("\n")[:-1]

    def allocate(self, *flags):
        """An allocation, and the environment in which its owner finds himself."""
        environment = self.folder / f"allocation-{len(self.allocations)}"
        keeper = subprocess.Popen(
            ["salloc", "--no-kill", *flags, "sh", "-c", f"env -0 >{environment}.new && mv {environment}.new {environment} && "
             "exec sleep infinity"], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.allocations.append(keeper)
        wait_until(lambda: environment.exists() or keeper.poll() is not None, f"an allocation\n{self.logs()}")
        assert environment.exists(), keeper.stderr.read()
        pairs = (entry.split("=", 1) for entry in environment.read_text().split("\0") if "=" in entry)
        return {name: value for name, value in pairs if name.startswith("SLURM")} | self.env

    def logs(self):
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
                         for path in sorted(self.folder.glob("slurm*.log")))

    def stop(self):
        self.run("scancel", "--user=root", check=False)
        for keeper in self.allocations:
            for pid in {*descendants(keeper.pid), keeper.pid}:  # the job itself has been cancelled
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            keeper.wait()
            keeper.stderr.close()
        for name in reversed(list(self.daemons)):
            daemon = self.daemons.pop(name)
            daemon.send_signal(signal.SIGCONT)
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


__all__ = ["Slurm", "alive", "why_not"]
