"""When a reader may be sure: a promise about the whole number.

    found = calibrate(recognizer, source)

The probability that decoding gives a line is turned into how often such lines are right (logistic
regression on its logit, Platt 1999), on lines of digits that the network has not learned from:
those of employees by writers that it has not seen at all, those of students by writers of whom it
has seen other digits. The threshold is the lowest above which nearly all of them are right.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..errors import ModelError
from ..progress import track
from ..reader.reader import read_region
from ..reader.recognizer import RANGES, Recognizer
from ..reader.strips import Region
from .lines import LineSource
from .writing import write_line

RIGHT_IF_SURE = 0.98  # on made lines, which are harder than pictures
LINES = 20_000  # with 6,000 the threshold differed by 0.02 from one set of lines to the next
LONGEST = 8  # digits


@dataclass(frozen=True)
class Calibration:
    """What was chosen on one half of the lines, and how it does on the other; as in config.json.

    Attributes:
        slope, offset: of the logistic regression.
        threshold: a line is sure from this probability on.
        exact: the share of the other half that is read right.
        coverage, right_if_sure: the share of it that is sure, and of that, what is right.
        error_before, error: expected calibration error on it, without and with the regression.
        lines: how many lines had a number read on them, in both halves.
    """

    slope: float
    offset: float
    threshold: float
    exact: float
    coverage: float
    right_if_sure: float
    error_before: float
    error: float
    lines: int

    def as_config(self) -> dict[str, Any]:
        """Return what goes into config.json."""
        chosen = {name: getattr(self, name) for name in ("slope", "offset", "threshold")}
        return chosen | {"calibration": asdict(self)}


def calibrate(
    recognizer: Recognizer, source: LineSource, *, count: int = LINES, seed: int = 0
) -> Calibration:
    """Read lines of held-back digits and find what their probabilities are worth.

    Raises:
        ModelError: the network reads too few lines, or no threshold makes it right often enough.
    """
    probabilities, right = read_lines(recognizer, source, count, seed)
    chosen, rest = np.s_[: len(right) // 2], np.s_[len(right) // 2 :]
    if not right[chosen].any() or right[chosen].all():
        raise ModelError(
            f"got {right.sum()} of {len(right)} made lines read right; expected some right and "
            f"some wrong to calibrate by; try more --steps"
        )
    slope, offset = fit_logistic(probabilities[chosen], right[chosen])
    after = apply_logistic(probabilities, slope, offset)
    threshold = choose_threshold(after[chosen], right[chosen])
    sure = after[rest] >= threshold
    if not sure.any():
        raise _never_sure()
    return Calibration(
        slope=slope,
        offset=offset,
        threshold=threshold,
        exact=float(right[rest].mean()),
        coverage=float(sure.mean()),
        right_if_sure=float(right[rest][sure].mean()),
        error_before=calibration_error(probabilities[rest], right[rest]),
        error=calibration_error(after[rest], right[rest]),
        lines=len(right),
    )


def read_lines(
    recognizer: Recognizer, source: LineSource, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each line on which a number is read, and whether it is right."""
    rng = np.random.default_rng([seed, 17])
    probabilities, right = [], []
    with track("lines to calibrate by", count) as advance:
        for _ in range(0, count, 50):
            lines = [
                write_line(source.hands, rng, int(rng.integers(0, LONGEST + 1))) for _ in range(50)
            ]
            for line, darkness in zip(lines, source.photographs(lines, rng), strict=True):
                top, bottom, left, end = line.margins
                region = Region(left, top, end, bottom)
                decoded = read_region(recognizer, darkness, region).decoded
                if decoded.text:
                    probabilities.append(decoded.probability)
                    right.append(decoded.text == "".join(map(str, line.digits)))
                advance()
    return np.array(probabilities), np.array(right)


def _logit(probabilities: np.ndarray) -> np.ndarray:
    kept = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.log(kept / (1 - kept))


def apply_logistic(probabilities: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Return calibrated probabilities, as `Recognizer.calibrate` does."""
    return 1 / (1 + np.exp(-np.clip(slope * _logit(probabilities) + offset, -50, 50)))


def fit_logistic(probabilities: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Return the slope and the offset with the least cross-entropy."""

    def cross_entropy(parameters: np.ndarray) -> float:
        p = np.clip(apply_logistic(probabilities, *parameters), 1e-12, 1 - 1e-12)
        return -float(np.where(right, np.log(p), np.log(1 - p)).mean())

    slope, offset = minimize(cross_entropy, [1.0, 0.0], method="Nelder-Mead").x
    # Where right and wrong lines lie apart, it grows without end.
    return float(np.clip(slope, *RANGES["slope"])), float(np.clip(offset, *RANGES["offset"]))


def choose_threshold(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the lowest threshold from which on enough are right.

    Raises:
        ModelError: there is none.
    """
    order = np.argsort(-probabilities)
    share_right = right[order].cumsum() / np.arange(1, len(right) + 1)
    # All that are as probable reach a threshold together: a cut is only where the next is less so.
    ends = np.append(np.diff(probabilities[order]) < 0, True)
    enough = np.flatnonzero((share_right >= RIGHT_IF_SURE) & ends)
    if len(enough) == 0:
        raise _never_sure()
    return float(probabilities[order[enough[-1]]])


def _never_sure() -> ModelError:
    return ModelError(
        f"got no probability from which on {RIGHT_IF_SURE:.1%} of made lines are read right; "
        f"expected a network that can be sure; try more --steps"
    )


def calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, by bins."""
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(probabilities[which == b].mean() - right[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
