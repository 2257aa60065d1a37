"""Every picture: one function each, which returns a Figure; the caller saves it.

    figure = plot_confusion(evaluate(digits, data.test.labels).confusion, "sgd, seed 0")
    figure.savefig("confusion.png")

Colour is never alone: markers, line styles, digits or counts say the same, so that the pictures
hold for colour-blind readers and on a black-and-white printer. They are 8 inches wide, and the
text is made for README's width of about 800 pixels.
"""

import textwrap
from collections.abc import Collection
from typing import Any

import matplotlib.patheffects
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor, nn

from ..augment import augment
from ..data import Examples
from ..errors import PlotError
from ..model import to_pixels
from ..recipes import Recipe
from ..study.statistics import prediction_interval, summarize
from ..trained import Trained, predict
from .embedding import NEIGHBOURS, Embedding

WIDTH = 8.0  # inches
TITLE = 70  # letters that fit into it: recipes with changes have long names
LEGEND_NAME = 24  # letters of a name in a legend of three columns

# Paul Tol's "muted" scheme, safe for the common forms of colour blindness; its tenth colour, a
# grey that is lost on white, is black here. https://personal.sron.nl/~pault/
COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#222222"),
)
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*")
LINE_STYLES = ("-", "--", "-.", ":")
VERBATIM: dict[str, Any] = {"parse_math": False}  # for names: dollar signs in them are no formula
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
DISPUTED_COLOUR = "#D55E00"  # vermilion, of Okabe and Ito's scheme
ORIGINAL_COLOUR = "#0072B2"  # blue, of the same
HALO = matplotlib.patheffects.withStroke(linewidth=3, foreground="white")


