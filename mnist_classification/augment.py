"""Random changes to training images: whole-batch tensor operations, drawn anew for each image.

    pixels = augment(pixels, Augment(rotation_degrees=10, shift_pixels=2), paper=-1.0, generator=g)

One affine map does it all, as in spatial transformer networks (Jaderberg et al. 2015): each output
pixel is read, bilinearly, from where the map says that it came from.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .recipes import Augment


def augment(
    pixels: Tensor, settings: Augment, *, paper: float, generator: torch.Generator
) -> Tensor:
    """Mirror, then turn about the centre, then shift each image by an amount of its own.

    Args:
        pixels: (N, 1, H, W) float32 on any device.
        paper: the pixel value of blank paper, which fills what comes in from outside.
        generator: on the CPU; the draws go to the device of the pixels.

    Returns:
        (N, 1, H, W), new; `pixels` itself where every setting is off.
    """
    if settings == Augment():
        return pixels
    mirror, turn, *shift = torch.rand(4, len(pixels), generator=generator).to(
        pixels.device, non_blocking=True
    )
    mirror = torch.where(mirror < settings.flip_probability, -1.0, 1.0)
    angle = (2 * turn - 1) * math.radians(settings.rotation_degrees)
    reach = settings.shift_pixels  # every whole number from -reach to +reach is as likely
    right, down = ((draw * (2 * reach + 1)).floor() - reach for draw in shift)
    return affine(pixels, mirror=mirror, angle=angle, right=right, down=down, paper=paper)


def affine(
    pixels: Tensor, *, mirror: Tensor, angle: Tensor, right: Tensor, down: Tensor, paper: float
) -> Tensor:
    """Mirror each image (-1) or not (1), turn it clockwise, then shift it.

    Args:
        pixels: (N, 1, H, W) float32.
        mirror, angle, right, down: (N,) float32; the angle in radians, the shifts in pixels.
        paper: the value of what comes in from outside.
    """
    height, width = pixels.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # From an output place back to where it came from: unshift, turn back, mirror. Places run
    # from -1 to 1 over the image, so that a shift of one pixel is 2 / width.
    x, y = right * 2 / width, down * 2 / height
    rows = [
        torch.stack([mirror * cos, mirror * sin, -mirror * (cos * x + sin * y)], dim=1),
        torch.stack([-sin, cos, sin * x - cos * y], dim=1),
    ]
    places = F.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    # Outside the image grid_sample reads zero, so zero has to mean paper.
    return F.grid_sample(pixels - paper, places, align_corners=False) + paper
