import pytest
import torch
from torch import nn

from mnist_classification.convolution import MOST_POSITIONS, Convolution


def outputs_and_gradients(layer, pixels, precision):
    """The outputs, and the gradients of pixels, weight and bias, of the outputs' weighted sum."""
    pixels = pixels.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
        outputs = layer(pixels)
    weights = torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)
    return outputs, torch.autograd.grad(
        (outputs.float() * weights).sum(), (pixels, layer.weight, layer.bias)
    )


@pytest.mark.parametrize(
    ("size", "padding", "height", "width"),
    [(3, 1, 3, 3), (3, 0, 7, 7), (2, (0, 1), 3, 5), ((2, 3), (1, 0), 4, 6), (3, 1, 12, 12)],
)
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_is_pytorchs(size, padding, height, width, precision):
    layer = Convolution(8, 16, size, padding=padding)
    reference = nn.Conv2d(8, 16, size, padding=padding)
    reference.load_state_dict(layer.state_dict())
    pixels = torch.randn(4, 8, height, width, generator=torch.Generator().manual_seed(0))

    outputs, gradients = outputs_and_gradients(layer, pixels, precision)
    expected, expected_gradients = outputs_and_gradients(reference, pixels, precision)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == torch.float32
        # bfloat16 keeps eight bits, and the two sum in another order.
        torch.testing.assert_close(gradient, wanted, rtol=0.02, atol=0.01 * wanted.abs().max())


@pytest.mark.parametrize(
    ("size", "training", "precision", "is_product"),
    [
        (5, True, "bfloat16", True),
        (6, True, "bfloat16", False),
        (5, False, "bfloat16", False),
        (5, True, "float32", False),
    ],
)
def test_takes_the_product_on_small_grids(size, training, precision, is_product):
    assert MOST_POSITIONS == 5**2
    layer = Convolution(2, 3, 3, padding=1).train(training)
    outputs, _ = outputs_and_gradients(layer, torch.ones(1, 2, size, size), precision)
    assert ("SmallGrid" in type(outputs.grad_fn).__name__) is is_product


@pytest.mark.parametrize(
    "option", [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "reflect"}]
)
def test_options_that_the_product_would_ignore_are_not_offered(option):
    with pytest.raises(TypeError, match="unexpected keyword"):
        Convolution(2, 4, 3, **option)


def test_needs_no_gradient_of_its_input():
    layer = Convolution(1, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.ones(1, 1, 4, 4)).float().sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 1, 3, 3), 4.0))
    torch.testing.assert_close(layer.bias.grad, torch.full((2,), 4.0))
