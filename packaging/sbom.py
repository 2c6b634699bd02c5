"""What is linked into the programs, from Debian's own records: a bill of materials, and all licences.

    python3 packaging/sbom.py VERSION BILL LICENCES      BILL: a file, CycloneDX 1.5 as JSON; LICENCES: a folder"""
import json
import pathlib
import shutil
import subprocess
import sys

LINKED = ["libboost1.81-dev", "libcli11-dev", "libconcurrentqueue-dev", "libfmt-dev", "libncurses-dev",
          "libsimdjson-dev", "libspdlog-dev", "libsqlite3-dev", "libssl-dev", "libstdc++-12-dev", "libxxhash-dev",
          "libyaml-cpp-dev", "libzstd-dev", "prometheus-cpp-dev"]
DOCUMENTS = pathlib.Path("/usr/share/doc")


def source_of(package):
    """(name, version, home page) of the source package."""
    form = "${source:Package}\t${source:Version}\t${Homepage}"
    return subprocess.run(["dpkg-query", "-W", f"-f={form}", package], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split("\t")


def component(package):
    name, version, home = source_of(package)
    found = {"type": "library", "name": name, "version": version,
             "purl": f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch=source"}
    return {**found, "externalReferences": [{"type": "website", "url": home}]} if home else found


def main(version, bill, licences):
    pathlib.Path(bill).write_text(json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "name": "batchproxy", "version": version}},
        "components": [component(package) for package in LINKED]}, indent=1) + "\n")
    folder = pathlib.Path(licences)
    folder.mkdir(parents=True, exist_ok=True)
    for package in LINKED:
        shutil.copyfile(DOCUMENTS / package / "copyright", folder / source_of(package)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
