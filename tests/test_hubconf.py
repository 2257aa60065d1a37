"""torch.hub's entry points give the models that ship."""

import runpy
from types import FunctionType

import pytest
import torch
from conftest import ROOT, run_python

from mnist_classification import load_model
from mnist_classification.model import to_pixels
from mnist_classification.shipped import SHIPPED_MODEL
from mnist_classification.trained import predict


def load(name):
    return torch.hub.load(str(ROOT), name, source="local")


def test_every_model_that_ships_has_an_entry_point():
    shipped = {path.name for path in SHIPPED_MODEL.parent.iterdir() if path.is_dir()}
    entries = runpy.run_path(str(ROOT / "hubconf.py")).items()
    offered = {
        name
        for name, value in entries
        if isinstance(value, FunctionType) and not name.startswith("_")
    }
    assert offered == shipped


def test_mnist_model_takes_bytes_and_gives_its_logits(mnist):
    images = mnist.test.images[:500]
    logits = load("mnist_model")(torch.from_numpy(images))
    shipped = load_model(SHIPPED_MODEL)
    pixels = to_pixels(images, shipped.recipe.pixel_mean, shipped.recipe.pixel_std)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(logits.detach(), predict(shipped.network, pixels), **close)
    sure = (logits.topk(2).values.diff(dim=1) < -shipped.recipe.unsure_margin).flatten()
    expected = torch.from_numpy(shipped.predict(images, "float32"))
    assert 400 < sure.sum() < 500  # of the others `predict` takes a second look
    torch.testing.assert_close(logits.softmax(dim=1).detach()[sure], expected[sure], **close)
    assert (logits.argmax(dim=1).numpy() == mnist.test.labels[:500]).mean() > 0.98


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 28, 28), torch.zeros(2, 1, 28, 28, dtype=torch.uint8)]
)
def test_mnist_model_refuses_anything_else(images):
    with pytest.raises(ValueError, match=r"expected torch\.uint8"):
        load("mnist_model")(images)


def test_the_network_alone_does_not_need_what_exports_it():
    result = run_python("import sys, hubconf\nprint('mnist_classification.export' in sys.modules)")
    assert result.stdout == "False\n", result.stderr


def test_the_reader_reads():
    assert load("reader").read(ROOT / "plots" / "page.jpg").text == "6042"
