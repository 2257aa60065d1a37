"""The `mnist` command: arguments and exit codes only.

Results go to stdout, progress and warnings to stderr. What a command needs is imported inside it,
so that `--help` answers at once.
"""

import dataclasses
import errno
import io
import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from .errors import LostProcessError, MnistError
from .options import (
    DataDir,
    Device,
    Fold,
    Holdout,
    Json,
    Precision,
    PretrainedWeights,
    Threads,
    convert_exactly,
    this_command,
)
from .pictures.commands import visualize
from .reader.commands import predict
from .reader_training.commands import train_reader
from .recipes import SETTINGS, find_recipe, with_changes
from .server.commands import page, serve
from .shipped import SHIPPED_MODEL
from .study.commands import compare, experiment, report

app = App(
    name="mnist",
    help="Train, test and compare the classic MNIST networks.\n\n"
    "Example: mnist train --recipe decay --seed 1",
    default_parameter=Parameter(negative=(), converter=convert_exactly),
    suppress_keyboard_interrupt=False,  # main says how to resume, and gives the exit code
)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # where the output goes
NARROWEST = 20  # columns; the help of narrower terminals would never end
SERVER_PACKAGES = ("onnx", "python_multipart", "starlette", "uvicorn")

# Every field of a recipe is a flag; one that is not given leaves the recipe's own value.
RecipeFlags = dataclasses.make_dataclass(
    "RecipeFlags",
    [
        (name, Annotated[hint.__origin__ | None, Parameter(help=hint.__metadata__[0])], None)
        for name, hint in SETTINGS.items()
    ],
    namespace={"__module__": __name__},
)

for command in (experiment, report, compare, visualize, predict, page, serve, train_reader):
    app.command(command)


