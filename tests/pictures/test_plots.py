"""Every picture shows what it should, and its text can be read."""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from mnist_classification.errors import PlotError
from mnist_classification.model import NETWORKS, build, to_pixels
from mnist_classification.pictures.plots import (
    COLOURS,
    layer_outputs,
    montage,
    most_confident_mistakes,
    plot_augmentations,
    plot_confusion,
    plot_curves,
    plot_filters,
    plot_frontier,
    plot_ladder,
    plot_mistakes,
    plot_tsne,
    spread,
)
from mnist_classification.recipes import LADDER, Recipe, find_recipe, replace
from mnist_classification.study.published import DISPUTED, ORIGINAL
from mnist_classification.study.statistics import evaluate
from mnist_classification.trained import Trained


def texts(figure: Figure) -> dict[Text, str]:
    """Return the figure's visible, non-empty texts, without the ticks outside of the axes."""
    FigureCanvasAgg(figure).draw()
    hidden = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not (axis.get_visible() and axis.axes.axison and low <= tick.get_loc() <= high):
                hidden |= {tick.label1, tick.label2}
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t not in hidden]
    return {t: t.get_text() for t in shown if t.get_text().strip()}


def assert_legible(figure: Figure) -> None:
    """Check that no text is cut off, small, or over another, and no legend is cut off."""
    boxes = {}
    for text, content in texts(figure).items():
        assert text.get_fontsize() >= 9, content
        boxes[content, id(text)] = text.get_window_extent()
    for legend in figure.legends:
        boxes["legend", id(legend)] = legend.get_window_extent()
    for name, box in boxes.items():
        assert figure.bbox.x0 - 1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, name
        assert figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, name
    for (name, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
        if "legend" not in (name[0], other[0]):  # a legend has texts inside it
            overlap = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            overlap = min(overlap, min(box.y1, other_box.y1) - max(box.y0, other_box.y0))
            assert overlap < 2, (name, other)  # pixels; boxes are a little larger than letters


# t-SNE


def test_tsne_has_counts_digits_and_figures(small, embedding):
    figure = plot_tsne(embedding, small.test.labels, "Raw pixels")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [f"{d}  ({n})" for d, n in enumerate(np.bincount(small.test.labels))]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [str(digit) for digit in range(10)]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 500
    caption = figure.get_supxlabel()
    for part in (
        "500 test images",
        "perplexity 20",
        "seed 0",
        f"silhouette {embedding.silhouette:.2f}",
        f"accuracy {embedding.neighbour_accuracy:.1%}",
    ):
        assert part in caption
    assert_legible(figure)


def test_digits_stand_at_their_medians(small, embedding):
    (axes,) = plot_tsne(embedding, small.test.labels, "").axes
    median = np.median(embedding.points[small.test.labels == 0], axis=0)
    np.testing.assert_allclose(axes.texts[0].get_position(), median)  # zeros stand alone


def test_spread_moves_only_what_is_too_near():
    places = np.array([[0.0, 0.0], [0.0, 0.0], [0.3, 0.0], [9.0, 9.0]])
    apart = spread(places, gap=1)
    distances = [np.hypot(*(a - b)) for a, b in itertools.combinations(apart, 2)]
    assert min(distances) > 0.99
    np.testing.assert_array_equal(apart[3], places[3])


def test_colours_differ_in_print_and_for_the_colour_blind():
    # Machado, Oliveira and Fernandes 2009: how red- and green-blind people see linear RGB.
    blind = {
        "normal": np.eye(3),
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    }
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for sight, matrix in blind.items():
        seen = np.clip(linear @ np.transpose(matrix), 0, 1) ** (1 / 2.2)
        nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
        assert nearest > 0.1, sight


# Curves


def history(losses, holdout=False):
    records = [{"epoch": i, "train_loss": x, "train_accuracy": 1 - x} for i, x in enumerate(losses)]
    return [r | {"holdout_accuracy": 0.5} for r in records] if holdout else records


def test_curves_are_the_mean_in_a_band_of_all_seeds():
    figure = plot_curves({"sgd": [history([0.4, 0.2]), history([0.6, 0.1])], "untrained": [[]]})
    loss, error = figure.axes
    assert len(loss.lines) == len(error.lines) == 1
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.5, 0.15])
    np.testing.assert_allclose(error.lines[0].get_ydata(), [50, 15])
    band = loss.collections[0].get_paths()[0].vertices
    assert {(1, 0.4), (1, 0.6), (2, 0.1), (2, 0.2)} <= {(x, round(y, 9)) for x, y in band}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["sgd (2 seeds)"]


