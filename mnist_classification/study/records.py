"""Which recipe reaches which accuracy, how surely, and what choosing on the test set would give.

    print(report(record_tables, rows, data))

The rules are in docs/records.md. Everything is computed from the predictions of declared seeds.
"""

import itertools
import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from ..data import Mnist
from .results import Result
from .statistics import p_of_reaching, summarize
from .tables import frontier_tables, interval_cell, mean_cell

GOALS = (0.99, 0.992, 0.995, 0.997, 0.9974, 0.9978)
LEVEL = 0.01  # of the test by which a mean is a record
COMMITTEES = (1, 3, 6, 10)  # networks in each: of thirty, six are the most that leave five


def record_tables(rows: dict[str, list[Result]], data: Mnist) -> list[str]:
    """The fastest row for each goal, and what choosing on the test set would be worth."""
    return [goal_table(rows), choosing_table(rows, data)]


def accurate_tables(rows: dict[str, list[Result]], data: Mnist) -> list[str]:
    """Accuracy and seconds, and what choosing on the test set would be worth."""
    return [*frontier_tables(rows, data), choosing_table(rows, data)]


def goal_table(rows: dict[str, list[Result]]) -> str:
    """Return for each goal the fastest row whose mean reaches it, and whether it is a record."""
    lines = [
        "| goal | fastest row whose mean reaches it | mean ± sd (n) | seconds, median | p | is |",
        "|---|---|---|---|---|---|",
    ]
    fastest = sorted(rows.values(), key=lambda row: median(run.total_seconds for run in row))
    for goal in GOALS:
        # Ten accuracies have an exact mean in decimals, which their sum in binary may fall below.
        reached = [row for row in fastest if round(summarize(_accuracies(row)).mean, 9) >= goal]
        if not reached:
            lines.append(f"| {goal:.2%} | none | | | | missed |")
            continue
        row = reached[0]
        p = p_of_reaching(_accuracies(row), goal)
        seconds = median(run.total_seconds for run in row)
        lines.append(
            f"| {goal:.2%} | {row[0].recipe.name} | {mean_cell(_accuracies(row))} "
            f"| {seconds:.2f} | {p:.1g} | {'a record' if p < LEVEL else 'a row'} |"
        )
    return "\n".join(lines)


def choosing_table(rows: dict[str, list[Result]], data: Mnist) -> str:
    """Return what the same runs give when seeds, and committees, are chosen on the test set."""
    lines = [
        "| row | mean of declared seeds | majority of all of them | best seed, chosen on the test "
        "set | best three, likewise |",
        "|---|---|---|---|---|",
    ]
    for row in rows.values():
        labels = row[0].labels(data)
        digits = [run.digits for run in row]
        triples = [majority(three) for three in itertools.combinations(digits, 3)]
        best = max((float((three == labels).mean()) for three in triples), default=math.nan)
        cells = [
            mean_cell(_accuracies(row)),
            f"{(majority(digits) == labels).mean():.2%}",
            f"{max(_accuracies(row)):.2%}",
            "–" if math.isnan(best) else f"{best:.2%}",
        ]
        lines.append(f"| {row[0].recipe.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def committee_tables(rows: dict[str, list[Result]], data: Mnist) -> list[str]:
    """Return how well, and after how many seconds, committees of consecutive seeds read.

    Each seed sits in one committee of each size, so that the committees are independent; what is
    left over after the last whole one sits in none. A committee's digit is that of its majority,
    its seconds are those of its networks, one after another.
    """
    goals = GOALS[-3:]
    lines = [
        "| row | networks | committees' mean ± sd (n) | 95% interval | seconds, median | "
        + " | ".join(f"p of {goal:.2%}" for goal in goals)
        + " |",
        "|---" * (5 + len(goals)) + "|",
    ]
    for row in rows.values():
        labels = row[0].labels(data)
        for size in COMMITTEES:
            firsts = range(0, len(row) - size + 1, size)
            if len(firsts) < 2:  # one committee has no spread
                continue
            whole = [row[first : first + size] for first in firsts]
            read = [majority([run.digits for run in runs]) for runs in whole]
            accuracies = [float((digits == labels).mean()) for digits in read]
            seconds = median(sum(run.total_seconds for run in runs) for runs in whole)
            cells = [
                *(row[0].recipe.name, str(size), mean_cell(accuracies)),
                *(interval_cell(summarize(accuracies).interval), f"{seconds:.0f}"),
                *(f"{p_of_reaching(accuracies, goal):.1g}" for goal in goals),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return ["\n".join(lines)]


def majority(voters: Sequence[np.ndarray]) -> np.ndarray:
    """Return the digit that most voters read on each image: (N,)."""
    return count_votes(voters).argmax(axis=1)


def count_votes(voters: Sequence[np.ndarray]) -> np.ndarray:
    """Return how many read which digit on each image: (N, 10) float; who is first breaks ties.

    Args:
        voters: (N,) digits each.
    """
    votes = np.zeros((len(voters[0]), 10))
    for number, digits in enumerate(voters):
        votes[np.arange(len(digits)), digits] += 1 - 1e-6 * number
    return votes


def _accuracies(row: Sequence[Result]) -> list[float]:
    return [run.accuracy for run in row]
