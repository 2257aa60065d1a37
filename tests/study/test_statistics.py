import math

import numpy as np
import pytest
from scipy import stats

from mnist_classification.study.published import DISPUTED
from mnist_classification.study.statistics import (
    bootstrap_interval,
    compare_family,
    evaluate,
    mcnemar,
    prediction_interval,
    summarize,
)

# The 95% Wilson intervals that a table of error counts gives, rounded to a hundredth of a percent.
WILSON = {13: (0.9978, 0.9992), 30: (0.9957, 0.9979), 80: (0.9901, 0.9936)}


@pytest.mark.parametrize(("errors", "interval"), WILSON.items())
def test_wilson_interval(errors, interval):
    labels = np.zeros(10_000, dtype=np.uint8)
    predictions = labels.copy()
    predictions[:errors] = 1
    evaluation = evaluate(predictions, labels)
    assert evaluation.errors == errors
    assert evaluation.accuracy == 1 - errors / 10_000
    assert evaluation.interval == pytest.approx(interval, abs=5e-5)
    assert evaluation.confusion[0, :2].tolist() == [10_000 - errors, errors]


def test_summary_by_hand():
    summary = summarize([0.99, 0.992, 0.994])
    assert (summary.n, summary.minimum, summary.maximum) == (3, 0.99, 0.994)
    assert summary.mean == pytest.approx(0.992)
    assert summary.std == pytest.approx(0.002)
    half = 4.302653 * 0.002 / math.sqrt(3)  # t of 97.5% with 2 degrees of freedom
    assert summary.interval == pytest.approx((0.992 - half, 0.992 + half))


def test_one_seed_has_no_interval():
    summary = summarize([0.99])
    assert summary.mean == 0.99
    assert math.isnan(summary.std)
    assert math.isnan(summary.interval[0])
    (comparison,) = compare_family([([0.99], [0.98])])
    assert math.isnan(comparison.detectable)
    assert comparison.verdict == "not enough seeds to tell"


def test_a_pair_that_cannot_be_tested_takes_nothing_from_the_others():
    rng = np.random.default_rng(3)
    pair = (rng.normal(0, 1, 5), rng.normal(2, 1, 5))
    alone, beside = compare_family([pair])[0], compare_family([([1.0], [2.0]), pair])[1]
    assert alone == beside


def test_equal_values_have_no_interval():
    summary = summarize([0.9908, 0.9908])
    assert summary.std == 0
    assert math.isnan(summary.interval[0])


def test_prediction_interval_covers_95_percent():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = prediction_interval(rng.normal(size=5), n=5)
        hits += low <= rng.normal(size=5).mean() <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_several_prediction_intervals_cover_95_percent_together():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(1000):
        inside = True
        for _ in range(4):
            low, high = prediction_interval(rng.normal(size=5), n=5, intervals=4)
            inside &= low <= rng.normal(size=5).mean() <= high
        hits += inside
    assert 0.94 < hits / 1000 < 0.98


def test_a_detectable_difference_is_found_in_80_percent_of_repetitions():
    rng = np.random.default_rng(5)
    values = np.array([-1.0, -0.5, 0, 0.5, 1])  # as many and as spread on both sides: 8 degrees
    (comparison,) = compare_family([(values, values + 0.1)])
    error = math.sqrt(2 * values.var(ddof=1) / 5)
    spread = np.sqrt(rng.chisquare(8, 50_000) / 8)
    t = (rng.normal(size=50_000) + comparison.detectable / error) / spread
    assert (t > stats.t.ppf(0.975, 8)).mean() == pytest.approx(0.8, abs=0.01)


def test_welch_agrees_with_scipy():
    rng = np.random.default_rng(1)
    before, after = rng.normal(0.99, 0.001, 5), rng.normal(0.991, 0.003, 9)
    (comparison,) = compare_family([(before, after)])
    reference = stats.ttest_ind(after, before, equal_var=False)
    assert comparison.p_value == pytest.approx(reference.pvalue)
    assert comparison.interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert comparison.difference == pytest.approx(after.mean() - before.mean())


def test_verdicts():
    low, high = [0.98, 0.981, 0.982], [0.99, 0.991, 0.992]
    assert compare_family([(low, high)])[0].verdict == "helps"
    assert compare_family([(high, low)])[0].verdict == "hurts"
    assert compare_family([(low, low)])[0].verdict == "not enough seeds to tell"


def test_holm_intervals_exclude_zero_exactly_when_holm_rejects():
    rng = np.random.default_rng(2)
    for _ in range(60):
        pairs = [
            (rng.normal(0, 1, 5), rng.normal(shift, 1, 5)) for shift in rng.uniform(0, 4, size=6)
        ]
        comparisons = compare_family(pairs)
        # Holm's procedure as the textbook has it.
        order = sorted(comparisons, key=lambda c: c.p_value)
        rejected = 0
        while rejected < 6 and order[rejected].p_value < 0.05 / (6 - rejected):
            rejected += 1
        for rank, comparison in enumerate(order):
            excludes_zero = comparison.interval[0] > 0 or comparison.interval[1] < 0
            assert excludes_zero == (rank < rejected)


def test_bootstrap_over_images_is_the_binomials_for_one_run():
    correct = np.ones((1, 10_000), dtype=bool)
    correct[0, :80] = False
    low, high = bootstrap_interval(correct.mean(axis=0))
    half = 1.96 * math.sqrt(0.992 * 0.008 / 10_000)
    assert (low, high) == pytest.approx((0.992 - half, 0.992 + half), abs=3e-4)


def test_mcnemar_by_hand():
    first = np.array([True] * 8 + [False] * 2 + [True] * 10)
    second = np.array([False] * 8 + [True] * 2 + [True] * 10)
    only_first, only_second, p = mcnemar(first, second)
    assert (only_first, only_second) == (8, 2)
    assert p == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_there_are_15_disputed_labels():
    assert len(set(DISPUTED)) == 15
    assert all(0 <= index < 10_000 for index in DISPUTED)


def test_a_spread_that_rounding_made_is_none():
    before, after = [0.9913] * 5, [0.9876] * 5
    assert 0 < np.std(before, ddof=1) < 1e-15
    (comparison,) = compare_family([(before, after)])
    assert math.isnan(comparison.p_value)
    assert comparison.verdict == "not enough seeds to tell"
