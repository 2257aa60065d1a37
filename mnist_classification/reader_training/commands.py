"""The command that hands models on: arguments and exit codes only, as in cli.py."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import ModelError
from ..options import DataDir


def export(
    model: Annotated[Path, Parameter(help="directory that `mnist train` wrote")],
    *,
    onnx: Path,
    calibrate: Annotated[bool, Parameter(help="also find when the model should be sure")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write a trained model as one ONNX file, and check it on all test images.

    Example: mnist export runs/reader-seed0 --onnx reader.onnx

    The file takes images as (N, 28, 28) uint8 and gives (N, 10) logits. With --calibrate the
    temperature and the threshold go into config.json beside it, found on the model's own hold-out.

    Parameters
    ----------
    onnx:
        The file to write.
    """
    from ..data import load_mnist
    from ..trained import load_model
    from .export import export_onnx, write_calibration

    trained = load_model(model)
    if calibrate and not trained.holdout:
        raise ModelError(
            f"{model}: was trained on all images; expected a model with a hold-out to calibrate "
            f"on; try mnist train --holdout 10000"
        )
    data = load_mnist(data_dir, holdout=trained.holdout, fold=trained.fold)
    if calibrate and data.fingerprint != trained.data:
        raise ModelError(f"{model}: was trained on another data set; give its folder by --data-dir")
    export_onnx(trained, onnx, data.test.images)
    print(f"{onnx}: {onnx.stat().st_size:,} bytes; same labels on {len(data.test):,} test images")
    if calibrate and data.holdout:
        found = write_calibration(trained, data.holdout, onnx.with_name("config.json"))
        print(
            f"temperature {found.temperature:.3f}: expected calibration error "
            f"{found.error_before:.2%} → {found.error:.2%}; sure from {found.threshold:.3f} on: "
            f"{found.coverage:.1%} of the half not chosen on, {found.right_if_sure:.2%} of it right"
        )
