"""What was measured, in a file of JSON lines if one is wanted: a run that was stopped goes on there."""
import json


class Samples:
    """`settings`: what makes samples comparable; those of a file with others are refused."""

    def __init__(self, file, settings):
        self._file, self._all = file, []
        if file is None:
            return
        if file.exists() and file.stat().st_size:
            self._read(settings)
        else:
            file.write_text(json.dumps({"settings": settings}) + "\n")

    def _read(self, settings):
        whole = [line for line in self._file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        try:
            first, *rest = [json.loads(line) for line in whole]
            before = first["settings"]
        except (ValueError, KeyError, TypeError):
            raise SystemExit(f"{self._file} is no file of this subcommand; name another one with --out") from None
        other = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
        if other:
            told = ", ".join(f"{name} {before.get(name)}, not {settings.get(name)}" for name in other)
            raise SystemExit(f"{self._file} is of a run with {told}; name another file with --out")
        self._all = rest
        self._file.write_text("".join(whole))  # without a line that was cut off

    def has(self, **key):
        return any(self._is(sample, key) for sample in self._all)

    def of(self, **key):
        return [sample for sample in self._all if self._is(sample, key)]

    def add(self, sample):
        """One that has failed is not kept in the file, so that it is tried again."""
        self._all.append(sample)
        if self._file is not None and "failed" not in sample:
            with self._file.open("a") as out:
                out.write(json.dumps(sample) + "\n")

    @staticmethod
    def _is(sample, key):
        return all(sample.get(name) == value for name, value in key.items())