def plot_tsne(embedding: Embedding, labels: np.ndarray, title: str) -> Figure:
    """Show images as points in a plane, with each digit written at its cluster's median.

    Args:
        labels: (N,) digits of the embedding's images.
    """
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    axes = figure.subplots()
    digits = np.unique(labels)
    size = np.clip(20_000 / len(labels), 3, 20)  # points squared: smaller where there are many
    for digit in digits:
        x, y = embedding.points[labels == digit].T
        label = f"{digit}  ({len(x):,})"
        style: dict[str, Any] = {"color": COLOURS[digit], "marker": MARKERS[digit]}
        axes.scatter(x, y, s=size, label=label, linewidths=0, **style)
    medians = np.stack([np.median(embedding.points[labels == d], axis=0) for d in digits])
    gap = 0.06 * np.ptp(embedding.points)
    for digit, (x, y) in zip(digits, spread(medians, gap), strict=True):
        axes.text(x, y, str(digit), size=20, weight="bold", path_effects=[HALO], **CENTRED)
    axes.set(title=title, xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")  # only distances mean anything
    figure.legend(loc="outside right center", title="digit (images)", markerscale=2)
    figure.supxlabel(describe(embedding), size=10)
    return figure


def describe(embedding: Embedding) -> str:
    """Return an embedding's parameters and how well the digits separate in it, in a line."""
    return (
        f"{len(embedding.points):,} test images, perplexity {embedding.perplexity:g}, "
        f"t-SNE seed {embedding.seed}: silhouette {embedding.silhouette:.2f}, "
        f"{NEIGHBOURS}-nearest-neighbour accuracy {embedding.neighbour_accuracy:.1%}"
    )


def spread(places: np.ndarray, gap: float) -> np.ndarray:
    """Push places apart until no two are nearer than `gap`, so that text there can be read.

    Args:
        places: (N, 2) float.
    """
    places = places.copy()
    for _ in range(100):
        for i in range(len(places)):
            for j in range(i):
                apart = places[i] - places[j]
                distance = float(np.hypot(*apart))
                if distance < gap:
                    direction = apart / distance if distance else np.array([0.0, 1.0])
                    places[i] += direction * (gap - distance) / 2
                    places[j] -= direction * (gap - distance) / 2
    return places


def plot_curves(runs: dict[str, list[list[dict[str, Any]]]]) -> Figure:
    """Show loss and error over the epochs: the mean over seeds in a band from lowest to highest.

    Args:
        runs: by recipe, the history of each seed, as in metrics.jsonl.

    Raises:
        PlotError: no run has finished an epoch.
    """
    trained = {name: [h for h in histories if h] for name, histories in runs.items()}
    trained = {name: histories for name, histories in trained.items() if histories}
    if not trained:
        raise PlotError("got runs without a finished epoch; expected one at least; try another run")
    columns = 3 if max(map(len, trained)) <= LEGEND_NAME else 1
    height = 4.6 + 0.4 / columns * len(trained)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    for i, (name, histories) in enumerate(trained.items()):
        # Every third colour, so that neighbours differ in lightness too.
        style: dict[str, Any] = {"color": COLOURS[3 * i % 10], "marker": MARKERS[i % 10]}
        style["linestyle"] = LINE_STYLES[i % 4]
        loss = [[record["train_loss"] for record in history] for history in histories]
        seeds = f"{len(histories)} seed{'s' if len(histories) > 1 else ''}"
        draw_band(loss_axes, loss, style, f"{name} ({seeds})")
        draw_band(error_axes, error_curves(histories, "train_accuracy"), style)
        if all("holdout_accuracy" in record for history in histories for record in history):
            held = error_curves(histories, "holdout_accuracy")
            draw_band(error_axes, held, style | {"fillstyle": "none"}, f"{name}, hold-out")
    loss_axes.set(title="training loss (mean cross-entropy)")
    error_axes.set(title="error (% of images)")
    for axes in (loss_axes, error_axes):
        axes.set(xlabel="epoch", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    legend = figure.legend(
        loc="outside lower center",
        ncols=columns,
        title="training: mean over seeds, band over all of them",
    )
    for text in legend.get_texts():
        text.set(**VERBATIM)
    return figure


def plot_frontier(
    rows: dict[str, tuple[list[float], list[float]]], anchors: list[tuple[str, float, float]]
) -> Figure:
    """Show how much error is left after how many seconds, both logarithmic.

    Args:
        rows: by recipe, the test accuracies, 0 to 1, and the seconds of its runs.
        anchors: what others report: name, error in percent, seconds.

    Raises:
        PlotError: there is no row, or one without test accuracies.
    """
    if not rows or not all(np.isfinite(accuracies).all() for accuracies, _ in rows.values()):
        raise PlotError("got no tested rows of the frontier; try `mnist experiment frontier`")
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    axes = figure.subplots()
    errors = [100 - 100 * np.mean(accuracies) for accuracies, _ in rows.values()]
    medians = [np.median(times) for _, times in rows.values()]
    for accuracies, times in rows.values():
        axes.plot(times, 100 - 100 * np.array(accuracies), ".", color="#AAAAAA", zorder=1)
    axes.plot(medians, errors, "ko-", label="this project: mean and median; grey: each seed")
    for name, error, seconds in zip(rows, errors, medians, strict=True):
        axes.annotate(name, (seconds, error), (-8, -12), textcoords="offset points", ha="right")
    hollow: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 2, "color": ORIGINAL_COLOUR}
    if anchors:
        _, claims, durations = zip(*anchors, strict=True)
        axes.plot(
            durations, claims, "D", label="others, as they report it, on their machines", **hollow
        )
    for number, (name, percent, after) in enumerate(anchors):
        place = (8, -14 if number % 2 else 5)  # by turns, so that neighbours don't meet
        axes.annotate(name, (after, percent), place, textcoords="offset points")
    axes.set(xscale="log", yscale="log", title="Error left after seconds of training and testing")
    axes.set_xlabel("seconds, from bytes in memory to the last test image")
    axes.set_ylabel("test error, %")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 2.5, high * 5)  # room for the names
    axes.set_yticks([2, 1, 0.8, 0.5, 0.3, 0.2], ["2", "1", "0.8", "0.5", "0.3", "0.2"])
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.4)
    axes.legend(loc="lower left")
    return figure


