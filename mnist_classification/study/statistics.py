"""From predictions and accuracies to what can be said of them.

    evaluation = evaluate(digits, data.test.labels)          # one model on one test set
    summary = summarize([0.9921, 0.9933, 0.9927])            # one recipe over its seeds
    comparison, = compare_family([(before, after)])          # two recipes over their seeds

Two uncertainties are kept apart: seeds differ (t and Welch intervals), and 10,000 images are a
sample (Wilson intervals, bootstrap over images). Everything here works on NumPy arrays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used

POWER = 0.8  # with which a difference is to be found for it to count as detectable
ROUNDING = 1e-9  # a spread below it is none: one image in 10,000 is 1e-4


@dataclass(frozen=True, eq=False)  # arrays have no single answer to whether they are equal
class Evaluation:
    """One model's predictions beside the labels.

    Attributes:
        accuracy: share of images read rightly, 0 to 1.
        interval: 95% Wilson interval of the accuracy: the uncertainty that comes from having so
            many images and no more.
        errors: number of images read wrongly.
        confusion: (10, 10) int, counts; row is the label, column the prediction.
    """

    accuracy: float
    interval: tuple[float, float]
    errors: int
    confusion: np.ndarray


def evaluate(predictions: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compare predicted digits with labels, both (N,) integers from 0 to 9."""
    correct = int((predictions == labels).sum())
    interval = scipy.stats.binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (labels, predictions), 1)
    return Evaluation(
        accuracy=correct / len(labels),
        interval=(float(interval.low), float(interval.high)),
        errors=len(labels) - correct,
        confusion=confusion,
    )


@dataclass(frozen=True)
class Summary:
    """Accuracies of one recipe over n seeds; `std` is NaN for n = 1.

    Attributes:
        interval: 95% t interval of the mean; NaN where there is no spread to tell it by.
    """

    n: int
    mean: float
    std: float
    interval: tuple[float, float]
    minimum: float
    maximum: float


def summarize(values: Sequence[float]) -> Summary:
    """Return mean, sample standard deviation and 95% interval of one value per seed."""
    mean, std = float(np.mean(values)), _std(values)
    spread = std if std > ROUNDING else math.nan
    half = _t(len(values) - 1) * spread / math.sqrt(len(values))
    return Summary(len(values), mean, std, (mean - half, mean + half), min(values), max(values))


def p_of_reaching(values: Sequence[float], goal: float) -> float:
    """Return the one-sided p value of the mean reaching the goal by chance: t test over seeds.

    NaN where there is no spread to test with: one value, or equal ones.
    """
    if not _std(values) > ROUNDING:
        return math.nan
    return float(scipy.stats.ttest_1samp(values, goal, alternative="greater").pvalue)


def prediction_interval(
    values: Sequence[float], n: int = 5, intervals: int = 1
) -> tuple[float, float]:
    """Return where the mean of n more seeds lies in 95% of cases, if they are like these.

    Args:
        intervals: how many such intervals are to hold together in 95% of cases (Bonferroni): of
            eight that hold one by one, one or more misses in a third of all cases.
    """
    mean, count = float(np.mean(values)), len(values)
    half = _t(count - 1, 0.05 / intervals) * _std(values) * math.sqrt(1 / count + 1 / n)
    return mean - half, mean + half


def _std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _t(degrees: float, level: float = 0.05) -> float:
    """Return the t quantile that leaves `level` in both tails together."""
    return float(scipy.stats.t.ppf(1 - level / 2, degrees)) if degrees > 0 else math.nan


@dataclass(frozen=True)
class Comparison:
    """What changes from one set of seeds to another.

    Attributes:
        difference: mean after minus mean before.
        interval: Welch's, at the confidence that Holm's correction asks for, 95% for one alone; it
            goes with the verdict, and the intervals of a family are not joint ones.
        p_value: two-sided, of Welch's t test, not corrected.
        detectable: the true difference that 80% of repetitions with as many seeds, and as much
            spread, would find at that confidence.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    detectable: float

    @property
    def verdict(self) -> str:
        """Whether the change helps or hurts, or that these seeds can't tell."""
        low, high = self.interval
        if low > 0:
            return "helps"
        return "hurts" if high < 0 else "not enough seeds to tell"


def compare_family(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[Comparison]:
    """Compare (before, after) accuracies over seeds, with Holm's correction over all the pairs.

    Welch, "The generalization of Student's problem" (1947); Holm, "A simple sequentially
    rejective multiple test procedure" (1979): the smallest p is held to 0.05/m, the next to
    0.05/(m-1) and so on until one fails; it and all after it show nothing. Each interval is at
    the level that its pair was held to, so that it excludes zero exactly when Holm rejects.
    """
    tests = [_welch(before, after) for before, after in pairs]
    levels = [0.05] * len(tests)
    testable = [i for i, (*_, p) in enumerate(tests) if not math.isnan(p)]
    failed_at = None
    for rank, index in enumerate(sorted(testable, key=lambda i: tests[i][3])):
        level = failed_at or 0.05 / (len(testable) - rank)
        levels[index] = level
        if tests[index][3] >= level:
            failed_at = level
    comparisons = []
    for (difference, error, degrees, p), level in zip(tests, levels, strict=True):
        half = _t(degrees, level) * error
        interval = (difference - half, difference + half)
        detectable = _detectable(error, degrees, level)
        comparisons.append(Comparison(difference, interval, p, detectable))
    return comparisons


def _welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the difference of means, its standard error, degrees of freedom and p."""
    difference = float(np.mean(after) - np.mean(before))
    parts = [_std(values) ** 2 / len(values) for values in (before, after)]
    error = math.sqrt(sum(parts))
    if not error > ROUNDING:  # one seed, or no spread: nothing to compare by
        return difference, math.nan, math.nan, math.nan
    degrees = error**4 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (before, after), strict=True)
    )
    p = 2 * float(scipy.stats.t.sf(abs(difference) / error, degrees))
    return difference, error, degrees, p


def _detectable(error: float, degrees: float, level: float) -> float:
    """Return the true difference that Welch's test at that level finds with a power of 80%.

    Args:
        error: the standard error of the difference. degrees: of freedom.
    """
    if math.isnan(error):
        return math.nan
    critical = _t(degrees, level)

    def missing_power(shift: float) -> float:
        return float(scipy.stats.nct.sf(critical, degrees, shift)) - POWER

    return error * float(scipy.optimize.brentq(missing_power, 0.0, 50 + 10 * critical))


def bootstrap_interval(share: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """Return the 95% interval of a mean over test images that comes from the choice of images.

    Args:
        share: (images,) float: of the runs, how many read an image rightly; or the difference of
            two such shares. Each resample draws images, with all runs on them.
    """
    values, counts = np.unique(share, return_counts=True)  # a few: each is drawn so many times
    drawn = np.random.default_rng(0).multinomial(len(share), counts / len(share), size=resamples)
    low, high = np.quantile(drawn @ values / len(share), [0.025, 0.975])
    return float(low), float(high)


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int, float]:
    """Compare two models on the same images by McNemar's exact test (1947).

    Args:
        first_correct, second_correct: (N,) bool.

    Returns:
        How many images only the first reads rightly, how many only the second, and the two-sided
        p of so uneven a split if both were as good.
    """
    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((second_correct & ~first_correct).sum())
    if only_first + only_second == 0:
        return 0, 0, 1.0
    p = scipy.stats.binomtest(only_first, only_first + only_second).pvalue
    return only_first, only_second, float(p)
