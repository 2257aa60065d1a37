"""From predictions to what can be said of them: accuracy, intervals, confusion.

    evaluation = evaluate(digits, data.test.labels)
    print(evaluation.accuracy, evaluation.interval)

Everything here works on NumPy arrays of digits; nothing needs torch.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
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
    interval = stats.binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (labels, predictions), 1)
    return Evaluation(
        accuracy=correct / len(labels),
        interval=(float(interval.low), float(interval.high)),
        errors=len(labels) - correct,
        confusion=confusion,
    )
