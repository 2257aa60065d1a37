"""Which recipe reaches which accuracy, how surely, and what choosing on the test set would give.

    print(report(record_tables, rows, data))

The rules are in docs/records.md. Everything is computed from the predictions of declared seeds.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from ..data import Mnist
from ..errors import ModelError
from .results import Result
from .statistics import p_of_reaching, summarize
from .tables import accuracies_of, frontier_tables, interval_cell, mean_cell

GOALS = (0.99, 0.992, 0.995, 0.997, 0.9974, 0.9978)
RECORD = "a record"
LEVEL = 0.01  # of the test by which a mean is a record
# Networks in a committee, and the goal that it is held to. One and three of four-epochs were to
# take ten minutes and nine of ten-epochs 45; six are the most of which thirty seeds give five, ten
# are as many as others report. Three that learn before any pooling take half of 45 minutes.
COMMITTEES = {1: 0.997, 3: 0.997, 6: 0.9974, 9: 0.9974, 10: 0.9978}
LATE_POOLED_COMMITTEES = {1: 0.997, 3: 0.9974, 10: 0.9978}
ORDERS = 100  # in which networks are put at random, to draw committees
LONG = 600  # seconds, from which on five runs are enough for a row, not ten


def record_tables(rows: dict[str, list[Result]], data: Mnist) -> list[str]:
    """The fastest row for each goal, and what choosing on the test set would be worth."""
    return [goal_table(rows), choosing_table(rows, data)]


def accurate_tables(rows: dict[str, list[Result]], data: Mnist) -> list[str]:
    """Accuracy and seconds, and what choosing on the test set would be worth."""
    return [*frontier_tables(rows, data), choosing_table(rows, data)]


def goal_table(rows: dict[str, list[Result]]) -> str:
    """Return for each goal the fastest row whose mean reaches it, and the fastest record."""
    lines = [
        "| goal | fastest row whose mean reaches it, fastest record | mean ± sd (n) "
        "| seconds, median | p | is |",
        "|---|---|---|---|---|---|",
    ]
    fastest = sorted(rows.values(), key=lambda row: median(run.total_seconds for run in row))
    for goal in GOALS:
        reached = [row for row in fastest if reaches(accuracies_of(row), goal)]
        if not reached:
            lines.append(f"| {goal:.2%} | none | | | | missed |")
            continue
        for row in reached:
            p = p_of_reaching(accuracies_of(row), goal)
            seconds = median(run.total_seconds for run in row)
            verdict = judge(accuracies_of(row), goal, seconds)
            if row is reached[0] or verdict == RECORD:
                lines.append(
                    f"| {goal:.2%} | {row[0].recipe.name} | {mean_cell(accuracies_of(row))} "
                    f"| {seconds:.2f} | {p_cell(p)} | {verdict} |"
                )
            if verdict == RECORD:
                break
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
            mean_cell(accuracies_of(row)),
            f"{(majority(digits) == labels).mean():.2%}",
            f"{max(accuracies_of(row)):.2%}",
            "–" if math.isnan(best) else f"{best:.2%}",
        ]
        lines.append(f"| {row[0].recipe.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def committee_tables(
    rows: dict[str, list[Result]], data: Mnist, goals: dict[int, float] = COMMITTEES
) -> list[str]:
    """How well committees of consecutive seeds read, and after how many seconds."""
    return [committee_table(row, data, goals) for row in rows.values()]


def committee_table(
    row: Sequence[Result], data: Mnist, goals: dict[int, float] = COMMITTEES
) -> str:
    """Return how well each seed reads, the majorities of seeds 0 to 2, 3 to 5 and so on, and more.

    No seed is in two committees of a size, so that they are independent. Where one of its seeds is
    missing there is no committee. Its seconds are those of its networks, one after another. Each
    size has one goal, so that no size is chosen for its result. Beside their mean stands that of
    committees drawn at random, since a few may be lucky with their seeds or with their ties.
    """
    lines = [
        "| networks | mean ± sd (n) | 95% interval | drawn at random | seconds, median | goal | p "
        "| is |",
        "|---|---|---|---|---|---|---|---|",
    ]
    labels = row[0].labels(data)
    for size, goal in goals.items():
        groups: dict[int, list[Result]] = {}
        for run in row:
            groups.setdefault(run.seed // size, []).append(run)
        whole = [runs for runs in groups.values() if len(runs) == size]
        if not whole:
            continue
        read = [majority([run.digits for run in runs]) for runs in whole]
        accuracies = [float((digits == labels).mean()) for digits in read]
        seconds = median(sum(run.total_seconds for run in runs) for runs in whole)
        cells = [
            *(f"{size}", mean_cell(accuracies), interval_cell(summarize(accuracies).interval)),
            f"{100 * accuracy_of_any([run.digits for run in row], labels, size):.3f}",
            *(f"{seconds:.0f}", f"{goal:.2%}", p_cell(p_of_reaching(accuracies, goal))),
            judge(accuracies, goal, seconds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def judge(accuracies: Sequence[float], goal: float, seconds: float) -> str:
    """Return whether their mean reaches the goal, by the rules in docs/records.md."""
    fewest = 5 if seconds > LONG else 10
    if not reaches(accuracies, goal):
        return "missed"
    if len(accuracies) < fewest:
        return f"too few, n < {fewest}"
    return record_or_row(p_of_reaching(accuracies, goal))


def reaches(accuracies: Sequence[float], goal: float) -> bool:
    """Return whether the mean does."""
    # Ten accuracies have an exact mean in decimals, which their sum in binary may fall below.
    return round(summarize(accuracies).mean, 9) >= goal


def record_or_row(p: float) -> str:
    """Return what a mean that reaches its goal is."""
    return RECORD if p < LEVEL else "a row"


def p_cell(p: float) -> str:
    """Return p with two digits; a dash where the values give none."""
    return "–" if math.isnan(p) else f"{p:.2g}"


def check_committee(models: Sequence[Path]) -> None:
    """Refuse models that have no majority of their own.

    Raises:
        ModelError: there are two, or one comes twice.
    """
    if len(models) == 2:
        raise ModelError("got 2 models; a majority needs 3 or more; try `mnist compare`")
    for model in models:
        if sum(model.resolve() == other.resolve() for other in models) > 1:
            raise ModelError(f"{model}: given twice; expected models that differ")


def accuracy_of_any(digits: Sequence[np.ndarray], labels: np.ndarray, size: int) -> float:
    """Return the mean accuracy of committees of `size`, drawn at random; ties go at random too.

    Each network is in as many of them as any other.

    Args:
        digits: (N,) of each network to draw from.
        labels: (N,).
    """
    voters = np.stack(digits)
    differ = (voters != voters[0]).any(axis=0)  # the rest is read alike by any of them
    ballots = np.eye(10)[voters[:, differ]]  # (networks, images, 10)
    rng = np.random.default_rng(0)
    orders = rng.random((ORDERS, 1, len(voters))).argsort(axis=2)
    turns = (orders + np.arange(len(voters))[:, None]) % len(voters)
    weights = (turns < size) * (1 + 1e-3 * rng.random(turns.shape))  # all ties are broken
    read = np.tensordot(weights, ballots, 1).argmax(axis=3)
    right = (read == labels[differ]).sum(axis=2).mean() + (voters[0] == labels)[~differ].sum()
    return float(right / len(labels))


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
        # More than all later ones together, and even the first of them far less than a vote.
        votes[np.arange(len(digits)), digits] += 1 + 1e-5 * 0.5**number
    return votes
