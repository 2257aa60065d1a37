"""`mnist train-reader`: arguments and exit codes only."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..options import DataDir, this_command

SHIPPED_STEPS = 16_400


def train_reader(
    *,
    output: Path = Path("runs/reader"),
    steps: Annotated[int, Parameter(help="batches of about 75 lines")] = SHIPPED_STEPS,
    seed: int = 0,
    holdout: Annotated[int, Parameter(help="training images kept for calibration")] = 10_000,
    beside: Annotated[
        Path | None, Parameter(help="a reader; train a second network for it, which knows words")
    ] = None,
    workers: Annotated[int, Parameter(help="processes that draw lines; 0: none beside this")] = 1,
    resume: bool = False,
    overwrite: bool = False,
    data_dir: DataDir = None,
    threads: Annotated[int, Parameter(help="processor threads")] = 2,
) -> None:
    """Train the network that reads numbers, calibrate it, and export it.

    Example: mnist train-reader --output runs/reader

    An interrupted run goes on with --resume. The directory is then a model for
    `mnist predict --model`. With --beside runs/reader it holds that reader's network, too, and
    where that one is in doubt both are asked.
    """
    # Threads that wait for each other must not spin: who draws the lines wants a processor, too.
    # It is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ..device import use_threads
    from ..run import CHECKPOINTS
    from .shipping import train_and_export

    use_threads(threads)
    try:
        made = train_and_export(
            output,
            steps=steps,
            seed=seed,
            holdout=holdout,
            workers=workers,
            beside=beside,
            resume=resume,
            overwrite=overwrite,
            data_dir=data_dir,
        )
    except KeyboardInterrupt as stop:
        stop.add_note(f"continue with: {this_command(any(output.glob(CHECKPOINTS)))}")
        raise
    found = made.calibration
    print(
        f"{output}: {made.size:,} bytes; of the held-back lines on which a number was read "
        f"{found.exact:.1%} right; sure from {found.threshold:.3f} on, {found.coverage:.1%} of them"
    )