class Terminated(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C is but for the exit code."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit: 0, or 2 with one line on stderr, or 130/143 when stopped."""

    def terminate(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    _mend_surroundings()
    for stream in (sys.stdout, sys.stderr):  # ± and → can't be said in Windows' own encodings
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    code = 0
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (MnistError, CycloptsError) as error:
        if debug:
            raise
        if _is_first() or isinstance(error, LostProcessError):
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except ModuleNotFoundError as error:
        if debug or str(error.name).startswith("mnist_classification"):
            raise
        extra = "serve" if error.name in SERVER_PACKAGES else "train"
        print(
            f"error: {error.name} is not installed; this command needs more packages; "
            f"try: pip install '.[{extra}]' in the checkout",
            file=sys.stderr,
        )
        code = 2
    except BrokenPipeError:  # whoever read our output has had enough, as `head` does
        _drop_output()
        code = 141
    except OSError as error:
        if debug or error.errno not in NO_ROOM:
            raise
        _drop_output()
        print(f"error: can't write the output: {error.strerror}; try another disk", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        notes = getattr(stop, "__notes__", [])
        if _is_first():
            print(f"\nstopped{''.join(f'; {note}' for note in notes)}", file=sys.stderr)
        code = 143 if isinstance(stop, Terminated) else 130
    sys.exit(code)


def _mend_surroundings() -> None:
    """Have something where a stream was closed, a width that help fits into, and a folder."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the end
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) < NARROWEST:
        del os.environ["COLUMNS"]
    try:
        Path.cwd()
    except FileNotFoundError:
        print("error: the current folder is gone; try again in another one", file=sys.stderr)
        sys.exit(2)


def _drop_output() -> None:
    """Send what is left of the output nowhere, so that it can't fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command
def train(
    *,
    recipe: str = "decay",
    changes: Annotated[
        RecipeFlags | None,  # type: ignore[valid-type]
        Parameter(name="*", group="Changes to the recipe"),
    ] = None,
    seed: int = 0,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    holdout: Holdout = 0,
    fold: Fold = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    precision: Precision = "auto",
    pretrained_weights: PretrainedWeights = None,
    threads: Threads = None,
) -> None:
    """Train a network, test it and save it.

    Example: mnist train --recipe sgd --seed 3 --output runs/mine

    Parameters
    ----------
    recipe:
        Name of the recipe, see recipes.py.
    seed:
        Decides the initial weights and the order of the images.
    output:
        Directory of the model; else runs/RECIPE-seedSEED.
    resume:
        Go on from the last epoch of an interrupted run.
    overwrite:
        Drop what lies in the directory: an unfinished run, or a model of another recipe or data.
    """
    chosen = find_recipe(recipe)
    given = {k: v for k, v in vars(changes).items() if v is not None} if changes else {}
    chosen = with_changes(chosen, given)
    if recipe == "decay" and _is_first():
        _say(
            "recipe decay: the original's last row plus a learning rate that falls to zero; "
            "--recipe sgd is the original's"
        )
    directory = output if output is not None else Path("runs") / f"{chosen.name}-seed{seed}"

    from .alexnet import load_pretrained
    from .data import load_mnist
    from .device import environment, keep_freed_memory, pick_device, pick_precision, use_threads
    from .distributed import join, predict_together, threads_each
    from .model import check_network
    from .progress import Silent, TerminalProgress
    from .run import CHECKPOINTS, RunDirectory, check_seed, identify
    from .study.statistics import evaluate
    from .trained import file_checksum, model_card
    from .training import fit

    check_seed(seed)
    check_network(chosen.network)
    use_threads(threads if threads is not None else threads_each())
    keep_freed_memory()
    target = pick_device(device)
    precision = pick_precision(precision, target)
    where = environment(target)
    data = load_mnist(data_dir, holdout=holdout, fold=fold)
    weights = load_pretrained(pretrained_weights, chosen.network)
    checksum = file_checksum(pretrained_weights)
    try:
        with (
            join(target),
            RunDirectory(
                directory,
                identify(chosen, seed, data, precision, checksum, where),
                resume=resume,
                overwrite=overwrite,
            ) as run,
            TerminalProgress() if _is_first() else nullcontext(Silent()) as progress,
        ):
            trained = fit(
                chosen,
                data,
                seed=seed,
                device=device,
                precision=precision,
                weights=weights,
                run=run,
                progress=progress,
            )
            trained.pretrained_weights = checksum
            # Who sets images aside is choosing something, and must not see the test set.
            name, judged = ("hold-out", data.holdout) if data.holdout else ("test", data.test)
            digits = predict_together(trained.predict, judged.images).argmax(axis=1)
            evaluation = evaluate(digits, judged.labels)
            if not data.holdout:
                trained.test_accuracy = evaluation.accuracy
            result = f"{name.capitalize()} accuracy {_percent(evaluation)}"
            run.finish(trained, model_card(trained, result, where))
    except KeyboardInterrupt as stop:
        stop.add_note(f"continue with: {this_command(any(directory.glob(CHECKPOINTS)))}")
        raise
    if _is_first():
        print(f"{name} accuracy {_percent(evaluation)}; model saved in {directory}")


@app.command
def evaluate(
    *models: Annotated[Path, Parameter(help="directories that `mnist train` wrote")],
    data_dir: DataDir = None,
    device: Device = "auto",
    precision: Precision | None = None,
    json_: Json = False,
) -> None:
    """Test a model: accuracy with its 95% interval, and a table by digit.

    Without a model it is the one that ships; three or more are a committee, which reads as most do.

    Example: mnist evaluate runs/decay-seed0

    Parameters
    ----------
    precision:
        auto, bfloat16 or float32; else the one that the model was trained in.
    """
    from .data import load_mnist
    from .device import pick_device, pick_precision, use_threads
    from .distributed import threads_each
    from .study.records import check_committee, majority
    from .study.statistics import evaluate
    from .trained import load_model, say_other_data

    check_committee(models)
    use_threads(threads_each())
    models = models or (SHIPPED_MODEL,)
    committee = [load_model(model) for model in models]
    target = pick_device(device)
    data = load_mnist(data_dir)
    test = data.test
    chosen = pick_precision(precision, target) if precision else None
    voters = []
    for model, trained in zip(models, committee, strict=True):
        say_other_data(trained, data.fingerprint, str(model))
        trained.network.to(target)
        voters.append(trained.predict(test.images, chosen).argmax(axis=1))
    predictions = majority(voters)
    evaluation = evaluate(predictions, test.labels)
    if json_:
        result = {
            "models": [str(model) for model in models],
            "accuracy": evaluation.accuracy,
            "interval": evaluation.interval,
            "errors": evaluation.errors,
            "predictions": "".join(map(str, predictions)),
        }
        print(json.dumps(result))
        return
    print(f"{', '.join(map(str, models))}: {_percent(evaluation)}")
    print("digit  images  errors  accuracy  most often read as")
    for digit, row in enumerate(evaluation.confusion):
        images, correct = row.sum(), row[digit]
        wrong = [(count, other) for other, count in enumerate(row) if other != digit and count]
        most = ", ".join(f"{o} ({c}×)" for c, o in sorted(wrong, key=lambda p: (-p[0], p[1]))[:3])
        share = f"{correct / images:9.2%}" if images else "        –"
        print(f"{digit:>5}  {images:>6}  {images - correct:>6} {share}  {most}".rstrip())


@app.command
def export(
    model: Annotated[Path, Parameter(help="directory that `mnist train` wrote")],
    *,
    onnx: Path,
    data_dir: DataDir = None,
) -> None:
    """Write a trained model as one ONNX file, and check it on all test images.

    Example: mnist export runs/decay-seed0 --onnx decay.onnx

    The file takes images as (N, 28, 28) uint8 and gives (N, 10) logits.

    Parameters
    ----------
    onnx:
        The file to write.
    """
    from .data import load_mnist
    from .device import use_threads
    from .distributed import threads_each
    from .export import check_target, export_onnx
    from .trained import load_model, say_other_data

    use_threads(threads_each())
    check_target(onnx)
    trained = load_model(model)
    data = load_mnist(data_dir)
    say_other_data(trained, data.fingerprint, str(model))
    test = data.test
    export_onnx(trained, onnx, test.images)
    look = "; without the second look at unsure images" if trained.recipe.unsure_margin else ""
    size = f"{onnx.stat().st_size:,} bytes"
    print(f"{onnx}: {size}; same labels on {len(test):,} test images{look}")


@app.command
def info(*, data_dir: DataDir = None, json_: Json = False) -> None:
    """Show versions, device, threads, processor features, data and its checksums.

    Example: mnist info --json
    """
    from . import __version__
    from .data import load_mnist
    from .device import environment, pick_device, pick_precision

    data = load_mnist(data_dir)
    device = pick_device()
    facts: dict[str, Any] = {
        "mnist-classification": __version__,
        **environment(device),
        "precision": pick_precision("auto", device),
        "data": str(data.directory),
        "train_images": len(data.train),
        "test_images": len(data.test),
        "sha256": data.sha256,
    }
    if json_:
        print(json.dumps(facts))
        return
    checksums = facts.pop("sha256")
    for key, value in (facts | {f"sha256 {k}": v for k, v in checksums.items()}).items():
        print(f"{key:<30} {value}")


def _is_first() -> bool:
    """Tell whether this process speaks: of those that torchrun starts, the first does."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _percent(evaluation: Any) -> str:
    low, high = evaluation.interval
    total = evaluation.confusion.sum()
    return (
        f"{evaluation.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}, "
        f"{evaluation.errors} errors in {total:,} images)"
    )
