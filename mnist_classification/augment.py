"""Random changes to training images: whole-batch tensor operations, drawn anew for each image.

    pixels = augment(pixels, Augment(rotation_degrees=10, shift_pixels=2), paper=-1.0, generator=g)

First where the ink is: one map for all that moves it, as in spatial transformer networks (Jaderberg
et al. 2015), so that each output pixel is read, bilinearly, from where the map says that it came
from; shifts alone, by whole pixels, are copied, which is faster. Then what the pen, the paper and
the camera do to it.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .distributed import Part
from .recipes import Augment

ELASTIC_GRID = 6  # places along each axis where the smooth warp is drawn; between them it is smooth


def augment(
    pixels: Tensor,
    settings: Augment,
    *,
    paper: float,
    generator: torch.Generator,
    part: Part | None = None,
) -> Tensor:
    """Change each image by amounts of its own: first where its ink is, then how it looks.

    Args:
        pixels: (N, 1, H, W) float32 on any device.
        paper: the pixel value of blank paper, which fills what comes in from outside.
        generator: on the CPU; the draws go to the device of the pixels.
        part: which part of a batch the pixels are; None for all of one. It is drawn for the whole
            batch, so that an image is changed alike however many processes share it.

    Returns:
        (N, 1, H, W), new; `pixels` itself where every setting is off.
    """
    if settings == Augment():
        return pixels

    batch, mine = (part.total, part.images) if part else (len(pixels), slice(None))

    def draw(count: int) -> Tensor:
        """Return `count` numbers for each image, (count, N), equally likely from 0 to 1."""
        drawn = torch.rand(count, batch, generator=generator)[:, mine]
        return drawn.to(pixels.device, non_blocking=True)

    def draw_normal(*shape: int) -> Tensor:
        drawn = torch.randn(batch, *shape, generator=generator)[mine]
        return drawn.to(pixels.device, non_blocking=True)

    mirror, turn, *moves = draw(4)
    mirror = torch.where(mirror < settings.flip_probability, -1.0, 1.0)
    angle = (2 * turn - 1) * math.radians(settings.rotation_degrees)
    reach = settings.shift_pixels  # every whole number from -reach to +reach is as likely
    right, down = ((step * (2 * reach + 1)).floor() - reach for step in moves)
    if settings == Augment(shift_pixels=reach):  # whole pixels alone need no interpolation
        return shift(pixels, right.long(), down.long(), reach, paper=paper)
    shape: dict[str, Tensor] = {}  # drawn only if asked for: recipes without keep their numbers
    if settings.scale_share or settings.shear:
        wider, taller, slant = 2 * draw(3) - 1
        shape["wider"] = 1 + settings.scale_share * wider
        shape["taller"] = 1 + settings.scale_share * taller
        shape["slant"] = settings.shear * slant
    if settings.elastic_pixels:
        coarse = draw_normal(2, ELASTIC_GRID, ELASTIC_GRID)
        shape["warp"] = settings.elastic_pixels * coarse
    pixels = affine(
        pixels, mirror=mirror, angle=angle, right=right, down=down, paper=paper, **shape
    )

    if settings.stroke_strength:
        kind, strength = draw(2)
        pixels = change_strokes(pixels, (kind * 3).long(), strength * settings.stroke_strength)
    if settings.gap_probability:
        chance, *line = draw(4)
        pixels = cut(pixels, chance < settings.gap_probability, *line, paper=paper)
    if settings.contrast_share:
        fading = settings.contrast_share * draw(1).view(-1, 1, 1, 1)
        pixels = paper + (pixels - paper) * (1 - fading)
    if settings.noise_share:
        ink = pixels.amax(dim=(1, 2, 3), keepdim=True) - paper
        amount = settings.noise_share * ink * draw(1).view(-1, 1, 1, 1)
        pixels = pixels + amount * draw_normal(*pixels.shape[1:])
    return pixels


def shift(pixels: Tensor, right: Tensor, down: Tensor, reach: int, *, paper: float) -> Tensor:
    """Move each image by whole pixels, as `affine` does, in a fraction of its time.

    Args:
        pixels: (N, 1, H, W).
        right, down: (N,) int64, -reach to reach.
        paper: the value of what comes in from outside.
    """
    framed = F.pad(pixels, [reach] * 4, value=paper)
    windows = framed.unfold(2, pixels.shape[2], 1).unfold(3, pixels.shape[3], 1)
    images = torch.arange(len(pixels), device=pixels.device)
    return windows[images, :, reach - down, reach - right]


def affine(
    pixels: Tensor,
    *,
    mirror: Tensor,
    angle: Tensor,
    right: Tensor,
    down: Tensor,
    paper: float,
    wider: Tensor | float = 1.0,
    taller: Tensor | float = 1.0,
    slant: Tensor | float = 0.0,
    warp: Tensor | None = None,
) -> Tensor:
    """Mirror each image (-1) or not (1), resize and slant it, turn it clockwise, then shift it.

    Args:
        pixels: (N, 1, H, W) float32.
        mirror, angle, right, down: (N,) float32; the angle in radians, the shifts in pixels.
        paper: the value of what comes in from outside.
        wider, taller: (N,) factors.
        slant: (N,) columns to the left per row further down.
        warp: (N, 2, G, G), how many pixels right and down of its place each point of a coarse
            grid is read from; smooth in between (elastic distortion, Simard et al. 2003).
    """
    height, width = pixels.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # From an output place back to where it came from: unshift, turn back, unslant, resize back,
    # mirror. Places run from -1 to 1 over the image, so that a shift of one pixel is 2 / width.
    x, y = right * 2 / width, down * 2 / height
    from_x = torch.stack([cos + slant * -sin, sin + slant * cos], dim=1)
    from_y = torch.stack([-sin, cos], dim=1)
    rows = [
        _with_shift(from_x * (mirror / wider)[:, None], x, y),
        _with_shift(from_y / torch.as_tensor(taller, device=pixels.device).view(-1, 1), x, y),
    ]
    places = F.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    if warp is not None:
        pixel = torch.tensor([2 / width, 2 / height], device=pixels.device).view(2, 1, 1)
        between = _bicubic(warp.shape[2], warp.shape[3], height, width).to(warp)
        smooth = (warp * pixel).flatten(2) @ between
        places = places + smooth.transpose(1, 2).view(places.shape)
    # Outside the image grid_sample reads zero, so zero has to mean paper.
    return F.grid_sample(pixels - paper, places, align_corners=False) + paper


@cache
def _bicubic(rows: int, columns: int, height: int, width: int) -> Tensor:
    """Return bicubic interpolation as a matrix, (rows * columns, height * width): a fast way."""
    points = torch.eye(rows * columns).view(-1, 1, rows, columns)
    smooth = F.interpolate(points, size=(height, width), mode="bicubic", align_corners=True)
    return smooth.flatten(1)


def _with_shift(row: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return (N, 3): a row of the map, (N, 2), and what undoes the shift before it."""
    return torch.cat([row, -(row[:, :1] * x[:, None] + row[:, 1:] * y[:, None])], dim=1)


