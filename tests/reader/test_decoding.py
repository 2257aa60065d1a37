"""From steps to numbers, held against counting all ways of spelling."""

import itertools
import tracemalloc

import numpy as np
import pytest

from mnist_classification.reader.decoding import (
    BLANK,
    MOST,
    align,
    best_path,
    decode,
    put_in,
    text_probabilities,
)


def spell(path):
    """Merge what repeats, then leave the blanks out."""
    return "".join(str(c) for c, _ in itertools.groupby(path) if c != BLANK)


def some_steps(count, seed, classes=11):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=count)


def steps_for(*path):
    """Steps that are nearly sure of the classes in turn."""
    view = np.full((len(path), 11), 0.001)
    view[np.arange(len(path)), path] = 0.99
    return view


@pytest.mark.parametrize("text", ["", "3", "33", "31", "313"])
def test_a_texts_probability_is_the_sum_over_all_ways_of_spelling_it(text):
    view = some_steps(5, seed=1)
    kept = [1, 3, BLANK]
    expected = sum(
        np.prod([view[step, c] for step, c in enumerate(path)])
        for path in itertools.product(kept, repeat=5)
        if spell(path) == text
    )
    assert text_probabilities(view, [text])[0] == pytest.approx(expected, rel=1e-9)


def test_texts_of_different_lengths_do_not_disturb_each_other():
    view = some_steps(9, seed=2)
    texts = ["", "7", "70", "7071", "555"]
    together = text_probabilities(view, texts)
    alone = [text_probabilities(view, [text])[0] for text in texts]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_what_does_not_fit_into_the_steps_is_impossible():
    assert text_probabilities(some_steps(2, seed=3), ["11"])[0] == pytest.approx(0, abs=1e-20)


def test_equal_digits_need_a_blank_between_them():
    assert best_path(steps_for(1, 1, BLANK, 1)) == "11"
    assert best_path(steps_for(BLANK, 1, 1, 1)) == "1"


def test_what_the_views_agree_on_is_read():
    sure = steps_for(BLANK, 4, BLANK, 7, BLANK)
    decoded = decode([sure, sure])
    assert decoded.text == "47"
    assert decoded.probability > 0.9
    np.testing.assert_array_equal(decoded.probabilities.argmax(axis=1), [4, 7])
    np.testing.assert_allclose(decoded.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_more_probable_of_two_views_wins():
    doubtful = steps_for(BLANK, 4, BLANK, 7, BLANK)
    doubtful[3] = 0.001
    doubtful[3, [7, 1]] = 0.5, 0.49
    for views in itertools.permutations([doubtful, steps_for(BLANK, 4, BLANK, 1, BLANK)]):
        assert decode(list(views)).text == "41"


def test_nothing_is_an_empty_text():
    decoded = decode([steps_for(BLANK, BLANK, BLANK)])
    assert (decoded.text, len(decoded.probabilities), len(decoded.spans)) == ("", 0, 0)
    assert decoded.probability > 0.9


def test_digits_are_found_where_they_were_seen():
    view = steps_for(BLANK, 5, 5, BLANK, BLANK, 2, BLANK)
    np.testing.assert_array_equal(align(view, "52"), [[1, 3], [5, 6]])


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_survived(seed):
    views = [some_steps(30, seed), some_steps(24, seed + 100)]
    decoded = decode(views)
    assert 0 <= decoded.probability <= 1
    assert len(decoded.probabilities) == len(decoded.text) == len(decoded.spans)
    assert (decoded.spans[:, 0] < decoded.spans[:, 1]).all()
    assert (np.diff(decoded.spans[:, 0]) > 0).all()


def test_a_digit_is_put_in_where_it_can_be():
    view = steps_for(BLANK, 7, BLANK, 1, BLANK, 3, BLANK)
    view[3, [1, BLANK]] = 0.35, 0.65  # a 1, or nothing
    found = decode([view])
    assert found.text == "73"
    longer = put_in([view], found, [1])
    assert longer.text == "713"
    assert longer.probability == pytest.approx(text_probabilities(view, ["713"])[0])
    assert longer.probabilities.argmax(axis=1).tolist() == [7, 1, 3]
    assert longer.spans.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_digit_that_nothing_speaks_for_is_not_put_in():
    view = steps_for(BLANK, 7, BLANK, BLANK, BLANK, 3, BLANK)
    found = decode([view])
    assert put_in([view], found, [1]) is found


def test_nothing_is_put_in_where_all_is_impossible():
    view = np.full((900, 11), 1e-12)
    found = decode([view])
    assert put_in([view], found, [0]) is found


def test_a_long_text_costs_no_gigabytes():
    digits = [3, 1] * 150
    tracemalloc.start()
    found = decode([steps_for(*digits)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.text == "31" * 150
    assert len(found.text) > MOST
    assert peak < 20e6
    assert found.probabilities.shape == (300, 10)
    assert (found.probabilities.argmax(axis=1) == digits).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("length", [MOST, MOST + 1])
def test_a_text_around_the_longest_that_is_refined_is_read_alike(length):
    digits = [n % 10 for n in range(length)]
    found = decode([steps_for(*digits)])
    assert found.text == "".join(map(str, digits))
    assert found.probability == pytest.approx(0.99**length, rel=0.05)
    assert found.probabilities.max(axis=1).min() > 0.95


def test_what_is_no_number_comes_to_an_end():
    decode([np.full((10, 11), np.nan)])
