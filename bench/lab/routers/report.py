"""Rows of the tables, the best first, and a sentence that says where others are ahead of batchproxy."""
import statistics
from dataclasses import dataclass

from ..peers.report import cell
from .asking import RIGHT
from .recipes import OURS, ROUTERS

AHEAD = 0.02  # of ours: less is no difference


@dataclass(frozen=True)
class Column:
    """A figure of a sample. `more_is_better`: None where neither is."""
    title: str
    key: str
    digits: int = 0
    more_is_better: bool | None = None

    @property
    def name(self):
        """Without its unit."""
        return self.title.partition(",")[0].removesuffix(" ms")


def errors_of(sample):
    return sum(count for kind, count in sample["seen"].items() if kind != RIGHT)


def value_of(sample, column):
    return errors_of(sample) if column.key == "errors" else sample[column.key]


def by_round(samples, router, column):
    """{round: value} where it was measured and there is one."""
    found = {sample["round"]: value_of(sample, column) for sample in samples
             if sample["router"] == router and "failed" not in sample}
    return {number: value for number, value in found.items() if value is not None}


def cell_of(samples, router, column):
    return cell(list(by_round(samples, router, column).values()), column.digits)


def title_of(router, titles):
    return f"**{titles[router]}**" if router == OURS else titles[router]


def ranked(samples, *columns):
    """The routers that were measured, the best in the first column first, then by the second."""
    def place(router):
        medians = [(column, statistics.median(by_round(samples, router, column).values())) for column in columns
                   if by_round(samples, router, column)]
        return [-median if column.more_is_better else median for column, median in medians]
    measured = [router for router in ROUTERS if any(by_round(samples, router, column) for column in columns)]
    return sorted(measured, key=place)


def is_ahead(theirs, ours, column):
    """Whether a value of another router is better than ours by more than a little."""
    margin = AHEAD * abs(ours)
    return theirs > ours + margin if column.more_is_better else theirs < ours - margin


def ahead(samples, column):
    """[(router, how its median compares, in how many rounds it is ahead, of how many)], of those whose median is."""
    ours = by_round(samples, OURS, column)
    found = []
    for router in ranked(samples, column):
        theirs = by_round(samples, router, column)
        rounds = sorted(theirs.keys() & ours.keys())
        if router == OURS or not rounds:
            continue
        middle = [statistics.median(values[number] for number in rounds) for values in (theirs, ours)]
        if is_ahead(*middle, column):
            times = f"{middle[0] / middle[1]:.2f} times ours" if middle[1] else f"{middle[0]:g} for 0"
            wins = sum(is_ahead(theirs[number], ours[number], column) for number in rounds)
            found.append((router, times, wins, len(rounds)))
    return found


def say_who_is_ahead(samples, titles, columns, whole=False):
    """`whole`: only those count that have lost no more questions than we, so that losing them is no merit."""
    if not any(sample["router"] == OURS and "failed" not in sample for sample in samples):
        return
    fair = samples
    if whole:
        errors = Column("errors", "errors")
        most = statistics.median(by_round(samples, OURS, errors).values())
        fair = [sample for sample in samples if sample["router"] == OURS or
                statistics.median(by_round(samples, sample["router"], errors).values() or [most + 1]) <= most]
    of_whom = " of those that lose no more questions" if whole else ""
    lines, nobody = [], []
    for column in columns:
        others = [f"{titles[router]} ({times}, in {wins} of {rounds} rounds)" for router, times, wins, rounds in
                  ahead(fair, column)]
        if others:
            lines.append(f"* in {column.name}: {'; '.join(others)}")
        else:
            nobody.append(column.name)
    if lines:
        print("\n".join([f"\n**Ahead of batchproxy{of_whom}:**\n", *lines]))
    if nobody:
        print(f"\nNobody{of_whom} is ahead of batchproxy by more than {100 * AHEAD:.0f} % in {', '.join(nobody)}.")