def change_strokes(pixels: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
    """Thicken (kind 0), thin (1) or blur (2) each image's strokes in part.

    Args:
        pixels: (N, 1, H, W), ink above paper.
        kind: (N,) int64.
        strength: (N,), 0 leaves the image and 1 is a full step of one pixel.
    """
    framed = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    thick = _join_neighbours(framed, torch.maximum)
    thin = _join_neighbours(framed, torch.minimum)
    blurred = _join_neighbours(framed, torch.add) / 9
    changed = torch.stack([thick, thin, blurred])[
        kind, torch.arange(len(pixels), device=pixels.device)
    ]
    # A whole step of thinning would wipe out the thin strokes that are to be learned.
    strength = torch.where(kind == 1, strength / 2, strength)
    return torch.lerp(pixels, changed, strength.view(-1, 1, 1, 1))


def _join_neighbours(framed: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Join each pixel with its eight neighbours; several times as fast as PyTorch's pooling."""
    rows = join(join(framed[:, :, :-2], framed[:, :, 1:-1]), framed[:, :, 2:])
    return join(join(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def cut(
    pixels: Tensor, chosen: Tensor, angle: Tensor, distance: Tensor, width: Tensor, *, paper: float
) -> Tensor:
    """Wipe a straight line of paper through the chosen images, as where a pen skipped.

    Args:
        pixels: (N, 1, H, W).
        chosen: (N,) bool.
        angle, distance, width: (N,) in 0 to 1: half a turn; across the middle of the image; half
            to two pixels.
    """
    size = pixels.shape[-1]
    place = torch.arange(size, device=pixels.device) - (size - 1) / 2
    angle, distance, width = (draw.view(-1, 1, 1, 1) for draw in (angle, distance, width))
    along = place[None, :] * (angle * math.pi).cos() + place[:, None] * (angle * math.pi).sin()
    gap = (along - (distance - 0.5) * size * 0.6).abs() < 0.25 + 0.75 * width
    return torch.where(gap & chosen.view(-1, 1, 1, 1), paper, pixels)
