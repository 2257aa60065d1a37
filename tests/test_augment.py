import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mnist_classification.augment import affine, augment
from mnist_classification.recipes import Augment


@pytest.fixture(scope="module")
def pixels(mnist):
    return torch.tensor(mnist.test.images[:40]).unsqueeze(1).float() / 255


def slow_affine(image, mirror, angle, right, down, paper):
    """Mirror, turn and shift one image with SciPy."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = np.array([13.5, 13.5])
    offset = centre - turn @ (centre + np.array([down, right]))
    image = image[:, ::mirror]
    return ndimage.affine_transform(
        image, turn, offset=offset, order=1, mode="grid-constant", cval=paper
    )


@pytest.mark.parametrize("paper", [0.0, -1.0])
def test_affine_agrees_with_scipy(pixels, paper):
    rng = np.random.default_rng(0)
    n = len(pixels)
    mirror, angle = rng.choice([-1, 1], n), rng.uniform(-3, 3, n)
    right, down = rng.integers(-9, 10, n), rng.integers(-9, 10, n)
    as_tensors = [torch.tensor(a, dtype=torch.float32) for a in (mirror, angle, right, down)]
    keys = ("mirror", "angle", "right", "down")
    ours = affine(pixels, **dict(zip(keys, as_tensors, strict=True)), paper=paper)
    for i in range(n):
        slow = slow_affine(
            pixels[i, 0].numpy(), mirror[i], angle[i], right[i], down[i], paper=paper
        )
        np.testing.assert_allclose(ours[i, 0], slow, atol=2e-5)


def test_nothing_switched_on_is_nothing_done(pixels):
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert augment(pixels, Augment(), paper=0.0, generator=generator) is pixels
    assert torch.equal(generator.get_state(), state)


def test_flips_are_exact_and_half_of_the_images(pixels):
    many = pixels[:1].expand(2000, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    out = augment(many, Augment(flip_probability=0.5), paper=0.0, generator=generator)
    flipped = (out - many.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    same = (out - many).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert torch.equal(flipped, ~same)
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_shifts_reach_every_whole_pixel_equally_often():
    dot = torch.full((5000, 1, 28, 28), -1.0)
    dot[:, :, 14, 14] = 1.0
    generator = torch.Generator().manual_seed(0)
    out = augment(dot, Augment(shift_pixels=7), paper=-1.0, generator=generator)
    places = out.flatten(1).argmax(dim=1)
    rows, columns = places // 28 - 14, places % 28 - 14
    for axis in (rows, columns):
        counts = torch.bincount(axis + 7, minlength=15)
        assert counts.shape == (15,)
        assert counts.min() > 5000 / 15 * 0.75
    torch.testing.assert_close(out.amax(dim=(1, 2, 3)), torch.ones(5000), atol=1e-4, rtol=0)


def test_rotations_fill_their_range_and_differ_by_image():
    bar = torch.zeros(500, 1, 28, 28)
    bar[:, :, 4:24, 13:15] = 1.0
    generator = torch.Generator().manual_seed(0)
    out = augment(bar, Augment(rotation_degrees=45), paper=0.0, generator=generator)[:, 0]
    place = torch.arange(28) - 13.5
    mass = out.sum(dim=(1, 2))
    xy = (out * place[None, :, None] * place[None, None, :]).sum(dim=(1, 2)) / mass
    xx = (out * place[None, None, :] ** 2).sum(dim=(1, 2)) / mass
    yy = (out * place[None, :, None] ** 2).sum(dim=(1, 2)) / mass
    degrees = torch.rad2deg(torch.atan2(2 * xy, yy - xx) / 2)
    assert degrees.abs().max() < 46
    assert degrees.max() > 40
    assert degrees.min() < -40
    assert degrees.std() == pytest.approx(90 / math.sqrt(12), rel=0.1)
