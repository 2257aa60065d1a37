"""What else is on the strip, and what the camera makes of it.

    darkness = photograph(ink * 0.8 + make_paper(shape, rng), rng)

All in units of the ink: 0 is paper and 1 is full ink.
"""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from ..reader.strips import HEIGHT
from .writing import Line

Rng = np.random.Generator


def make_paper(shape: tuple[int, int], rng: Rng) -> np.ndarray:
    """Return paper with its grain, light, and security patterns, (32, W) float32."""
    paper = np.zeros(shape, np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    if rng.random() < 0.5:
        paper += rng.uniform(-1, 1) * 0.5 * (x / max(shape[1], HEIGHT))
        paper += rng.uniform(-1, 1) * 0.4 * (y / HEIGHT)
    if rng.random() < 0.08:  # the edge of a shadow
        edge = x * rng.normal() + y * rng.normal()
        paper += rng.uniform(0.1, 0.5) * (edge > np.quantile(edge, rng.random()))
    if rng.random() < 0.06:  # what is left of a soft shadow's edge, or a fold
        across = x + rng.normal(0, 0.3) * y
        away = (across - rng.uniform(across.min(), across.max())) / rng.uniform(2, 10)
        paper += rng.choice([-1, 1]) * rng.uniform(0.1, 0.5) * np.exp(-(away**2))
    if rng.random() < 0.45:
        strength = rng.uniform(0.05, 0.42)
        for _ in range(rng.integers(1, 4)):
            paper += strength * rng.uniform(0.6, 1) * _waves(x, y, rng)
    if rng.random() < 0.15:
        paper += rng.uniform(0.05, 0.3) * _weave(x, y, rng)
    if rng.random() < 0.1:
        stains = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(2, 8))
        paper += rng.uniform(0.1, 0.4) * stains / (np.abs(stains).max() + 1e-6)
    grain = float(np.exp(rng.uniform(np.log(0.003), np.log(0.13))))
    noise = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.4:
        noise = ndimage.gaussian_filter(noise, rng.uniform(0.4, 1.0)) * 2
    return paper + grain * noise


def _waves(x: np.ndarray, y: np.ndarray, rng: Rng) -> np.ndarray:
    """Return a family of thin lines: straight, wavy, or round a centre; 0 to 1."""
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    period = rng.uniform(3.0, 14)
    if rng.random() < 0.35:
        across = np.hypot(across - rng.uniform(-60, 60), along - rng.uniform(-60, 120))
    elif rng.random() < 0.7:
        length = rng.uniform(12, 90)
        across = across + rng.uniform(0.05, 0.25) * length * np.sin(along * 2 * np.pi / length)
    phase = np.abs((across / period) % 1 - 0.5) * period  # pixels from the nearest line
    return np.clip(rng.uniform(0.4, 1.0) + 0.3 - phase, 0, 1)


def _weave(x: np.ndarray, y: np.ndarray, rng: Rng) -> np.ndarray:
    """Return a fine pattern of dots or threads, as of a printing screen."""
    periods = rng.uniform(2.0, 6.0, 2)
    turn = rng.uniform(0, np.pi) if rng.random() < 0.5 else 0.0
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    a, b = np.sin(u * 2 * np.pi / periods[0]), np.sin(v * 2 * np.pi / periods[1])
    return a * b if rng.random() < 0.5 else np.maximum(a, b)


