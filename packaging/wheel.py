"""Packs an installed tree (`cmake --install --prefix TREE`) into a wheel: programs and what they read, no Python.

    python3 packaging/wheel.py TREE VERSION GLIBC OUT      GLIBC: the oldest that the programs run with, such as 2.35

The same tree makes the same bytes."""
import base64
import hashlib
import pathlib
import stat
import sys
import zipfile

NAME = "batchproxy"
SUMMARY = "Batching proxy between scoring workers and vLLM servers"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip knows


def metadata(version, readme):
    return (f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\nSummary: {SUMMARY}\n"
            "License: Apache-2.0\nRequires-Python: >=3.8\n"
            f"Description-Content-Type: text/markdown\n\n{readme}")


def wheel_file(tag):
    return f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n"


def files_of(tree, data):
    """(name in the wheel, bytes, may it run): programs become scripts, all else keeps its place under the prefix."""
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            place = path.relative_to(tree)
            where = f"scripts/{place.name}" if place.parts[0] == "bin" else f"data/{place.as_posix()}"
            yield f"{data}/{where}", path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR)


def digest(content):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def build(tree, version, glibc, out):
    tag = f"py3-none-manylinux_{glibc.replace('.', '_')}_x86_64"
    info, data = f"{NAME}-{version}.dist-info", f"{NAME}-{version}.data"
    readme = (tree / "share/doc/batchproxy/README.md").read_text()
    files = list(files_of(tree, data))
    files += [(f"{info}/METADATA", metadata(version, readme).encode(), False),
              (f"{info}/WHEEL", wheel_file(tag).encode(), False),
              (f"{info}/LICENSE", (tree / "share/doc/batchproxy/licences/batchproxy").read_bytes(), False)]
    record = "".join(f"{name},{digest(content)},{len(content)}\n" for name, content, _ in files)
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), False))
    path = out / f"{NAME}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, content, runs in files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o100755 if runs else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return path


if __name__ == "__main__":
    print(build(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])))