def test_curves_show_the_holdout_where_there_is_one():
    _, error = plot_curves({"sgd": [history([0.4, 0.2], holdout=True)]}).axes
    np.testing.assert_allclose(error.lines[1].get_ydata(), [50, 50])


def test_curves_of_a_whole_ladder_are_legible(trained):
    figure = plot_curves({recipe.name: [trained.history] * 5 for recipe in LADDER})
    styles = {(n.get_color(), n.get_linestyle(), n.get_marker()) for n in figure.axes[0].lines}
    assert len(styles) == len(LADDER)
    assert_legible(figure)


def test_curves_need_an_epoch():
    with pytest.raises(PlotError, match="without a finished epoch"):
        plot_curves({"baseline": [[], []]})


# Confusion and mistakes


def test_confusion_writes_every_count(trained, small):
    predictions = trained.predict(small.test.images).argmax(axis=1)
    confusion = evaluate(predictions, small.test.labels).confusion
    figure = plot_confusion(confusion, "six epochs")
    counts = np.zeros((10, 10), int)
    for text in figure.axes[0].texts:
        digit, label = text.get_position()
        counts[label, digit] = 0 if text.get_text() == "·" else int(text.get_text())
    np.testing.assert_array_equal(counts, confusion)
    share = f"{confusion[0, 0] / confusion[0].sum():.2%}"
    assert share in texts(figure).values()
    assert_legible(figure)


def test_confusion_of_large_counts_and_absent_digits_is_legible():
    confusion = np.full((10, 10), 6_000)
    confusion[9] = 0
    assert_legible(plot_confusion(confusion, "as many as can be"))


def test_mistakes_come_by_confidence():
    probabilities = np.full((4, 10), 0.01)
    probabilities[[0, 1, 2, 3], [5, 5, 5, 5]] = [0.5, 0.9, 0.7, 0.6]
    labels = np.array([1, 2, 3, 5])  # the last is right
    assert most_confident_mistakes(labels, probabilities).tolist() == [1, 2, 0]


@pytest.mark.parametrize("count", [1, 6, 24])
def test_mistakes_show_label_prediction_and_probability(mnist, count):
    # A reader that is sure of a wrong digit on the disputed images, and right elsewhere.
    probabilities = np.eye(10)[mnist.test.labels]
    for i, index in enumerate(DISPUTED):
        wrong = (mnist.test.labels[index] + 1) % 10
        probabilities[index] = 0
        probabilities[index, wrong] = 0.99 - i / 100
    marked = DISPUTED[::2]
    title = "ten-epochs" + "+learning-rate=0.01" * 9
    figure = plot_mistakes(mnist.test, probabilities, title, disputed=marked, count=count)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == min(count, len(DISPUTED))
    for i, (axes, index) in enumerate(zip(shown, DISPUTED, strict=False)):
        label = mnist.test.labels[index]
        assert axes.get_title() == f"{label} read as {(label + 1) % 10}"
        assert f"{99 - i}.0%   #{index}" in axes.get_xlabel()
        assert ("label disputed" in axes.get_xlabel()) == (index in marked)
        np.testing.assert_array_equal(axes.images[0].get_array(), mnist.test.images[index])
    assert f"the {len(shown)} most confident of 15 mistakes" in " ".join(
        figure.get_suptitle().split()
    )
    assert_legible(figure)


def test_mistakes_of_a_faultless_model_are_none(small):
    with pytest.raises(PlotError, match="no mistake"):
        plot_mistakes(small.test, np.eye(10)[small.test.labels], "m")


# Filters


@pytest.mark.parametrize("network", NETWORKS)
def test_filters_and_activations_of_every_network(network, small):
    recipe = replace(find_recipe("sgd"), "x", network=network)
    built = Trained(build(network, torch.Generator().manual_seed(0)), recipe, 0, "float32", "")
    figure = plot_filters(built, small.test.images[0], f"{network}, test image 0")
    pixels = to_pixels(small.test.images[:1], recipe.pixel_mean, recipe.pixel_std)
    layers = layer_outputs(built.network, pixels)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 1 + 1 + len(layers) - 1  # image, filters, all layers but the logits
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(1, abs=1e-4)
    assert_legible(figure)


