"""The `mnist visualize` commands: arguments and exit codes only, as in cli.py.

Each makes one picture, in --output under a name of its own, and prints where it lies.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ..errors import PlotError
from ..options import DataDir
from ..recipes import LADDER, Augment, find_recipe
from ..shipped import SHIPPED_MODEL

if TYPE_CHECKING:  # imports that would slow --help down
    from matplotlib.figure import Figure

    from ..data import Mnist
    from ..trained import Trained

visualize = App(
    name="visualize",
    help="Draw what a network sees, how it learned and where it fails.\n\n"
    "Example: mnist visualize tsne --num-samples 2000",
)

Model = Annotated[Path, Parameter(help="directory that `mnist train` wrote")]
Output = Annotated[Path, Parameter(help="folder of the picture")]
PLOTS = Path("plots")
TSNE = ("vanilla-mnist-tsne", "nontrained-model-mnist-tsne", "pretrained-model-mnist-tsne")


@visualize.command
def tsne(
    model: Model = SHIPPED_MODEL,
    *,
    num_samples: int = 1000,
    perplexity: float = 30,
    seed: int = 0,
    output: Output = PLOTS,
    interactive: Path | None = None,
    data_dir: DataDir = None,
) -> None:
    """Draw test images in a plane by t-SNE: raw pixels, untrained and trained network.

    Example: mnist visualize tsne --num-samples 2000 --interactive plots/tsne.html

    Parameters
    ----------
    num_samples:
        Test images to show, the first ones.
    perplexity:
        About how many neighbours each image is kept close to.
    seed:
        Of t-SNE's random numbers.
    interactive:
        Also write one HTML file; pointing at a dot shows its image.
    """
    from ..files import make_folder, may_replace, write_atomically
    from ..progress import track
    from .embedding import (
        REPORTS,
        check_perplexity,
        embed,
        hidden_features,
        raw_pixels,
        untrained,
    )
    from .page import PAGE_MARK, tsne_page
    from .plots import describe, plot_tsne

    check_perplexity(num_samples, perplexity)
    if interactive and not may_replace(interactive, PAGE_MARK):
        raise PlotError(f"{interactive}: is there, and no page of this version; try another name")
    if not 0 <= seed < 2**32:
        raise PlotError(f"got seed {seed}; expected 0 to 2^32 - 1")
    trained, data = _load(model, data_dir)
    if num_samples > len(data.test):
        raise PlotError(
            f"got {num_samples} samples; expected at most {len(data.test)}, all of them"
        )
    if interactive:
        make_folder(interactive.parent)
    for file_name in TSNE:
        _find_place(output, file_name)  # before the long work, not after it
    samples = data.test[:num_samples]
    before, after = (
        hidden_features(t, samples.images) for t in (untrained(trained, data), trained)
    )
    spaces = {
        "Raw pixels": raw_pixels(samples.images),
        "Untrained network": before,
        "Trained network": after,
    }
    embeddings = {}
    for file_name, (space, vectors) in zip(TSNE, spaces.items(), strict=True):
        with track(f"t-SNE, {space.lower()}", REPORTS) as report:
            embedding = embed(
                vectors, samples.labels, perplexity=perplexity, seed=seed, report=report
            )
        title = f"{space}: t-SNE of {vectors.shape[1]} numbers per image"
        _save(plot_tsne(embedding, samples.labels, title), output, file_name)
        print(f"  {describe(embedding)}")
        embeddings[space] = embedding
    if interactive:
        heading = f"Test images as {_title(model, trained)} sees them"
        page = tsne_page(embeddings, samples, trained.predict(samples.images), heading)
        write_atomically(interactive, page)
        print(interactive)


@visualize.command
def curves(
    sources: Annotated[
        list[Path], Parameter(help="runs or folders of results, such as runs/mine runs/ladder")
    ],
    *,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw loss and error over the epochs, with a band over seeds.

    Example: mnist visualize curves runs/ladder
    """
    from ..data import load_mnist
    from ..study.results import is_run, load_histories
    from .plots import plot_curves

    data = load_mnist(data_dir)
    # Runs of one name differ in their seed; rows of one name in two folders, who knows in what.
    found = [
        (name, "" if is_run(source) else f", {source}", histories)
        for source in dict.fromkeys(sources)
        for name, histories in load_histories(source, data).items()
    ]
    places = {name: {where for other, where, _ in found if other == name} for name, *_ in found}
    runs: dict[str, list[Any]] = {}
    for name, where, histories in found:
        runs.setdefault(name + where * (len(places[name]) > 1), []).extend(histories)
    _save(plot_curves(runs), output, "curves")


@visualize.command
def confusion(
    model: Model = SHIPPED_MODEL, *, output: Output = PLOTS, data_dir: DataDir = None
) -> None:
    """Draw how often each digit is read as each.

    Example: mnist visualize confusion runs/decay-seed0
    """
    from ..study.statistics import evaluate
    from .plots import plot_confusion

    trained, data = _load(model, data_dir)
    predictions = trained.predict(data.test.images).argmax(axis=1)
    matrix = evaluate(predictions, data.test.labels).confusion
    _save(plot_confusion(matrix, _title(model, trained)), output, "confusion")


