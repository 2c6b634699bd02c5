"""Where the routers are that are compared, and which versions."""
import os
import pathlib
import re
import shutil
import subprocess

from ..build import ROOT

FOLDER = pathlib.Path(os.environ.get("BATCHPROXY_ROUTERS", ROOT / "build" / "routers"))
DEBIAN = {"nginx", "haproxy"}


class Missing(Exception):
    """A router is not installed; the text says which, and what installs it."""


def find(package, folder=FOLDER):
    """The program of a package: in an environment of its own below `folder`, or in one for all, or wherever it is."""
    places = [str(folder / package / "bin"), str(folder / "bin"), os.environ.get("PATH", ""),
              "/usr/sbin"]  # where Debian keeps two of them, and no user looks
    if found := shutil.which(package, path=os.pathsep.join(places)):
        return pathlib.Path(found)
    how = f"apt-get install {package}" if package in DEBIAN else "scripts/python-tools --routers"
    raise Missing(f"{package} is not installed ({how})")


def _said(*command):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False).stdout


def version_of(package, program):
    """What the program says of itself; a Python package is looked up by the interpreter that its program names."""
    if package in DEBIAN:
        said = _said(program, "-v")
    elif package == "batchproxy":
        said = _said(program, "--version")
    else:
        with program.open("rb") as script:
            interpreter = script.readline().decode(errors="replace").strip().removeprefix("#!")
        if not pathlib.Path(interpreter).is_file():
            return "?"
        said = _said(interpreter, "-c", f"import importlib.metadata as it; print(it.version({package!r}))")
    found = re.search(r"\b(\d+\.\d+[.\w]*)", said)
    return found[1] if found else "?"
