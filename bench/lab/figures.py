"""Markdown tables, a row as soon as it is known, and percentiles."""


def header(*columns):
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
