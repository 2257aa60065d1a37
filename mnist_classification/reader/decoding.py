"""What the network saw step by step → a number, how probable it is, and where its digits are.

    decoded = decode([recognizer.read(strip.image)])
    decoded.text, decoded.probability         # "2047", 0.98
    decoded.probabilities                     # (4, 10), of each digit were it another one

The probability of a number is the sum over all ways in which the steps spell it (connectionist
temporal classification, Graves et al. 2006). Several views of one line vote with theirs.
"""

from dataclasses import dataclass

import numpy as np

BLANK = 10  # the class of "nothing new"
TINY = 1e-30
ROUNDING = 1e-9  # share by which one text's probability may differ from row to row
MOST = 16  # digits of a text whose neighbours are tried; their cost grows with its cube
LIKELY = 0.3  # of a text's probability: one with a digit more, where there is ink for it, has that


@dataclass(frozen=True)
class Decoded:
    """What a line says.

    Attributes:
        text: the digits.
        probability: of the whole text, the mean over the views.
        probabilities: (N, 10) float32, for each digit, were the others as they are; of more than
            MOST digits, of the step where it was seen best, in the first view.
        spans: (N, 2) first step of each digit and the one after its last, in the first view.
    """

    text: str
    probability: float
    probabilities: np.ndarray
    spans: np.ndarray


def decode(views: list[np.ndarray]) -> Decoded:
    """Return the text that is the most probable over all views of a line.

    Args:
        views: (steps, 11) probabilities each.
    """
    candidates = sorted({best_path(view) for view in views})
    if candidates == [""]:  # as of most that is no writing: nothing to compare
        probability = float(np.mean([np.prod(view[:, BLANK], dtype=float) for view in views]))
        return Decoded("", probability, np.zeros((0, 10), np.float32), np.zeros((0, 2), int))
    scores = score_texts(views, candidates)
    text = candidates[int(scores.argmax())]
    if not text:
        return Decoded(
            "", float(scores.max()), np.zeros((0, 10), np.float32), np.zeros((0, 2), int)
        )
    return _refine(views, text, float(scores.max()))


def put_in(views: list[np.ndarray], decoded: Decoded, places: list[int]) -> Decoded:
    """Return what a line says with one digit more at each of these places where that can be.

    A text of more than MOST digits stays as it is.

    Args:
        places: how many of the digits are left of it, from the left.
    """
    text, probability = decoded.text, decoded.probability
    for place in reversed(places) if len(text) <= MOST else ():
        longer = [text[:place] + str(digit) + text[place:] for digit in range(10)]
        scores = score_texts(views, longer)
        if scores.max() >= max(LIKELY * probability, TINY):
            text, probability = longer[int(scores.argmax())], float(scores.max())
    return decoded if text == decoded.text else _refine(views, text, probability)


def _refine(views: list[np.ndarray], text: str, probability: float) -> Decoded:
    """Change one digit after the other while that makes the text more probable.

    A text of more than MOST digits stays as it is, and each digit's probabilities are those of the
    steps where it was seen, in the first view.
    """
    if len(text) > MOST:
        spans = align(views[0], text)
        seen = np.array([views[0][first:end, :BLANK].max(axis=0) for first, end in spans])
        share = seen / np.maximum(seen.sum(axis=1, keepdims=True), TINY)
        return Decoded(text, probability, share.astype(np.float32), spans)
    while True:
        changed = [text[:i] + str(d) + text[i + 1 :] for i in range(len(text)) for d in range(10)]
        table = score_texts(views, changed).reshape(len(text), 10)
        probability = float(table[0, int(text[0])])
        if not table.max() > probability * (1 + ROUNDING):  # nor where it is no number
            break
        text = changed[int(table.argmax())]
    share = table / np.maximum(table.sum(axis=1, keepdims=True), TINY)
    return Decoded(text, probability, share.astype(np.float32), align(views[0], text))


def best_path(view: np.ndarray) -> str:
    """Return what the most probable class of each step spells."""
    best = view.argmax(axis=1)
    new = np.concatenate([[True], best[1:] != best[:-1]])
    return "".join(map(str, best[new & (best != BLANK)]))


def score_texts(views: list[np.ndarray], texts: list[str]) -> np.ndarray:
    """Return the mean over the views of each text's probability: (N,) float64."""
    return np.mean([text_probabilities(view, texts) for view in views], axis=0)


def text_probabilities(view: np.ndarray, texts: list[str]) -> np.ndarray:
    """Return the probability of each text, (N,) float64: all ways of spelling it, summed.

    Args:
        view: (steps, 11) probabilities.
    """
    states, skips, lengths = _states(texts)
    view = view.astype(np.float64)
    first = view[0, states]  # (N, S)
    reached = np.zeros(states.shape)
    reached[:, 0] = first[:, 0]
    reached[:, 1:2] = first[:, 1:2] * (lengths[:, None] > 0)
    logs = np.zeros(len(texts))
    for classes in view[1:]:
        step = classes[states]  # one step at a time: all of them are gigabytes for a long text
        came = reached.copy()
        came[:, 1:] += reached[:, :-1]
        came[:, 2:] += reached[:, :-2] * skips[:, 2:]
        reached = came * step
        total = reached.sum(axis=1) + TINY
        reached /= total[:, None]
        logs += np.log(total)
    row, last = np.arange(len(texts)), 2 * lengths
    ends = reached[row, last] + np.where(lengths > 0, reached[row, np.maximum(last - 1, 0)], 0)
    return np.exp(logs) * ends


def _states(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes to go through, blanks between digits: (N, S); where one may skip one."""
    lengths = np.array([len(text) for text in texts])
    states = np.full((len(texts), 2 * int(lengths.max(initial=0)) + 1), BLANK)
    for row, text in zip(states, texts, strict=True):
        row[1 : 2 * len(text) : 2] = [int(digit) for digit in text]
    skips = np.zeros(states.shape)
    skips[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    return states, skips, lengths


def align(view: np.ndarray, text: str) -> np.ndarray:
    """Return each digit's first step and the one after its last: (N, 2) int.

    The single most probable way of spelling the text (Viterbi).
    """
    states, skips, _ = _states([text])
    emitted = np.log(view[:, states[0]].astype(np.float64) + TINY)
    count = states.shape[1]
    can_skip = np.where(skips[0] > 0, 0.0, -np.inf)
    best = np.full(count, -np.inf)
    best[:2] = emitted[0, :2]
    came = np.zeros((len(view), count), int)
    for number, step in enumerate(emitted[1:], start=1):
        ways = np.full((3, count), -np.inf)
        ways[0], ways[1, 1:], ways[2, 2:] = best, best[:-1], best[:-2]
        ways[2] += can_skip
        came[number] = ways.argmax(axis=0)
        best = ways.max(axis=0) + step
    state = count - 1 if best[-1] > best[-2] else count - 2
    path = np.zeros(len(view), int)
    for number in range(len(view) - 1, -1, -1):
        path[number] = state
        state -= came[number, state]
    spans = np.zeros((len(text), 2), int)
    for digit in range(len(text)):
        own = np.flatnonzero(path == 2 * digit + 1)
        spans[digit] = (own[0], own[-1] + 1) if len(own) else (0, 0)
    return spans