def print_form(line: Line, rng: Rng) -> np.ndarray:
    """Return rules, frames and boxes around a line's digits, (32, W) float32."""
    shape = (HEIGHT, line.width)
    printed = np.zeros(shape, np.float32)
    kind = rng.random()
    if kind > 0.42:
        return printed
    slope = rng.normal(0, 0.012)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + 0.5
    thick, strength = rng.uniform(0.4, 2.0), rng.uniform(0.3, 1.15)

    def level(at: float) -> None:
        ink = np.clip(thick / 2 + 0.5 - np.abs(y - at - slope * x), 0, 1)
        np.maximum(printed, ink, out=printed)

    def upright(at: float) -> None:
        ink = np.clip(thick / 2 + 0.5 - np.abs(x - at + slope * y), 0, 1)
        np.maximum(printed, ink, out=printed)

    middles = line.place[line.is_digit]
    halves = line.half[line.is_digit]
    top, bottom = 6.0, 26.0  # where there is no digit
    if len(middles):
        top = (middles[:, 1] - halves[:, 1]).min()
        bottom = (middles[:, 1] + halves[:, 1]).max()
    if kind < 0.14:  # a rule to write on, seldom anywhere
        level(bottom + rng.normal(0, 2.5) if rng.random() < 0.7 else rng.uniform(0, HEIGHT))
        if rng.random() < 0.3:
            level(top + rng.normal(0, 2.5))
        if rng.random() < 0.15:
            upright(rng.uniform(0, line.width))
    elif kind < 0.2:  # squared paper
        period = rng.uniform(6, 18)
        for at in np.arange(rng.uniform(0, period), HEIGHT, period):
            level(at)
        if rng.random() < 0.7:
            for at in np.arange(rng.uniform(0, period), line.width, period):
                upright(at)
        strength = rng.uniform(0.15, 0.6)
    else:  # a frame, whole or in part, with or without a wall between the digits
        room = rng.uniform(0.0, 5.0)
        low = min(bottom + room, HEIGHT - rng.uniform(0, 2))
        high = max(top - room, rng.uniform(0, 2))
        for at in _walls(middles, halves, line.width, room, rng):
            upright(at)
        if rng.random() < 0.5:  # its corners are in the strip
            printed[(y - slope * x < high) | (y - slope * x > low)] = 0
        if rng.random() < 0.85:
            level(low)
        if rng.random() < 0.8:
            level(high)
    return printed * strength


def _walls(
    middles: np.ndarray, halves: np.ndarray, width: int, room: float, rng: Rng
) -> list[float]:
    """Return where the upright walls of a frame stand."""
    if len(middles) == 0:
        return [rng.uniform(0, width)]
    lefts, rights = middles[:, 0] - halves[:, 0], middles[:, 0] + halves[:, 0]
    walls = []
    if rng.random() < 0.8:
        walls.append(max(lefts[0] - room - 1, rng.uniform(0, 2)))
    if rng.random() < 0.8:
        walls.append(min(rights[-1] + room + 1, width - rng.uniform(0, 2)))
    if rng.random() < 0.6:
        walls += ((rights[:-1] + lefts[1:]) / 2 + rng.normal(0, 0.7, len(lefts) - 1)).tolist()
    return walls


def smear(shape: tuple[int, int], rng: Rng) -> np.ndarray:
    """Return a part of a stamp's ring, pale, (32, W) float32."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    radius = rng.uniform(12, 60)
    away = np.hypot(x - rng.uniform(-10, shape[1] + 10), y - rng.uniform(-40, HEIGHT + 40))
    ring = np.clip(rng.uniform(0.5, 1.5) + 0.5 - np.abs(away - radius), 0, 1)
    return ring * rng.uniform(0.15, 0.7)


def photograph(darkness: np.ndarray, rng: Rng) -> np.ndarray:
    """Blur, coarsen, compress or threshold a strip; (32, W) float32."""
    if rng.random() < 0.4:
        darkness = ndimage.gaussian_filter(darkness, rng.uniform(0.2, 0.9))
    if rng.random() < 0.2:
        darkness = _coarsen(darkness, rng.uniform(0.5, 0.9))
    if rng.random() < 0.3:
        darkness = np.clip(darkness, rng.uniform(-0.3, 0.1), rng.uniform(0.6, 1.1))
    if rng.random() < 0.25:
        darkness = compress(darkness, int(rng.integers(15, 90)))
    if rng.random() < 0.05:
        level = np.median(darkness) + rng.uniform(0.3, 0.6)
        darkness = (darkness > level).astype(np.float32)
    return darkness


def _coarsen(darkness: np.ndarray, factor: float) -> np.ndarray:
    high, wide = darkness.shape
    image = Image.fromarray(darkness.astype(np.float32))
    small = (max(2, round(wide * factor)), max(2, round(high * factor)))
    down = image.resize(small, Image.Resampling.BILINEAR)
    return np.asarray(down.resize((wide, high), Image.Resampling.BICUBIC))


def compress(darkness: np.ndarray, quality: int) -> np.ndarray:
    """Write and read it as JPEG."""
    low, high = float(darkness.min()) - 0.1, float(darkness.max()) + 0.1
    grey = np.clip((darkness - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32) / 255 * (high - low) + low
