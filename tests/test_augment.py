import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mnist_classification.augment import affine, augment, change_strokes, cut, shift
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


@pytest.mark.parametrize("paper", [0.0, -1.0])
def test_shifts_alone_move_as_scipy_does(pixels, paper):
    rng = np.random.default_rng(0)
    right, down = torch.tensor(rng.integers(-3, 4, (2, len(pixels))))
    moved = shift(pixels, right, down, 3, paper=paper)
    for image, out, x, y in zip(pixels, moved, right.tolist(), down.tolist(), strict=True):
        slow = ndimage.shift(image[0].numpy(), (y, x), order=0, mode="constant", cval=paper)
        np.testing.assert_array_equal(out[0], slow)


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


def test_scale_and_slant_agree_with_scipy(pixels):
    rng = np.random.default_rng(1)
    n = len(pixels)
    zero = torch.zeros(n)
    wider, taller, slant = (
        torch.tensor(rng.uniform(*bounds, n), dtype=torch.float32)
        for bounds in [(0.7, 1.3), (0.7, 1.3), (-0.5, 0.5)]
    )
    ours = affine(
        pixels,
        **{"mirror": zero + 1, "angle": zero, "right": zero, "down": zero, "paper": 0.0},
        **{"wider": wider, "taller": taller, "slant": slant},
    )
    centre = np.array([13.5, 13.5])
    for i in range(n):
        # Row and column that each output pixel is read from.
        back = np.array([[1 / taller[i], 0], [slant[i] / wider[i], 1 / wider[i]]])
        slow = ndimage.affine_transform(
            pixels[i, 0].numpy(), back, offset=centre - back @ centre, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(ours[i, 0], slow, atol=2e-5)


def test_the_elastic_warp_moves_ink_smoothly_and_no_further_than_asked(pixels):
    generator = torch.Generator().manual_seed(0)
    out = augment(pixels, Augment(elastic_pixels=0.8), paper=0.0, generator=generator)
    change = (out - pixels).abs().mean(dim=(1, 2, 3))
    assert (change > 0.002).all()
    mass = out.sum(dim=(1, 2, 3)) / pixels.sum(dim=(1, 2, 3))
    assert mass.min() > 0.7
    assert mass.max() < 1.4
    straight = torch.zeros(len(pixels), 2, 6, 6)
    straight[:, 0] = 3.0  # everywhere read three pixels further right: the ink moves left
    zero = torch.zeros(len(pixels))
    moved = affine(
        pixels, mirror=zero + 1, angle=zero, right=zero, down=zero, paper=0.0, warp=straight
    )
    torch.testing.assert_close(moved[..., 4:20], pixels[..., 7:23], atol=1e-4, rtol=0)


def test_strokes_grow_shrink_or_blur(pixels):
    n = len(pixels)
    for kind, grows in [(0, True), (1, False)]:
        out = change_strokes(pixels, torch.full((n,), kind), torch.ones(n))
        assert torch.equal(out >= pixels, torch.ones_like(out, dtype=torch.bool)) == grows
        assert torch.equal(out <= pixels, torch.ones_like(out, dtype=torch.bool)) != grows
    thick = change_strokes(pixels, torch.zeros(n).long(), torch.ones(n))
    thin = change_strokes(pixels, torch.ones(n).long(), torch.ones(n))
    image = pixels[0, 0].numpy()
    eroded = ndimage.grey_erosion(image, 3, mode="nearest")  # half a step of it, see there
    np.testing.assert_allclose(thick[0, 0], ndimage.grey_dilation(image, 3, mode="nearest"))
    np.testing.assert_allclose(thin[0, 0], (image + eroded) / 2, atol=1e-6)
    blurred = change_strokes(pixels, torch.full((n,), 2), torch.ones(n))
    slow = ndimage.uniform_filter(pixels[0, 0].numpy(), 3, mode="nearest")
    np.testing.assert_allclose(blurred[0, 0], slow, atol=1e-5)
    torch.testing.assert_close(
        change_strokes(pixels, torch.zeros(n).long(), torch.zeros(n)), pixels
    )


def test_cuts_are_straight_lines_of_paper_through_the_chosen():
    ink = torch.ones(400, 1, 28, 28)
    chosen = torch.arange(400) % 2 == 0
    draws = torch.rand(3, 400, generator=torch.Generator().manual_seed(0))
    out = cut(ink, chosen, *draws, paper=-1.0)
    assert (out[~chosen] == 1).all()
    wiped = (out[chosen] == -1).sum(dim=(1, 2, 3))
    assert wiped.min() > 5
    assert wiped.max() < 28 * 4


def test_contrast_and_noise_stay_within_their_shares(pixels):
    generator = torch.Generator().manual_seed(0)
    faded = augment(pixels, Augment(contrast_share=0.4), paper=0.0, generator=generator)
    ratio = faded.amax(dim=(1, 2, 3)) / pixels.amax(dim=(1, 2, 3))
    assert ratio.min() >= 0.6 - 1e-6
    assert ratio.max() <= 1
    assert ratio.std() > 0.05
    noisy = augment(pixels, Augment(noise_share=0.1), paper=0.0, generator=generator)
    spread = (noisy - pixels).std(dim=(1, 2, 3))
    assert spread.max() < 0.12
    assert spread.std() > 0.01


@pytest.mark.parametrize("field", ["scale_share", "shear", "elastic_pixels", "stroke_strength"])
def test_every_image_is_changed_by_an_amount_of_its_own(pixels, field):
    same = pixels[:1].expand(30, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    out = augment(same, Augment(**{field: 0.3}), paper=0.0, generator=generator)
    assert len({tuple(image.flatten().tolist()) for image in out}) == 30


def test_all_changes_together_keep_digits_readable(pixels):
    generator = torch.Generator().manual_seed(0)
    strong = Augment(
        rotation_degrees=15.0,
        shift_pixels=2,
        scale_share=0.18,
        shear=0.3,
        elastic_pixels=0.8,
        stroke_strength=0.8,
        gap_probability=0.15,
        contrast_share=0.4,
        noise_share=0.1,
    )
    out = augment(pixels, strong, paper=0.0, generator=generator)
    assert out.isfinite().all()
    mass = out.clamp(0, 1).sum(dim=(1, 2, 3)) / pixels.sum(dim=(1, 2, 3))
    assert mass.min() > 0.25
    assert mass.max() < 3