@visualize.command
def mistakes(
    model: Annotated[
        Path, Parameter(help="directory that `mnist train` wrote, or a row of results")
    ] = SHIPPED_MODEL,
    *,
    count: int = 24,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw the test images that were read wrongly with the most confidence.

    Of a row of results, those that most seeds misread: what there is left to learn.

    Example: mnist visualize mistakes results/runs/eight-epochs+precision=bfloat16

    Parameters
    ----------
    count:
        Images to show at most.
    """
    from ..data import load_mnist
    from ..study.published import DISPUTED
    from ..study.records import count_votes
    from ..study.results import list_results, load_row
    from .plots import plot_mistakes

    if count < 1:
        raise PlotError(f"got count {count}; expected 1 or more")
    if os.path.exists(model) or not list_results(model.parent, model.name):  # noqa: PTH110
        trained, data = _load(model, data_dir)
        probabilities = trained.predict(data.test.images)
        title, name = _title(model, trained), "mistakes"
    else:
        data = load_mnist(data_dir)
        runs = load_row(model, data)
        if runs[0].holdout:
            raise PlotError(f"got {model}, judged on a hold-out; expected a row of the test set")
        probabilities = count_votes([run.digits for run in runs]) / len(runs)
        title, name = f"{runs[0].recipe.name}, votes of {len(runs)} seeds", "shared-mistakes"
    disputed = DISPUTED if data.is_mnist else ()  # another data set has labels of its own
    figure = plot_mistakes(data.test, probabilities, title, disputed=disputed, count=count)
    _save(figure, output, name)


@visualize.command
def filters(
    model: Model = SHIPPED_MODEL,
    *,
    image: int = 0,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw the first layer's filters, and what each layer makes of one image.

    Example: mnist visualize filters --image 8

    Parameters
    ----------
    image:
        Index of the image in the test set.
    """
    from .plots import plot_filters

    trained, data = _load(model, data_dir)
    if not 0 <= image < len(data.test):
        raise PlotError(f"got image {image}; expected 0 to {len(data.test) - 1}")
    title = f"{_title(model, trained)}, test image {image}"
    _save(plot_filters(trained, data.test.images[image], title), output, "filters")


@visualize.command
def augmentations(
    recipe: Annotated[str, Parameter(help="name of a recipe that augments")] = "decay-rotation",
    *,
    seed: int = 0,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw what a recipe's augmentation makes of training images.

    Example: mnist visualize augmentations decay+rotation-degrees=10+shift-pixels=2

    Parameters
    ----------
    seed:
        Of the random changes.
    """
    chosen = find_recipe(recipe)
    if chosen.augment == Augment():
        raise PlotError(
            f"got recipe {chosen.name!r}, which does not augment; expected one that does; "
            f"try {chosen.name}+shift-pixels=2"
        )

    from ..data import load_mnist
    from ..run import check_seed
    from .plots import plot_augmentations

    check_seed(seed)
    images = load_mnist(data_dir).train.images[:6]
    figure = plot_augmentations(images, chosen, seed=seed)
    _save(figure, output, "augmentations")


@visualize.command
def ladder(
    results: Annotated[Path, Parameter(help="folder of `mnist experiment ladder`")] = Path(
        "results/runs"
    ),
    *,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw the ladder's accuracies with their intervals, beside the original's figures.

    Example: mnist visualize ladder runs/ladder
    """
    from ..data import load_mnist
    from ..study.experiments import EXPERIMENTS
    from ..study.tables import accuracies_of, by_recipe, claims_about
    from .plots import plot_ladder

    data = load_mnist(data_dir)
    rows = by_recipe(EXPERIMENTS["ladder"].load(results, data))
    accuracies = {
        recipe.name: accuracies_of(rows[recipe.name]) for recipe in LADDER if recipe.name in rows
    }
    claims = {row: percent / 100 for row, percent in claims_about(data).items()}
    _save(plot_ladder(accuracies, claims), output, "ladder")


@visualize.command
def frontier(
    results: Annotated[Path, Parameter(help="folder of `mnist experiment frontier`")] = Path(
        "results/runs"
    ),
    *,
    output: Output = PLOTS,
    data_dir: DataDir = None,
) -> None:
    """Draw the error that is left over the seconds that it took, beside what others report.

    Example: mnist visualize frontier runs/frontier
    """
    from ..data import load_mnist
    from ..study.experiments import EXPERIMENTS
    from ..study.published import ANCHORS
    from ..study.tables import accuracies_of, by_recipe
    from .plots import plot_frontier

    data = load_mnist(data_dir)
    rows = by_recipe(EXPERIMENTS["frontier"].load(results, data))
    points = {
        row: (accuracies_of(runs), [run.total_seconds for run in runs])
        for row, runs in rows.items()
    }
    anchors = ANCHORS if data.is_mnist else []  # they are about MNIST
    _save(plot_frontier(points, anchors), output, "frontier")


def _load(model: Path, data_dir: Path | None) -> "tuple[Trained, Mnist]":
    from ..data import load_mnist
    from ..device import use_threads
    from ..distributed import threads_each
    from ..trained import load_model, say_other_data

    use_threads(threads_each())
    trained, data = load_model(model), load_mnist(data_dir)
    say_other_data(trained, data.fingerprint, str(model))
    return trained, data


def _title(model: Path, trained: "Trained") -> str:
    """Return a model's name and the recipe and seed behind it, for a picture's title."""
    return f"{model.name} ({trained.recipe.name}, seed {trained.seed})"


def _save(figure: "Figure", folder: Path, name: str) -> None:
    """Write the picture as PNG and print where it lies."""
    import io

    from ..files import write_atomically

    path = _find_place(folder, name)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150)
    write_atomically(path, buffer.getvalue())
    print(path)


def _find_place(folder: Path, name: str) -> Path:
    """Return where a picture is to lie; the folder is made, and a picture of others is refused."""
    from ..files import make_folder, may_replace

    make_folder(folder)
    path = folder / f"{name}.png"
    if not may_replace(path, b"Matplotlib"):  # which names itself in what it draws
        raise PlotError(f"{path}: is there, and no plot of ours; try another --output")
    return path
