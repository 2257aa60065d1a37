"""`mnist export` as a user runs it."""

import copy
import shutil
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import assert_one_line_error, run_command
from PIL import Image

from mnist_classification import export
from mnist_classification.errors import ModelError
from mnist_classification.export import check_target, export_onnx, to_onnx
from mnist_classification.model import to_pixels
from mnist_classification.shipped import SHIPPED_MODEL, SHIPPED_READER
from mnist_classification.trained import load_model, predict


def test_export_checks_itself_and_gives_the_models_labels(mnist, small_dir, tmp_path):
    file = tmp_path / "model.onnx"
    result = run_command("export", SHIPPED_MODEL, "--onnx", file, "--data-dir", small_dir)
    assert (result.returncode, result.stderr) == (0, "")
    assert "same labels on 500 test images" in result.stdout
    check_target(file)  # it may be replaced
    trained = load_model(SHIPPED_MODEL)
    pixels = to_pixels(mnist.test.images[:300], trained.recipe.pixel_mean, trained.recipe.pixel_std)
    ours = predict(trained.network, pixels)  # without the second look, which is not exported
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": mnist.test.images[:300]})
    np.testing.assert_allclose(ours.numpy(), logits, atol=1e-4)
    picture = tmp_path / "seven.png"
    Image.fromarray(255 - np.pad(mnist.test.images[0], 10)).resize((192, 192)).save(picture)
    refused = run_command("predict", picture, "--model", file)
    assert_one_line_error(refused, "expected one that reads lines", "try")


def test_export_leaves_the_network_as_it_is():
    trained = load_model(SHIPPED_MODEL)
    strides = [parameter.stride() for parameter in trained.network.parameters()]
    weights = copy.deepcopy(trained.network.state_dict())
    to_onnx(trained)
    assert [parameter.stride() for parameter in trained.network.parameters()] == strides
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_export_replaces_what_it_wrote_and_nothing_else(small_dir, tmp_path):
    export = ["export", SHIPPED_MODEL, "--data-dir", small_dir, "--onnx"]
    reader = tmp_path / "reader.onnx"
    shutil.copy(SHIPPED_READER / "model.onnx", reader)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    refused = run_command(*export, weights)
    assert_one_line_error(refused, "expected a name that ends in .onnx")
    refused = run_command(*export, reader)
    assert_one_line_error(refused, "reader.onnx: is there, and no network that was exported")
    assert reader.read_bytes() == (SHIPPED_READER / "model.onnx").read_bytes()
    assert weights.read_bytes() == b"weights"


def test_a_network_whose_outputs_are_not_finite_is_not_exported(small, tmp_path):
    trained = load_model(SHIPPED_MODEL)
    with torch.no_grad():
        next(trained.network.head.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="outputs that are not finite; nothing was written"):
        export_onnx(trained, tmp_path / "model.onnx", small.test.images[:40])
    assert not (tmp_path / "model.onnx").exists()


@pytest.fixture(scope="module")
def exported():
    return to_onnx(load_model(SHIPPED_MODEL))


def replay(monkeypatch, content, change=lambda logits: logits):
    """Let `export_onnx` use a file made before, and what ONNX Runtime gives for it be changed."""

    class Session(onnxruntime.InferenceSession):
        batches: ClassVar[list[int]] = []

        def run(self, names, inputs):
            (images,) = inputs.values()
            self.batches.append(len(images))
            return [change(logits) for logits in super().run(names, inputs)]

    monkeypatch.setattr(export, "to_onnx", lambda _: content)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return Session


def test_any_number_of_images_is_checked_in_batches(exported, mnist, tmp_path, monkeypatch):
    session = replay(monkeypatch, exported)
    state = torch.get_rng_state()
    export_onnx(load_model(SHIPPED_MODEL), tmp_path / "model.onnx", mnist.test.images[:3])
    export_onnx(load_model(SHIPPED_MODEL), tmp_path / "model.onnx", mnist.test.images[:501])
    assert session.batches == [3, 500, 1]
    assert torch.equal(torch.get_rng_state(), state)


def test_another_label_is_refused_unless_the_two_are_tied(exported, small, tmp_path, monkeypatch):
    replay(monkeypatch, exported, change=lambda logits: np.roll(logits, 1, axis=1))
    trained = load_model(SHIPPED_MODEL)
    with pytest.raises(ModelError, match="other labels for 5 of 5 images; nothing was written"):
        export_onnx(trained, tmp_path / "model.onnx", small.test.images[:5])
    assert not (tmp_path / "model.onnx").exists()
    with torch.no_grad():
        for parameter in trained.network.head.parameters():
            parameter.zero_()  # ten logits alike: rounding may make any of them the largest
    export_onnx(trained, tmp_path / "model.onnx", small.test.images[:5])
    assert (tmp_path / "model.onnx").exists()
