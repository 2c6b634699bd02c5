"""Markdown of a run's samples: medians over the rounds, with least and most."""
import statistics

from ..figures import header, row
from .cases import (BACKENDS, COMPLETION, GROWN_BY_CONNECTIONS, HOPS, ONCE, OURS, PLAIN_HOPS, RAG, RATES, SHORT,
                    SIZES, TITLES, TLS_TITLES)


def cell(values, digits=1):
    if not values:
        return ""
    shown = [f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return shown[0] if shown[0] == shown[1] == shown[2] else f"{shown[0]} ({shown[1]}-{shown[2]})"


def table(title, columns, rows):
    print(f"\n{title}\n")
    header(*columns)
    for cells in rows:
        row(*cells)


class Report:
    def __init__(self, rounds):
        self._options, self._counts, self._samples = rounds.options, rounds.counts, rounds.samples

    def _by_round(self, key, **where):
        return {sample["round"]: sample[key] for sample in self._samples
                if all(sample[name] == value for name, value in where.items())}

    def _value(self, key, digits=1, **where):
        return cell(list(self._by_round(key, **where).values()), digits)

    def _ratio(self, key, of, **where):
        """To the value at `of` (what differs from `where`) in the same round."""
        ours, theirs = self._by_round(key, **where), self._by_round(key, **{**where, **of})
        return cell([ours[number] / theirs[number] for number in ours if theirs.get(number, 0) > 0], 2)

    def _costs(self, title, targets, **where):
        rows = []
        for target in targets:
            mine = {**where, "target": target}
            costs = [self._value("cpu_us", **mine)]
            costs += [self._ratio("cpu_us", {"target": other}, **mine) for other in ("haproxy", "copy")]
            if target == "direct":  # no hop that could cost anything
                costs = [""] * len(costs)
            rows.append([TITLES[target], *costs, self._value("per_call", 2, **mine),
                         self._value("per_second", 0, **mine)])
        table(title, ["", "CPU us/request", "x HAProxy", "x floor", "requests per call", "requests/s, all on one core"],
              rows)

    def _load(self):
        for body in (SHORT, RAG, COMPLETION):
            self._costs(f"64 connections, {body.name}, {body.size:,} B", TITLES, part="load", body=body.name,
                        connections=64)
        self._costs("512 connections, short, 281 B", PLAIN_HOPS, part="load", body="short", connections=512)

    def _stream(self):
        self._costs("64 streams of 16 events 1 ms apart; a request is a stream", HOPS, part="stream")

    def _merge(self):
        self._costs("256 connections, completion, 5,120 B, one token", HOPS, part="merge")

    def _tls(self):
        for body in (SHORT, RAG, ONCE):
            kind = "each on a connection of its own, with a whole handshake" if body.once else "connections kept"
            rows = []
            for target, title in TLS_TITLES.items():
                mine = {"part": "tls", "body": body.name, "target": target}
                peer = "haproxy-tls" if target.endswith("-tls") else "haproxy"
                rows.append([title, self._value("cpu_us", **mine), self._ratio("cpu_us", {"target": peer}, **mine),
                             self._value("per_second", 0, **mine), self._ratio("per_second", {"target": peer}, **mine)])
            table(f"64 connections, {body.size:,} B, P-256; {kind}",
                  ["", "CPU us/request", "x HAProxy", "requests/s, all on one core", "x HAProxy"], rows)

    def _latency(self):
        for rate in RATES:
            self._latency_at(rate)

    def _latency_at(self, rate):
        rows = []
        for target in HOPS:
            mine = {"part": "latency", "target": target, "rate": rate}
            rows.append([TITLES[target]] + [
                shown for percent in (50, 99)
                for shown in (self._value(f"added_p{percent}", 0, **mine),
                              self._ratio(f"added_p{percent}", {"target": "haproxy"}, **mine),
                              self._value(f"direct_p{percent}", 0, **mine))])
        table(f"Added latency in us: an open loop of {rate:,} requests/s, and as many directly, 281 B, 64 connections",
              ["", "p50", "x HAProxy", "p50 direct", "p99", "x HAProxy", "p99 direct"], rows)

    def _idle(self):
        rows = []
        for target in HOPS:
            mine = {"part": "idle", "target": target}
            rows.append([TITLES[target], *(self._value(f"at_{count}", **mine) for count in [0, *self._counts.idle]),
                         self._value("each_kib", 2, **mine), self._ratio("each_kib", {"target": "haproxy"}, **mine),
                         *(self._value(key, **mine) for key in ("loaded", "huge", "rested"))])
        table("Resident memory in MiB with connections that have made a request and rest, and with load on 64",
              ["", "at the start", *(f"{count:,}" for count in self._counts.idle), "KiB each", "x HAProxy",
               "5 kB bodies", "1 MB bodies", "2 s later"], rows)

    def _scale(self):
        self._growth("connections", GROWN_BY_CONNECTIONS, "connections",
                     {count: f"{count:,}" for count in self._counts.load},
                     "the same, but for what caches no longer hold when so many are busy: the floor shows how "
                     "much that is")
        self._growth("bodies", OURS, "body", {body.name: f"{body.size:,} B" for body in SIZES},
                     "a fixed part, and one in proportion to the bytes: they are received, scanned and sent once")
        self._growth("backends", OURS, "backends", {count: str(count) for count in BACKENDS},
                     "a fixed part and a look at each backend; each is probed by the clock besides")

    def _growth(self, part, targets, key, values, expected):
        """How the cost grows with sample[key], whose values are shown as `values` says."""
        rows = []
        first = next(iter(values))
        for target in targets:
            for value, shown in values.items():
                mine = {"part": part, "target": target, key: value}
                rows.append([TITLES[target], shown, self._value("cpu_us", **mine),
                             self._ratio("cpu_us", {key: first}, **mine)])
                if key == "body":
                    rows[-1].append(self._per_byte(target, value))
        columns = ["", part, "CPU us/request", f"x that of {values[first]}"]
        table(f"CPU us/request over {part}. Expected: {expected}.", columns + ["ns per further byte"] * (key == "body"),
              rows)

    def _per_byte(self, target, name):
        costs = [self._by_round("cpu_us", part="bodies", target=target, body=body) for body in (SHORT.name, name)]
        further = {body.name: body.size - SHORT.size for body in SIZES}[name]
        if not further:
            return ""
        return cell([1e3 * (cost - costs[0][number]) / further for number, cost in costs[1].items()], 3)

    def show(self):
        print(f"\n{self._options.rounds} rounds of {self._options.seconds:g} s each; medians (least-most), "
              "ratios within a round.")
        for part, show in {"load": self._load, "stream": self._stream, "merge": self._merge, "tls": self._tls,
                           "latency": self._latency, "idle": self._idle, "scale": self._scale}.items():
            if part in self._options.parts:
                show()
        loads = [sample for sample in self._samples if "others" in sample]
        if loads:
            others = [100 * sample["others"] for sample in loads]
            print(f"\nOther programs had {statistics.median(others):.0f} % of the core (most {max(others):.0f} %).")
        for sample in loads:
            if sample["failed"]:
                print(f"\n**{sample['failed']} requests failed**: round {sample['round']}, {sample['part']}, "
                      f"{sample['target']}, {sample['body']}, {sample['connections']} connections")
