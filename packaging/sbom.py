"""A bill of materials (CycloneDX 1.5, JSON) of what is linked into the programs, from Debian's own records.

    python3 packaging/sbom.py VERSION > FILE"""
import json
import subprocess
import sys

LINKED = ["libboost1.81-dev", "libcli11-dev", "libconcurrentqueue-dev", "libfmt-dev", "libncurses-dev",
          "libsimdjson-dev", "libspdlog-dev", "libsqlite3-dev", "libssl-dev", "libstdc++-12-dev", "libxxhash-dev",
          "libyaml-cpp-dev", "libzstd-dev", "prometheus-cpp-dev"]


def component(package):
    form = "${source:Package}\t${source:Version}\t${Homepage}"
    name, version, home = subprocess.run(["dpkg-query", "-W", f"-f={form}", package], check=True, text=True,
                                         stdout=subprocess.PIPE).stdout.split("\t")
    found = {"type": "library", "name": name, "version": version,
             "purl": f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch=source"}
    return {**found, "externalReferences": [{"type": "website", "url": home}]} if home else found


def main():
    print(json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "name": "batchproxy", "version": sys.argv[1]}},
        "components": [component(package) for package in LINKED]}, indent=1))


if __name__ == "__main__":
    main()
