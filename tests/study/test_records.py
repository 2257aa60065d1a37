"""Goals and choices, every figure checked by hand."""

import numpy as np
import pytest
from scipy import stats

from mnist_classification.study.records import (
    choosing_table,
    committee_tables,
    count_votes,
    goal_table,
    majority,
)

from .conftest import cells, rows_with


def test_a_goal_goes_to_the_fastest_mean_that_reaches_it(mnist):
    rows = rows_with(
        mnist.test.labels,
        half_epoch=[85, 95, 117],  # 99.01 on average, but one seed is below
        two_epochs=[40, 41, 42],
        eight_epochs=[31, 32, 33],
    )
    for (name, row), seconds in zip(rows.items(), (1.0, 5.0, 30.0), strict=True):
        rows[name] = [type(r)(**vars(r) | {"total_seconds": seconds}) for r in row]
    table = goal_table(rows)
    half, two = cells(table, "99.00%"), cells(table, "99.50%")
    assert half[1:4] == ["half-epoch", "99.010 ± 0.164 (3)", "1.00"]
    assert half[5] == "a row"
    assert two[1:] == ["two-epochs", "99.590 ± 0.010 (3)", "5.00", "0.002", "a record"]
    t = 0.09 / (0.01 / 3**0.5)  # of the mean above its goal, by hand
    assert stats.t.sf(t, 2) == pytest.approx(0.00204, abs=1e-5)
    assert cells(table, "99.70%")[1:] == ["none", "", "", "", "missed"]


def test_a_mean_that_is_the_goal_reaches_it(mnist):
    """In binary the mean of these ten comes out a bit below 0.997."""
    errors = [26, 28, 25, 35, 25, 34, 29, 31, 32, 35]
    assert sum(errors) == 300
    table = goal_table(rows_with(mnist.test.labels, eight_epochs=errors))
    assert cells(table, "99.70%")[1] == "eight-epochs"
    table = goal_table(rows_with(mnist.test.labels, eight_epochs=[*errors[:-1], 36]))
    assert cells(table, "99.70%")[1] == "none"


def test_choosing_by_hand(mnist):
    rows = rows_with(mnist.test.labels, half_epoch=[0, 0, 50, 50])
    (row,) = rows.values()
    # The errors of seeds 2 and 3 are the same first 50 images; with either of the others beside
    # them they win, with both they tie, and the first one breaks ties.
    name, mean, everybody, best, three = cells(choosing_table(rows, mnist), "half-epoch")
    assert (name, mean) == ("half-epoch", "99.750 ± 0.289 (4)")
    assert (everybody, best, three) == ("100.00%", "100.00%", "100.00%")
    assert (majority([row[2].digits, row[3].digits, row[0].digits]) == row[2].digits).all()


def test_committees_of_three_by_hand(mnist):
    (row,) = rows_with(mnist.test.labels, half_epoch=[0, 0, 50, 50, 50, 0, 50]).values()
    row = [
        type(run)(**vars(run) | {"total_seconds": seconds})
        for run, seconds in zip(row, (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 90.0), strict=True)
    ]
    (table,) = committee_tables({"half-epoch": row}, mnist)
    lines = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [line[1] for line in lines] == ["1", "3"]  # no two whole committees of ten
    assert lines[0][2:5] == ["99.714 ± 0.267 (7)", "99.467 to 99.961", "4"]
    # 0, 0 and 50 errors make none, 50, 50 and 0 make 50; 6 and 16 seconds; the seventh is left.
    assert lines[1][2] == "99.750 ± 0.354 (2)"
    assert lines[1][4] == "11"
    t = (0.9975 - 0.997) / (0.0025)  # the standard error of 1 and 0.995 is half their distance
    assert float(lines[1][5]) == pytest.approx(stats.t.sf(t, 1), abs=0.05)


def test_votes_are_counted_and_the_first_breaks_ties():
    votes = count_votes([np.array([3, 1]), np.array([5, 1]), np.array([5, 2])])
    np.testing.assert_allclose(votes.sum(axis=1), 3, atol=1e-4)
    assert votes[0, [3, 5]] == pytest.approx([1, 2], abs=1e-4)
    assert majority([np.array([7]), np.array([2])]).tolist() == [7]
    assert majority([np.array([2]), np.array([7])]).tolist() == [2]