def test_layer_outputs_are_the_layers_own(trained, small):
    pixels = to_pixels(small.test.images[:1], 0.5, 0.5)
    outputs = layer_outputs(trained.network, pixels)
    with torch.no_grad():
        first = trained.network.features[0](pixels)[0].numpy()
        logits = trained.network(pixels)[0].numpy()
    np.testing.assert_allclose(outputs[0], first, atol=1e-6)
    np.testing.assert_allclose(outputs[-1], logits, atol=1e-4)
    assert [o.shape for o in outputs] == [(32, 26, 26), (64, 11, 11), (64, 9, 9), (100,), (10,)]


def test_montage_puts_each_map_in_its_place():
    maps = np.arange(5 * 24 * 24).reshape(5, 24, 24)
    picture = montage(maps, columns=3)
    assert picture.shape == (2 * 27, 3 * 27)
    np.testing.assert_array_equal(picture[27:51, 27:51], maps[4])
    assert np.isnan(picture[:, 24:27]).all()
    assert np.isnan(picture[27:, 54:]).all()


# Augmentations


def test_augmentations_show_originals_and_what_is_made_of_them(mnist):
    recipe: Recipe = find_recipe("decay+flip-probability=1")
    images = mnist.train.images[:6]
    figure = plot_augmentations(images, recipe)
    left, right = (axes.images[0].get_array() for axes in figure.axes)
    np.testing.assert_allclose(left[31 : 31 + 28, :28], images[1] / 255, atol=1e-6)
    mirrored = images[1, :, ::-1] / 255
    np.testing.assert_allclose(right[31 : 31 + 28, 31 : 31 + 28], mirrored, atol=1e-4)
    assert recipe.name in figure.get_suptitle()
    assert_legible(figure)


# The ladder


def test_ladder_shows_means_intervals_and_the_originals():
    rows = {
        "baseline": [0.1, 0.09],
        "vanilla": [0.974, 0.976, 0.975],
        "sgd": [0.991, 0.992, 0.9905, 0.9915],
        "decay": [0.994],
    }
    original = {row: percent / 100 for row, percent in ORIGINAL.items()}
    figure = plot_ladder(rows, original)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    claims = lines["the original's mean of five"].get_xydata()
    np.testing.assert_allclose(claims, [[97.25, 1], [99.2, 2]])
    means, _, (bars,) = axes.containers[1]
    np.testing.assert_allclose(means.get_xydata(), [[97.5, 1], [99.125, 2], [99.4, 3]])
    interval = stats.t.interval(0.95, 3, np.mean(rows["sgd"]), stats.sem(rows["sgd"]))
    np.testing.assert_allclose(bars.get_segments()[1][:, 0], 100 * np.array(interval))
    assert len(lines["one seed"].get_xydata()) == 3 + 4 + 1
    assert "9.5%, off the scale; the original's 10%" in axes.texts[0].get_text()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["baseline, n = 2", "vanilla, n = 3", "sgd, n = 4", "decay, n = 1"]
    assert_legible(figure)


def test_ladder_needs_a_trained_row():
    with pytest.raises(PlotError, match="no tested row"):
        plot_ladder({"baseline": [0.1], "sgd": []}, {})


# The frontier


def test_frontier_shows_mean_error_over_median_seconds_and_the_others():
    rows = {"quick": ([0.989, 0.991], [1.0, 1.2]), "slow": ([0.997, 0.997], [30.0, 30.0])}
    axes = plot_frontier(rows, [("theirs", 0.9, 5.0)]).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    ours = next(line for label, line in lines.items() if label.startswith("this project"))
    np.testing.assert_allclose(ours.get_xydata(), [[1.1, 1.0], [30, 0.3]])
    others = next(line for label, line in lines.items() if label.startswith("others"))
    np.testing.assert_allclose(others.get_xydata(), [[5, 0.9]])
    assert {text.get_text() for text in axes.texts} == {"quick", "slow", "theirs"}
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_frontier_needs_tested_rows():
    with pytest.raises(PlotError, match="no tested rows"):
        plot_frontier({"quick": ([float("nan")], [1.0])}, [])
