"""packaging/image/Dockerfile, replayed without a container tool: each stage is a fresh Debian system in a folder, and each
instruction is done there. What only a container tool has (layers, a network of its own, limits) is not tried."""
import contextlib
import json
import pathlib
import re
import shlex
import subprocess

from tests.support.builds import ROOT

from .roots import PATH, Root

KNOWN = {"ARG", "ENV", "WORKDIR", "USER", "RUN", "COPY", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}


def instructions(text):
    """(word, rest) of each, with lines joined."""
    lines = re.sub(r"(?m)^#.*\n", "", text)
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def ignored():
    """What .dockerignore keeps out, as tar takes it: from the top, unless it begins with `**/`."""
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.rstrip("/")
        yield from ("--no-anchored", f"--exclude={pattern[3:]}") if pattern.startswith("**/") else ("--anchored", f"--exclude=./{pattern}")


class Stage:
    def __init__(self, root, arguments):
        self.root, self.arguments = root, arguments
        self.env, self.folder, self.user = {}, "/", "root"
        self.told = {}  # EXPOSE and its like

    def place(self, path):
        return self.root.path / str(pathlib.PurePosixPath(self.folder) / path).lstrip("/")

    def command(self, *words):
        """Words to be run in it as its user."""
        entered = f'cd {shlex.quote(self.folder)} && exec "$@"'
        as_user = [] if self.user == "root" else ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        return self.root.command(*as_user, "sh", "-c", entered, "sh", *words, **{"PATH": PATH, **self.env})

    def shell(self, script):
        subprocess.run(self.command("env", *(f"{name}={value}" for name, value in self.arguments.items()), "sh", "-c", script),
                       check=True, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def replay(dockerfile, folder, arguments, binds=()):
    """The last stage as it is then. `binds` are mounted in the first stages: (folder of this machine, place)."""
    stages = {}
    text = dockerfile.read_text()
    names = re.findall(r"(?m)^FROM debian:(\w+)-slim(?: AS (\w+))?$", text)
    with contextlib.ExitStack() as last, contextlib.ExitStack() as earlier:
        stage = None
        for word, rest in instructions(text):
            if word == "FROM":
                suite, name = names[len(stages)]
                is_last = len(stages) == len(names) - 1
                place = folder / (name or "last")
                place.mkdir()
                root = Root(suite, place)
                (last if is_last else earlier).enter_context(root.mounted(*(() if is_last else binds)))
                stage = stages[name or "last"] = Stage(root, {})
                continue
            assert word in KNOWN, word
            rest = re.sub(r"\$(\w+)", lambda found: {**arguments, **stage.env}.get(found[1], found[0]), rest) \
                if word not in ("RUN", "ENTRYPOINT", "HEALTHCHECK") else rest
            if word == "ARG":
                stage.arguments[rest] = arguments[rest]
            elif word == "ENV":
                stage.env.update(part.split("=", 1) for part in shlex.split(rest))
            elif word == "WORKDIR":
                stage.folder = rest
                stage.place(rest).mkdir(parents=True, exist_ok=True)
            elif word == "USER":
                stage.user = rest
            elif word == "RUN":
                stage.shell(rest)
            elif word == "COPY":
                copy(stage, stages, rest.split())
            else:
                stage.told[word] = rest
        earlier.close()
        yield stage


def copy(stage, stages, words):
    source_of = re.fullmatch(r"--from=(\w+)", words[0])
    source, target = words[-2:]
    to = stage.place(target)
    to.mkdir(parents=True, exist_ok=True)
    if source_of:
        subprocess.run(["cp", "-a", f"{stages[source_of[1]].place(source)}/.", str(to)], check=True)
        return
    assert source == "."
    packed = subprocess.Popen(["tar", "-C", str(ROOT), *ignored(), "-cf", "-", "."], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-C", str(to), "-xf", "-"], stdin=packed.stdout, check=True)
    assert packed.wait() == 0


def words_of(text):
    """Of ENTRYPOINT and CMD in the form of a list."""
    return json.loads(text[text.index("["):])
