"""The commands that measure and compare: arguments and exit codes only, as in cli.py."""

import json
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import ExperimentError, ResultError, unknown
from ..options import DataDir, Device, Holdout, Json, Precision, PretrainedWeights

RESULTS = Path("results/runs")  # what is committed


def experiment(
    name: Annotated[
        str,
        Parameter(
            help="one of study/experiments.py, such as ladder; or run, for recipes of your choice"
        ),
    ],
    *,
    recipes: str | None = None,
    seeds: str | None = None,
    holdout: Holdout = 0,
    folds: str | None = None,
    output: Path | None = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    precision: Precision | None = None,
    pretrained_weights: PretrainedWeights = None,
    workers: int | None = None,
    threads: int | None = None,
    checkpoints: bool = False,
    engine: str = "local",
    address: str | None = None,
) -> None:
    """Train recipes × seeds and write one result file per run; what is done is not done again.

    Example: mnist experiment run --recipes sgd,sgd+batch-size=8 --seeds 0-4

    Parameters
    ----------
    recipes:
        For run: recipes by name, separated by commas, changes added as +field=value.
    seeds:
        For run: such as 0-4 or 1,5,8.
    folds:
        For run: which blocks of the training set are set aside in turn, such as 0-5; else the last.
    output:
        Folder of the results; else runs/NAME.
    precision:
        auto, bfloat16 or float32; else the experiment's own, float32 for run.
    workers:
        Processes at a time; else one per core, or one on a GPU; one where seconds are the point.
    threads:
        Threads per process; else one; one per core where seconds are the point, as in frontier,
        and to be given there with --address.
    checkpoints:
        Keep one of each epoch, so that long runs that were stopped go on where they were.
    engine:
        local, or ray for a Ray cluster: one of this machine that ends with the command, or
        address's.
    address:
        HOST:PORT of a Ray cluster's head; for --engine ray.
    """
    from ..data import load_mnist
    from .engines import choose_options
    from .experiments import choose_runs
    from .runner import run_experiment

    runs, timed = choose_runs(
        name,
        recipes=recipes,
        seeds=seeds,
        precision=precision,
        holdout=holdout,
        folds=folds,
        pretrained_weights=pretrained_weights,
    )
    options = choose_options(
        timed, workers, threads, device, engine, address, checkpoints=checkpoints
    )
    directory = output or Path("runs") / name
    count, failures = run_experiment(runs, directory, load_mnist(data_dir), options)
    print(f"{count - len(failures)} of {count} results in {directory}")
    if failures:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in failures.items())
        raise ExperimentError(f"{len(failures)} runs failed: {reasons}")


def report(
    name: Annotated[str, Parameter(help="experiment, or folder of result files")],
    *,
    results: Annotated[
        Path | None, Parameter(help="an experiment's folder of result files; else results/runs")
    ] = None,
    short: bool = False,
    data_dir: DataDir = None,
) -> None:
    """Write an experiment's tables as Markdown, from its result files.

    Example: mnist report ladder --results runs/ladder

    Parameters
    ----------
    short:
        As in README: the table alone, without the details.
    """
    from ..data import load_mnist
    from .experiments import EXPERIMENTS
    from .results import find_results, load_results
    from .tables import folder_tables, short_report
    from .tables import report as report_text

    data = load_mnist(data_dir)
    if name in EXPERIMENTS:
        text = EXPERIMENTS[name].report(results or RESULTS, data, short=short)
    elif not os.path.isdir(name):  # noqa: PTH112 - a name too long is none
        raise ResultError(unknown("experiment or folder", name, EXPERIMENTS))
    elif results:
        raise ResultError(f"got --results {results} beside the folder {name}; expected one of them")
    else:
        rows = load_results(find_results(Path(name)), data)
        text = (short_report if short else report_text)(folder_tables, rows, data)
    print(text, end="")


def compare(
    before: Annotated[Path, Parameter(help="such as results/runs/sgd, or a model's directory")],
    after: Annotated[Path, Parameter(help="another of the same kind")],
    *,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Compare two recipes over their seeds, or two models on the same images.

    Example: mnist compare results/runs/sgd results/runs/decay
    """
    from ..data import load_mnist
    from .results import load_row
    from .tables import compare_models, compare_rows

    data = load_mnist(data_dir)
    if any(os.path.exists(path / "config.json") for path in (before, after)):  # noqa: PTH110
        from ..device import use_threads
        from ..distributed import threads_each
        from ..trained import load_model, say_other_data

        use_threads(threads_each())
        read = []
        for path in (before, after):
            trained = load_model(path)
            say_other_data(trained, data.fingerprint, str(path))
            read.append(trained.predict(data.test.images).argmax(axis=1))
        facts, text = compare_models(read[0], read[1], data.test.labels)
    else:
        first_row, second_row = (load_row(path, data) for path in (before, after))
        facts, text = compare_rows(first_row, second_row, data)
    print(json.dumps(facts) if json_ else text)
