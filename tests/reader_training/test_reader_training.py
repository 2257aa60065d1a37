"""What the reader's network learns from, and that its training is what it says."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from conftest import write_idx

from mnist_classification.errors import DataError, ModelError, RunError
from mnist_classification.reader.decoding import BLANK
from mnist_classification.reader.recognizer import RANGES, Recognizer, load_recognizer
from mnist_classification.reader.strips import STEP
from mnist_classification.reader_training import calibration, shipping
from mnist_classification.reader_training.calibration import (
    RIGHT_IF_SURE,
    apply_logistic,
    calibration_error,
    choose_threshold,
    fit_logistic,
)
from mnist_classification.reader_training.commands import train_reader
from mnist_classification.reader_training.export import export_onnx, fold, to_onnx
from mnist_classification.reader_training.glyphs import (
    CLOSE,
    LETTER,
    OPEN,
    PERCENT,
    POINT,
    SIGN,
    TALL,
    VARIED_SIGNS,
    WAYS,
    Glyphs,
    distance_to_strokes,
    make_glyphs,
    open_bracket,
    tall_mark,
    thin,
)
from mnist_classification.reader_training.letters import (
    LETTERS,
    LIKE_DIGITS,
    choose_word,
    draw_letter,
)
from mnist_classification.reader_training.lines import ROW_LENGTH, LineSource
from mnist_classification.reader_training.network import LineNetwork, count_multiplications
from mnist_classification.reader_training.shipping import train_and_export, write_model
from mnist_classification.reader_training.training import Settings, ctc_loss, step_once, train
from mnist_classification.reader_training.writing import LetterForm, draw_lines, write_line
from mnist_classification.run import RunDirectory
from mnist_classification.shipped import SHIPPED_READER

NUM_SCANNED = 1000


@pytest.fixture(scope="module")
def glyphs(mnist) -> Glyphs:
    return make_glyphs(
        mnist.train[:NUM_SCANNED], seed=0, drawn=200, marks=150, shapes=20, each_letter=3
    )


@pytest.fixture(scope="module")
def source(glyphs) -> LineSource:
    return LineSource(glyphs, num_rows=2)


def test_thinning_leaves_lines_one_pixel_wide_and_in_one_piece():
    y, x = np.mgrid[:40, :40]
    ring = np.abs(np.hypot(x - 20, y - 20) - 12) < 3
    (path,) = thin(ring[None])
    assert path.sum() < 0.25 * ring.sum()
    assert not (path & ~ring).any()
    blocks = path[:-1, :-1] & path[1:, :-1] & path[:-1, 1:] & path[1:, 1:]
    assert not blocks.any()
    angles = np.arctan2(y[path] - 20, x[path] - 20)
    assert np.diff(np.sort(angles)).max() < 0.3  # all the way round


def test_strokes_are_at_distance_nought_from_themselves():
    away = distance_to_strokes([[(0.0, 0.0), (0.0, 1.0)], [(0.0, 1.0), (0.5, 1.0)]])
    assert away.shape == (56, 56)
    assert away.min() < 0.4
    assert away[0, 55] > 5


def test_glyphs_are_mnists_and_our_own(mnist, glyphs):
    np.testing.assert_array_equal(glyphs.grey[:NUM_SCANNED], mnist.train.images[:NUM_SCANNED])
    np.testing.assert_array_equal(glyphs.kind[:NUM_SCANNED], mnist.train.labels[:NUM_SCANNED])
    every_kind = set(WAYS) | set(range(POINT, LETTER + len(LETTERS)))
    assert every_kind <= set(glyphs.kind[NUM_SCANNED:].tolist())
    left, top, right, bottom = glyphs.box.T
    assert (left < right).all()
    assert (top < bottom).all()


@pytest.mark.parametrize("draw", [*dict.fromkeys(VARIED_SIGNS), tall_mark, open_bracket])
def test_every_sign_is_a_thing_of_strokes_that_chance_changes(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    points = np.concatenate(first)
    assert np.isfinite(points).all()
    assert 0.75 < np.ptp(points[:, 1]) < 1.5  # as tall as a digit
    inked = distance_to_strokes(first) < 1
    assert 0.01 < inked.mean() < 0.35


def test_brackets_and_slashes_reach_beyond_the_digits(source, glyphs):
    rng = np.random.default_rng(2)
    tall, digits = [], []
    for line in (write_line(source.hands, rng, 4) for _ in range(300)):
        kinds = glyphs.kind[line.glyphs]
        if (kinds == TALL).any():
            tall += line.half[kinds == TALL, 1].tolist()
            digits += line.half[line.is_digit, 1].tolist()
    assert len(tall) > 20
    assert np.mean(tall) > 1.1 * np.mean(digits)


def test_brackets_stand_in_pairs_around_numbers_and_percent_signs_behind(source, glyphs):
    rng = np.random.default_rng(2)
    lines = [write_line(source.hands, rng, 3) for _ in range(1500)]
    kinds = [glyphs.kind[line.glyphs] for line in lines]
    pairs = [kind for kind in kinds if OPEN in kind and CLOSE in kind]
    assert 0.02 < len(pairs) / len(lines) < 0.09
    assert all(kind[0] == OPEN and (kind == CLOSE).sum() == 1 for kind in pairs)
    percents = [kind for kind in kinds if PERCENT in kind and OPEN not in kind]
    assert 0.02 < len(percents) / len(lines) < 0.09
    for kind, line in zip(kinds, lines, strict=True):
        assert (kind[line.is_digit] < 10).all()
        if PERCENT in kind:
            assert (kind == PERCENT).argmax() > np.flatnonzero(line.is_digit).max()


@pytest.mark.parametrize("letter", LETTERS)
def test_every_letter_is_a_thing_of_strokes_that_chance_changes(letter):
    first, again, other = (draw_letter(letter, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    points = np.concatenate(first)
    assert np.isfinite(points).all()
    assert 0.4 < np.ptp(points[:, 1]) < 1.6
    assert 0.01 < (distance_to_strokes(first) < 1).mean() < 0.35


def test_a_word_is_never_one_that_could_be_a_number():
    rng = np.random.default_rng(0)
    words = [choose_word(rng, longest=6) for _ in range(500)]
    assert {len(word) for word in words} == set(range(2, 7))
    assert set("".join(words)) > set("aeinostAEINOST")
    assert not any(set(word) <= set(LIKE_DIGITS) for word in words)


def test_words_stand_beside_numbers_and_are_not_read(source, glyphs):
    rng = np.random.default_rng(6)
    lines = [write_line(source.hands, rng, 3, words=True) for _ in range(300)]
    words = [line for line in lines if (glyphs.kind[line.glyphs] >= LETTER).any()]
    assert 0.08 < len(words) / len(lines) < 0.25
    for line in words:
        letters = glyphs.kind[line.glyphs] >= LETTER
        assert len(line.digits) == line.is_digit.sum() == 3
        assert not (letters & line.is_digit).any()
        assert (np.diff(np.flatnonzero(letters)) == 1).all()  # before the number, or behind it


@pytest.mark.parametrize("letter", LETTERS)
def test_letters_stand_on_the_digits_base_line(letter):
    high, middle = LetterForm(capital=1.2, small=0.6, gap=0.0, space=0.5).place(letter)
    assert middle + high / 2 == pytest.approx(1.1 if letter in "gjpqy" else 0.5)
    assert high == (0.6 if letter in "acemnorsuvwxz" else 1.2)


def test_the_last_steps_have_fewer_signs_and_a_rate_that_starts_anew(source, glyphs):
    settings = Settings(num_steps=1700, warmup_steps=50)
    assert settings.settles_at == 1400
    assert settings.rate(50) == settings.learning_rate == max(map(settings.rate, range(1700)))
    assert settings.rate(1399) < 0.01 * settings.learning_rate
    last = range(settings.settles_at, settings.num_steps)
    assert settings.rate(1450) == settings.settling_rate == max(map(settings.rate, last))
    assert 0 < settings.rate(1699) < 0.01 * settings.settling_rate
    for num_steps in (1, 2, 5, 300, 1000, 2000):  # fewer than the usual warm-ups
        short = Settings(num_steps=num_steps)
        rates = [short.rate(step) for step in range(num_steps)]
        assert 0 < max(rates) <= short.learning_rate
        assert num_steps < 300 or rates[-1] < 0.01 * short.settling_rate

    def count_signs(many_signs: bool) -> int:
        rng = np.random.default_rng(4)
        lines = [write_line(source.hands, rng, 3, many_signs=many_signs) for _ in range(1500)]
        return sum(int(np.isin(glyphs.kind[line.glyphs], (SIGN, TALL)).sum()) for line in lines)

    assert 0 < 1.1 * count_signs(False) < count_signs(True)


def test_one_hand_writes_a_line(source):
    rng = np.random.default_rng(0)
    spreads = []
    for _ in range(40):
        picked = [g for g in source.hands.pick(rng, list(range(10))) if g < NUM_SCANNED]
        if picked and picked[0] % 2 == 1:
            spreads.append(np.ptp(picked))
    assert np.median(spreads) < NUM_SCANNED / 3  # of all places: neighbours are one writer's


def test_a_short_line_ends_as_tight_on_the_right_as_on_the_left(source):
    rng = np.random.default_rng(0)
    lines = [write_line(source.hands, rng, 1) for _ in range(300)]
    before = [(line.place[:, 0] - line.half[:, 0]).min() for line in lines]
    behind = [line.width - (line.place[:, 0] + line.half[:, 0]).max() for line in lines]
    assert np.median(behind) == pytest.approx(np.median(before), rel=0.3)


def test_lines_are_drawn_where_they_are_written(source, glyphs):
    rng = np.random.default_rng(1)
    lines = [write_line(source.hands, rng, count) for count in (1, 3, 5)]
    for line, ink in zip(lines, draw_lines(glyphs, lines, rng), strict=True):
        assert ink.shape == (32, line.width)
        assert ink.max() > 0.2
        for (x, _), (half, _) in zip(line.place, line.half, strict=True):
            inside = ink[:, max(0, round(x - half)) : max(1, round(x + half) + 1)]
            assert inside.size == 0 or inside.max() > 0.1


def test_batches_follow_their_seed_and_fit_into_their_rows(source):
    first, again, other = (source.draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.rows, again.rows)
    assert first.digits == again.digits
    assert not np.array_equal(first.rows, other.rows)
    assert first.rows.shape == (2, 32, ROW_LENGTH)
    assert np.isfinite(first.rows).all()
    ends = (first.start + first.steps) * STEP
    assert (ends <= ROW_LENGTH).all()
    for row in range(2):
        own = first.row == row
        assert (first.start[own][1:] >= (first.start + first.steps)[own][:-1]).all()


def test_some_lines_have_nothing_on_them(source):
    counts = [len(d) for seed in range(12) for d in source.draw(np.random.default_rng(seed)).digits]
    assert 0.02 < counts.count(0) / len(counts) < 0.25
    assert set(range(1, 7)) <= set(counts)


def test_the_network_reads_a_step_per_two_pixels():
    found = LineNetwork()(torch.zeros(2, 1, 32, 50))
    assert found.shape == (2, 25, 11)
    assert torch.allclose(found.exp().sum(dim=2), torch.ones(2, 25))


@pytest.mark.parametrize(("far", "reach"), [(False, 26), (True, 38)])
def test_a_step_sees_its_neighbours_and_no_farther(far, reach):
    torch.manual_seed(0)
    network = LineNetwork(far=far).eval()
    strips = torch.rand(2, 1, 32, 160)
    found = network(strips)
    strips[0, :, :, 80 + reach + 4 :] = 0  # beyond what the step at 80 sees
    strips[1, :, :, 80 + reach - 4 :] = 0
    moved = (network(strips) - found).abs()[:, 40].amax(dim=1)
    assert moved[0] == 0 < moved[1]


def test_multiplications_are_counted_as_the_layers_make_them():
    one = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1))
    assert count_multiplications(one, 10) == 4 * 9 * 32 * 10


def test_folding_changes_nothing_but_the_layers():
    torch.manual_seed(0)
    network = LineNetwork()
    network(torch.randn(4, 1, 32, 64))  # gives the normalisations something to do
    network.eval()
    folded = fold(network)
    kinds = {type(layer).__name__ for layer in folded}
    assert kinds == {"Conv2d", "ReLU", "MaxPool2d"}
    strips = torch.randn(2, 1, 32, 80)
    torch.testing.assert_close(folded(strips), network(strips), atol=1e-4, rtol=1e-4)


def test_the_loss_takes_each_strips_own_steps(source):
    batch = source.draw(np.random.default_rng(5))
    found = torch.full((2, ROW_LENGTH // STEP, 11), -20.0)
    found[:, :, BLANK] = 0.0
    for number, digits in enumerate(batch.digits):
        row, step = batch.row[number], batch.start[number] + 1
        for digit in digits:
            found[row, step, digit], found[row, step, BLANK] = 0.0, -20.0
            step += 2
        assert step <= batch.start[number] + batch.steps[number] + 1
    assert float(ctc_loss(found, batch)) < 1e-3 * len(batch.digits)


def test_training_lowers_the_loss(source):
    torch.manual_seed(0)
    network, settings = LineNetwork(), Settings(precision="float32")
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    batch = source.draw(np.random.default_rng(0))
    losses = [step_once(network, optimizer, batch, settings) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def interrupt(settings, source, folder):
    """Train as far as the first checkpoint."""

    class Interrupted(RunDirectory):
        def save(self, *arguments):
            super().save(*arguments)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Interrupted(folder, settings.identity()) as run:
        train(settings, source, run)


def test_who_stops_the_command_is_told_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(output, **_):
        (output / "checkpoint-0200.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(shipping, "train_and_export", interrupted)
    monkeypatch.setattr("sys.argv", ["mnist", "train-reader", "--seed", "1", "--overwrite"])
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # the command would leave it so
    with pytest.raises(KeyboardInterrupt) as stop:
        train_reader(output=tmp_path, threads=1)
    assert stop.value.__notes__ == ["continue with: mnist train-reader --seed 1 --resume"]


def test_an_interrupted_run_gives_the_same_bits(source, tmp_path):
    settings = Settings(num_steps=4, checkpoint_steps=2, warmup_steps=2, precision="float32")
    whole, _ = train(settings, source)

    interrupt(settings, source, tmp_path)
    with RunDirectory(tmp_path, settings.identity(), resume=True) as run:
        # The rest by a process of its own, as the command does it.
        resumed, history = train(settings, source, run, num_workers=1)
    assert [record["step"] for record in history] == [2, 4]
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


TO_ONNX = "mnist_classification.reader_training.export.to_onnx"


@pytest.fixture(scope="module")
def exported():
    """A network, and itself in ONNX form, which takes two seconds each time."""
    network = LineNetwork().eval()
    return network, to_onnx(network)


def test_nothing_is_written_that_reads_otherwise(exported, tmp_path, monkeypatch):
    network, content = exported
    monkeypatch.setattr(TO_ONNX, lambda _: content)
    strips = [np.zeros((32, 40), np.float32)]
    export_onnx(network, tmp_path / "model.onnx", strips)
    assert load_recognizer(tmp_path).read(strips[0]).shape == (20, 11)
    other = LineNetwork().eval()
    torch.nn.init.normal_(other[-1].bias, std=10)
    with pytest.raises(ModelError, match=r"off by.*nothing was written.*try"):
        export_onnx(other, tmp_path / "other.onnx", strips)
    assert not (tmp_path / "other.onnx").exists()


@pytest.fixture(scope="module")
def judged():
    """Probabilities that are too sure of themselves, and whether they were right."""
    rng = np.random.default_rng(0)
    logits = rng.normal(2, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits + 0.3)))
    return 1 / (1 + np.exp(-logits)), right


def test_calibration_finds_the_slope_and_the_offset(judged):
    slope, offset = fit_logistic(*judged)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert offset == pytest.approx(0.3, abs=0.1)
    after = apply_logistic(judged[0], slope, offset)
    same = Recognizer(None, slope, offset).calibrate  # in the reader one by one, without NumPy
    assert after[:9] == pytest.approx([same(probability) for probability in judged[0][:9]])
    assert calibration_error(after, judged[1]) < 0.02 < calibration_error(*judged)


def test_the_threshold_is_the_lowest_that_keeps_the_promise():
    probabilities = np.linspace(0, 1, 1001)
    right = probabilities > 0.4
    threshold = choose_threshold(probabilities, right)
    sure = probabilities >= threshold
    assert right[sure].mean() >= RIGHT_IF_SURE
    assert right[probabilities >= threshold - 0.01].mean() < RIGHT_IF_SURE
    with pytest.raises(ModelError):
        choose_threshold(np.full(100, 0.9), np.zeros(100, bool))


def test_what_is_as_probable_reaches_a_threshold_together():
    """Six of ten are right at 0.9: the first six alone would make a threshold of it."""
    probabilities = np.array([0.99] * 100 + [0.9] * 10)
    right = np.array([True] * 106 + [False] * 4)
    assert choose_threshold(probabilities, right) == 0.99


def test_calibration_is_judged_on_lines_that_it_was_not_chosen_on(monkeypatch):
    probabilities = np.linspace(0.5, 1, 1000)
    right = np.arange(1000) != 0
    lines = [(probabilities, right), (probabilities, right & (np.arange(1000) < 500))]
    read = iter(lines)
    monkeypatch.setattr(calibration, "read_lines", lambda *_: next(read))
    good, bad = calibration.calibrate(None, None), calibration.calibrate(None, None)
    assert (good.slope, good.offset, good.threshold) == (bad.slope, bad.offset, bad.threshold)
    assert (good.right_if_sure, bad.right_if_sure) == (1.0, 0.0)


def test_what_is_calibrated_by_is_how_the_reader_reads_made_lines(source):
    probabilities, right = calibration.read_lines(load_recognizer(SHIPPED_READER), source, 50, 0)
    assert 30 <= len(right) <= 50  # on some lines there is nothing
    assert 0.5 < right.mean() < 1
    assert probabilities[right].mean() > probabilities[~right].mean() + 0.1


@pytest.mark.parametrize("right", [[], [False] * 100, [True] * 100, [False, True] * 50])
def test_a_network_that_learned_too_little_is_refused_in_one_line(monkeypatch, right):
    read = np.full(len(right), 0.5), np.array(right, bool)
    monkeypatch.setattr(calibration, "read_lines", lambda *_: read)
    with pytest.raises(ModelError, match=r"^got .*; expected .*; try more --steps$"):
        calibration.calibrate(None, None)


def test_a_regression_stays_within_what_a_reader_takes():
    apart = np.r_[np.full(50, 0.2), np.full(50, 0.8)]
    slope, offset = calibration.fit_logistic(apart, apart > 0.5)
    for name, value in (("slope", slope), ("offset", offset)):
        low, high = RANGES[name]
        assert low <= value <= high


def test_a_digit_that_a_group_of_writers_lacks_is_refused(mnist, tmp_path):
    few = mnist.train[:3000]
    write_idx(tmp_path, "t10k", mnist.test.images[:10], mnist.test.labels[:10])
    labels = few.labels.copy()
    labels[2000::2] = 1  # what is left when the first 2,000 are set aside
    write_idx(tmp_path, "train", few.images, labels)
    with pytest.raises(DataError, match="got no 0 among every other image"):
        train_and_export(tmp_path / "new", steps=1, holdout=2000, data_dir=tmp_path)
    assert not (tmp_path / "new").exists()


def test_a_hold_out_too_small_to_calibrate_on_is_refused(tmp_path):
    with pytest.raises(RunError, match="at least 1000"):
        train_and_export(tmp_path, steps=1, holdout=10)


@pytest.mark.parametrize(
    ("wrong", "part"), [({"steps": 0}, "got 0 steps"), ({"holdout": 1001}, "even")]
)
def test_what_could_not_be_learned_or_calibrated_is_refused(tmp_path, wrong, part):
    with pytest.raises(RunError, match=part):
        train_and_export(tmp_path / "new", **{"steps": 1} | wrong)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["model.onnx", "words.onnx"])
def test_a_network_that_no_run_of_ours_left_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(RunError, match=f"holds a {name} of something else"):
        train_and_export(tmp_path, steps=1)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_model_stays_until_the_next_one_is_known_to_be_good(
    exported, source, tmp_path, monkeypatch
):
    network, content = exported
    monkeypatch.setattr(TO_ONNX, lambda _: content)
    for name in ("model.onnx", "config.json"):
        (tmp_path / name).write_text("the old one's")

    def find_no_threshold(*_: object) -> None:
        raise ModelError("no threshold")

    monkeypatch.setattr(
        "mnist_classification.reader_training.shipping.calibrate", find_no_threshold
    )
    with pytest.raises(ModelError, match="no threshold"):
        write_model(network, source, tmp_path, Settings(), [], {})
    assert {path.read_text() for path in tmp_path.iterdir()} == {"the old one's"}


def test_a_full_disk_leaves_both_networks_of_a_reader(exported, source, tmp_path, monkeypatch):
    network, content = exported
    monkeypatch.setattr(TO_ONNX, lambda _: content)
    for path in SHIPPED_READER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = calibration.Calibration(1.0, 0.0, 0.9, 0.8, 0.5, 0.99, 0.1, 0.01, 100)
    monkeypatch.setattr("mnist_classification.reader_training.shipping.calibrate", lambda *_: found)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RunError, match=r"No space left.*nothing was replaced; free some space"):
        write_model(network, source, tmp_path, Settings(), [], {"holdout": 10})
    for path in SHIPPED_READER.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert len(list(tmp_path.iterdir())) == len(list(SHIPPED_READER.iterdir()))


def test_lines_have_words_only_where_they_are_asked_for(glyphs):
    for words in (False, True):
        source = LineSource(glyphs, num_rows=2, words=words)
        rng = np.random.default_rng(0)
        lines = [line for _ in range(20) for line in source._plan(rng, True)[0]]
        assert any((glyphs.kind[line.glyphs] >= LETTER).any() for line in lines) == words


def test_a_second_network_is_written_beside_the_first(exported, source, tmp_path, monkeypatch):
    found = calibration.Calibration(1.0, 0.0, 0.9, 0.8, 0.5, 0.99, 0.1, 0.01, 100)
    asked = []
    monkeypatch.setattr(
        "mnist_classification.reader_training.shipping.calibrate",
        lambda recognizer, _: asked.append(recognizer) or found,
    )
    network, settings = LineNetwork(far=True).eval(), Settings(words=True)
    shipped = write_model(network, source, tmp_path, settings, [], {"holdout": 10}, SHIPPED_READER)
    assert asked[0].second is not None
    first, second = (tmp_path / name for name in ("model.onnx", "words.onnx"))
    assert first.read_bytes() == (SHIPPED_READER / "model.onnx").read_bytes() != second.read_bytes()
    assert shipped.size == first.stat().st_size + second.stat().st_size
    assert "Two networks" in (tmp_path / "README.md").read_text()
    assert load_recognizer(tmp_path).threshold == 0.9
    by_itself = load_recognizer(SHIPPED_READER / "model.onnx").threshold
    assert load_recognizer(first).threshold == by_itself != 0.9
    network, content = exported
    monkeypatch.setattr(TO_ONNX, lambda _: content)
    write_model(network, source, tmp_path, Settings(), [], {"holdout": 10})
    assert load_recognizer(tmp_path).second is None  # never the one of another reader


def test_a_reader_to_stand_beside_is_looked_at_before_training(tmp_path):
    with pytest.raises(ModelError, match="try the one that is shipped"):
        train_and_export(tmp_path / "new", steps=1, beside=tmp_path)
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "model.onnx").read_bytes())
    with pytest.raises(ModelError, match="expected what train-reader wrote"):
        train_and_export(tmp_path / "new", steps=1, beside=tmp_path)
    assert not (tmp_path / "new").exists()
    (tmp_path / "config.json").write_text('{"history": [], "environment": {}}')
    with pytest.raises(ModelError, match="expected what train-reader wrote"):
        train_and_export(tmp_path / "new", steps=1, beside=tmp_path)
    with pytest.raises(ModelError, match=r"words\.onnx: expected a reader's folder"):
        train_and_export(tmp_path / "new", steps=1, beside=tmp_path / "words.onnx")
    environment = {"processor": "", "threads": 1, "torch": ""}
    config = json.dumps({"history": [], "environment": environment})
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(RunError, match="try another --output"):
        train_and_export(tmp_path, steps=1, beside=tmp_path / "model.onnx", overwrite=True)
    assert (tmp_path / "config.json").read_text() == config


def test_a_run_does_not_go_on_from_other_lines(source, tmp_path, monkeypatch):
    settings = Settings(num_steps=4, checkpoint_steps=2, warmup_steps=2, precision="float32")

    interrupt(settings, source, tmp_path)
    monkeypatch.setattr("mnist_classification.reader_training.training.CODE", ("glyphs",))
    again = RunDirectory(tmp_path, settings.identity(), resume=True)
    with pytest.raises(RunError, match="can't resume another run: code is"), again:
        pass


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"workers": -1}])
def test_numbers_out_of_range_are_refused_before_anything_is_made(tmp_path, wrong):
    with pytest.raises(RunError, match=r"got .*-1.*; expected 0"):
        train_and_export(tmp_path / "new", steps=1, **wrong)
    assert not (tmp_path / "new").exists()
