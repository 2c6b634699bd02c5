"""Makes empty stand-ins for the CUDA libraries that torch links to, so that it loads on a machine without them.

    cuda_stubs.py SITE_PACKAGES

A CPU has no use for 2.7 GB of GPU code. Each stub has the name, the symbol versions and the functions
that torch asks for; a function that is called all the same answers "no such device". Needs gcc and
binutils, which a machine that builds batchproxy has."""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

NO_DEVICE = 100  # cudaErrorNoDevice
OURS = re.compile(r"lib(cu|nv|nccl)")
LENT_BY_THE_DRIVER = {"libcuda.so.1"}  # torch loads it when it wants it


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols_of(file, which):
    """The dynamic symbols of a library, each with `@version` if it has one."""
    return re.findall(r"(?m) (\S+)$", output_of("nm", "-D", f"--{which}-only", file))


def libraries_of_versions(objdump):
    """{symbol version: the library that it is required from}."""
    library, found = None, {}
    for line in objdump.partition("Version References:")[2].splitlines():
        if heading := re.match(r"\s+required from (\S+):", line):
            library = heading[1]
        elif entry := re.match(r"\s+0x\S+ 0x\S+ \d+ (\S+)$", line):
            found[entry[1]] = library
    return found


def missing_libraries(files):
    """What these libraries ask of those that are not there: {library: {version: symbols}}; no version is ""."""
    missing = collections.defaultdict(lambda: collections.defaultdict(set))
    present = {file.name for file in files} | LENT_BY_THE_DRIVER
    library_of, undefined, defined = {}, set(), set()
    for file in files:
        told = output_of("objdump", "-p", file)
        for name in re.findall(r"NEEDED\s+(\S+)", told):
            if OURS.match(name) and name not in present:
                missing[name]  # also if nothing of it is used
        library_of |= libraries_of_versions(told)
        undefined |= set(symbols_of(file, "undefined"))
        defined |= {symbol.split("@")[0] for symbol in symbols_of(file, "defined")}
    without_versions = missing.keys() - set(library_of.values())
    for symbol in undefined:
        name, _, version = symbol.partition("@")
        library = library_of.get(version)
        if library in missing:
            missing[library][version].add(name)
        elif not version and name not in defined and re.match("cu|nv|nccl|__cu", name):
            for library in without_versions:
                missing[library][""].add(name)
    return missing


def make_stub(path, symbols_of_versions):
    symbols = sorted(set().union(*symbols_of_versions.values()))
    with tempfile.TemporaryDirectory() as folder:
        source, versions = pathlib.Path(folder, "stub.c"), pathlib.Path(folder, "stub.map")
        source.write_text("".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in symbols))
        nodes = [f"{version} {{ global: {' '.join(f'{name};' for name in sorted(names))} }};\n"
                 for version, names in symbols_of_versions.items() if version]
        versions.write_text("".join(nodes))
        flags = [f"-Wl,-soname={path.name}", *([f"-Wl,--version-script={versions}"] if nodes else [])]
        output_of("gcc", "-w", "-fno-builtin", "-shared", "-fPIC", *flags, source, "-o", path)


def main():
    torch = pathlib.Path(sys.argv[1]) / "torch"
    folder = torch / "lib"
    missing = missing_libraries([*folder.glob("*.so*"), *torch.glob("_C*.so")])
    for library, symbols in missing.items():
        make_stub(folder / library, symbols)
    print(f"{len(missing)} stub libraries in {folder}")


if __name__ == "__main__":
    main()