def plot_ladder(rows: dict[str, list[float]], original: dict[str, float]) -> Figure:
    """Show each row's accuracy over its seeds, with intervals, beside the original's figure.

    Untrained rows read one image in ten; they would flatten all the others, so that they stand
    in words at the edge.

    Args:
        rows: by recipe, the test accuracy of each seed, 0 to 1; drawn from top to bottom.
        original: by recipe, the mean of five runs that the original gives, 0 to 1.

    Raises:
        PlotError: no row is of a trained network.
    """
    rows = {name: values for name, values in rows.items() if values}
    trained = {name: summarize(values) for name, values in rows.items() if max(values) > 0.5}
    if not trained:
        raise PlotError(
            "got no tested row of the ladder; expected one; try `mnist experiment ladder`"
        )
    figure = Figure(figsize=(WIDTH, 1.9 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.use_sticky_edges = False  # room beside the bars
    height = {name: i for i, name in enumerate(rows)}
    y = [height[name] for name in trained]
    mean = np.array([100 * summary.mean for summary in trained.values()])
    reach = [100 * (s.interval[1] - s.mean) for s in trained.values()]
    together = max(sum(name in original for name in rows), 1)  # as in the table
    ranges = [prediction_interval(rows[name], n=5, intervals=together) for name in trained]
    low, high = 100 * np.reshape(ranges, (-1, 2)).T
    bar: dict[str, Any] = {"height": 0.6, "color": "#DDDDDD"}
    axes.barh(
        y, high - low, left=low, label="simultaneous 95% prediction interval, mean of five", **bar
    )
    seeds = [(100 * value, height[name] + 0.2) for name in trained for value in rows[name]]
    axes.plot(*np.array(seeds).T, ".", color="#777777", label="one seed")
    axes.errorbar(mean, y, xerr=reach, fmt="ko", capsize=6, label="mean and its 95% interval")
    claims = [(100 * original[name], height[name]) for name in trained if name in original]
    hollow: dict[str, Any] = {"color": ORIGINAL_COLOUR, "fillstyle": "none", "markeredgewidth": 2}
    if claims:
        label = "the original's mean of five"
        axes.plot(*np.array(claims).T, "D", markersize=9, label=label, **hollow)
    for name in rows.keys() - trained.keys():
        text = f"◂ {np.mean(rows[name]):.1%}, off the scale"
        text += f"; the original's {original[name]:.0%}" if name in original else ""
        axes.text(0.01, height[name], text, va="center", transform=axes.get_yaxis_transform())
    axes.set_yticks(list(height.values()), [f"{name}, n = {len(rows[name])}" for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(title="The ladder: each row is the one above with one change")
    axes.set_xlabel("test accuracy, %")
    axes.grid(axis="x", alpha=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def error_curves(histories: list[list[dict[str, Any]]], key: str) -> list[list[float]]:
    """Return the percentage of images read wrongly, by history and epoch."""
    return [[100 * (1 - record[key]) for record in history] for history in histories]


def draw_band(
    axes: Axes, curves: list[list[float]], style: dict[str, Any], label: str | None = None
) -> None:
    """Draw the mean of curves, and a band from the lowest to the highest.

    A run that is still in progress is shorter; the band ends where the shortest does.
    """
    epochs = min(len(curve) for curve in curves)
    values = np.array([curve[:epochs] for curve in curves])
    x = np.arange(1, epochs + 1)
    axes.plot(x, values.mean(axis=0), label=label, markersize=5, **style)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.2)


def plot_confusion(confusion: np.ndarray, title: str) -> Figure:
    """Show how often each digit is read as each: shades for the errors, a count in each cell.

    Args:
        confusion: (10, 10) int; row is the label, column the prediction.
    """
    figure = Figure(figsize=(WIDTH, 7), layout="constrained")
    axes = figure.subplots()
    errors = confusion * (1 - np.eye(10, dtype=int))  # the diagonal would outshine all else
    most = max(errors.max(), 1)
    axes.imshow(errors, cmap="Blues", vmin=0, vmax=1.5 * most)  # never darker than its text
    for label in range(10):
        axes.add_patch(Rectangle((label - 0.5, label - 0.5), 1, 1, fill=False))
        for digit in range(10):
            count = confusion[label, digit]
            weight = "bold" if label == digit else "normal"
            axes.text(digit, label, f"{count:,}" if count else "·", weight=weight, **CENTRED)
    axes.set_title(textwrap.fill(title, TITLE), **VERBATIM)
    axes.set(xlabel="read as", ylabel="label")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    totals = confusion.sum(axis=1)
    right = axes.secondary_yaxis("right")
    shares = np.divide(confusion.diagonal(), totals, out=np.full(10, np.nan), where=totals > 0)
    right.set_yticks(range(10), [f"{s:.2%}" if s == s else "–" for s in shares])
    right.set_ylabel("read rightly")
    wrong = int(errors.sum())
    figure.supxlabel(f"{wrong:,} errors in {totals.sum():,} images; the darker, the more", size=10)
    return figure


def most_confident_mistakes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the indices of the images read wrongly, the most confident first.

    Args:
        labels: (N,) digits.
        probabilities: (N, 10) float.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def plot_mistakes(
    test: Examples,
    probabilities: np.ndarray,
    title: str,
    *,
    disputed: Collection[int] = (),
    count: int = 24,
) -> Figure:
    """Show the most confident mistakes: label, prediction, probability and index of each image.

    Args:
        probabilities: (N, 10) float, of the test images.
        disputed: indices of the images whose label is in doubt; they are framed and say so.
        count: how many to show at most.

    Raises:
        PlotError: nothing was read wrongly.
    """
    mistakes = most_confident_mistakes(test.labels, probabilities)
    if not len(mistakes):
        raise PlotError(f"got {title}, which makes no mistake; expected one at least to show")
    shown = mistakes[:count]
    columns = 6
    rows = -(-len(shown) // columns)
    title = f"{title}: the {len(shown)} most confident of {len(mistakes)} mistakes"
    head = textwrap.wrap(title, TITLE)
    figure = Figure(figsize=(WIDTH, 1 + 0.2 * len(head) + 1.75 * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, index in zip(grid, shown, strict=False):
        digit = probabilities[index].argmax()
        show_image(axes, test.images[index])
        axes.set_title(f"{test.labels[index]} read as {digit}", size=11, weight="bold")
        facts = f"{probabilities[index, digit]:.1%}   #{index}"
        if index in disputed:
            axes.spines[:].set(color=DISPUTED_COLOUR, linewidth=3)
            axes.set_xlabel(f"{facts}\nlabel disputed", size=9, color=DISPUTED_COLOUR)
        else:
            axes.set_xlabel(facts, size=9)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    figure.suptitle("\n".join(head), **VERBATIM)
    figure.supxlabel("each with its probability, or share of votes, and its index", size=10)
    return figure


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one (28, 28) uint8 image as dark ink on white paper."""
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])


def plot_filters(trained: Trained, image: np.ndarray, title: str) -> Figure:
    """Show the first layer's filters, and what each layer makes of one image, before activation.

    Mid-grey is zero, white a layer's largest positive values and black as far below zero.

    Args:
        image: (28, 28) uint8.
    """
    pixels = to_pixels(image[np.newaxis], trained.recipe.pixel_mean, trained.recipe.pixel_std)
    layers = layer_outputs(trained.network, pixels)
    first = next(m for m in trained.network.modules() if isinstance(m, nn.Conv2d))
    filters = first.weight.detach().float().sum(dim=1)  # every colour channel sees the same grey
    rows = [("filters of the first layer", filters.cpu().numpy())]
    rows += [(f"layer {i}", output) for i, output in enumerate(layers[:-1], start=1)]
    tiled = [(f"{name}: {shape_text(maps)}", tile(maps)) for name, maps in rows]
    heights = [1.5] + [max(0.25, (WIDTH - 1) * t.shape[0] / t.shape[1]) for _, t in tiled]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.42 * len(heights) + 0.6), layout="constrained")
    ratios = [height + 0.42 for height in heights]
    top, *below = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=ratios)[:, 0]
    image_axes, bar_axes = top.subplots(1, 2, width_ratios=[1, 3])
    show_image(image_axes, image)
    bars = bar_axes.bar(range(10), trained.predict(image[np.newaxis])[0], color=COLOURS[0])
    bar_axes.bar_label(bars, fmt="{:.0%}", size=9)
    bar_axes.set(title="probability of each digit", xticks=range(10), yticks=[], ylim=(0, 1.2))
    for part, (name, picture) in zip(below, tiled, strict=True):
        axes = part.subplots()
        reach = np.nanquantile(np.abs(picture), 0.995)  # one extreme value must not dim the rest
        shades: dict[str, Any] = {"cmap": "gray", "vmin": -reach, "vmax": reach}
        aspect = "auto" if len(picture) == 1 else "equal"  # a strip of values fills its row
        axes.imshow(picture, aspect=aspect, interpolation="nearest", **shades)
        axes.set_anchor("W")
        axes.set_title(name, size=10, loc="left")
        axes.axis("off")
    figure.suptitle(textwrap.fill(title, TITLE), **VERBATIM)
    figure.supxlabel(
        "each layer's output, before activation: white positive, black negative", size=10
    )
    return figure


def layer_outputs(network: nn.Module, pixels: Tensor) -> list[np.ndarray]:
    """Return what each convolution and linear layer makes of the first image, in order.

    Args:
        pixels: (N, 1, 28, 28) float32.
    """
    outputs: list[np.ndarray] = []

    def keep(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output[0].float().cpu().numpy())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        predict(network, pixels.to(layers[0].weight.device))
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


MAPS_PER_ROW, MOST_MAPS = 16, 64


def tile(maps: np.ndarray) -> np.ndarray:
    """Lay maps out side by side as one picture, NaN between them.

    Args:
        maps: (C, h, w) float, of which the first 64 are taken; or (C,), one strip.
    """
    if maps.ndim == 1 or maps.shape[1:] == (1, 1):
        return maps.reshape(1, -1)
    return montage(maps[:MOST_MAPS], MAPS_PER_ROW)


def montage(maps: np.ndarray, columns: int) -> np.ndarray:
    """Lay (N, h, w) maps out in rows of so many, with gaps of NaN an eighth of a map wide."""
    enlarge = max(1, 24 // maps.shape[1])  # so that the gaps of small maps can be narrow
    maps = maps.repeat(enlarge, axis=1).repeat(enlarge, axis=2).astype(float)
    gap = maps.shape[1] // 8
    rows = -(-len(maps) // columns)
    padding = ((0, rows * columns - len(maps)), (0, gap), (0, gap))
    padded = np.pad(maps, padding, constant_values=np.nan)
    _, height, width = padded.shape
    cells = padded.reshape(rows, columns, height, width).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width)


def shape_text(maps: np.ndarray) -> str:
    """Return the shape of a layer's output in words: "64 of 9×9"."""
    if maps.ndim == 1 or maps.shape[1:] == (1, 1):
        return f"{len(maps)} values"
    text = f"{len(maps)} of {maps.shape[1]}×{maps.shape[2]}"
    return f"{text}, the first {MOST_MAPS} shown" if len(maps) > MOST_MAPS else text


def plot_augmentations(images: np.ndarray, recipe: Recipe, *, seed: int = 0) -> Figure:
    """Show images, one a row, and beside each what the recipe's augmentation makes of it.

    Args:
        images: (N, 28, 28) uint8.
        seed: of the random changes.
    """
    draws = 9
    originals = to_pixels(images, mean=0, std=1)
    repeated = originals.repeat_interleave(draws, dim=0)
    generator = torch.Generator().manual_seed(seed)
    variants = augment(repeated, recipe.augment, paper=0, generator=generator)
    figure = Figure(figsize=(WIDTH, WIDTH * len(images) / (draws + 1) + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, draws])
    left.imshow(montage(originals[:, 0].numpy(), 1), cmap="gray_r", vmin=0, vmax=1)
    right.imshow(montage(variants[:, 0].numpy(), draws), cmap="gray_r", vmin=0, vmax=1)
    left.set_title("original", size=11)
    right.set_title(f"as training sees it, {draws} draws of each", size=11)
    for axes in (left, right):
        axes.axis("off")
    figure.suptitle(textwrap.fill(f"Augmentation of recipe {recipe.name}", TITLE))
    return figure
