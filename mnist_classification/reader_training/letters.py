"""Letters in a form that any pen can write, so that the network learns that they are no digits.

    strokes = draw_letter("g", rng)           # as our pen's digits have them
    text = choose_word(rng, longest=8)        # "Dotel", by the letters' frequency

Each letter is a few points of its own in the ways that people are taught at school, printed or
joined; each time they are moved by chance. No font is among them.
"""

import math

import numpy as np
from scipy.interpolate import CubicSpline

Rng = np.random.Generator
Point = tuple[float, float]

# Strokes of one way to write a letter: points as two digits of base 36, across and down, a capital
# from 0 to c, a small letter from 6; strokes that begin with ~ are bent through their points.
WAYS_TO_WRITE = {
    "a": ("~57 36 17 09 1b 3c 59|56 5a 7c", "~07 26 47 48 4c|~48 19 0b 1c 3c 4a"),
    "b": ("00 0c|~08 26 47 59 4b 2c 0a", "~09 35 31 11 09 2c 4b 48 27"),
    "c": ("~57 36 17 09 1b 3c 5b",),
    "d": ("~57 36 17 09 1b 3c 59|50 5c", "~57 36 17 09 1b 3c 59 50|~50 5a 7c"),
    "e": ("09 59|~59 47 26 07 09 1b 3c 5b", "~0a 48 46 26 08 1b 3c 5a"),
    "f": ("~51 30 21 24 2c|06 46", "~51 30 23 2c 2g 1i|06 46"),
    "g": ("~57 36 17 09 1b 3c 59|~56 5c 5g 3i 1h", "~57 36 17 09 1b 3c 59|~56 5g 2i 1g 7b"),
    "h": ("00 0c|~08 26 47 4c", "~09 35 31 11 0c|~09 27 47 4b 6c"),
    "i": ("06 0c|02 03", "~06 0b 1c 3b|02 03"),
    "j": ("~36 3c 3g 1i|32 33", "~36 3g 1i 0g 5b|32 33"),
    "k": ("00 0c|46 09 4c", "~09 35 31 11 0c|~09 37 48 09|09 5c"),
    "l": ("00 0c", "~00 0a 1c 3b", "~09 35 31 11 1a 2c 4a"),
    "m": ("06 0c|~08 26 37 3c|~38 56 67 6c", "~0c 06 08 26 38 3c|~38 56 68 6b 8c"),
    "n": ("06 0c|~08 26 47 4c", "~07 16 1c|~18 36 58 5b 7c"),
    "o": ("~36 17 09 1b 3c 5a 57 36", "~36 17 09 1b 3c 5a 57 36 47 78"),
    "p": ("06 0i|~08 26 47 59 4b 2c 0a", "06 0i|~08 26 48 4b 2c 0b"),
    "q": ("~57 36 17 09 1b 3c 59|56 5i", "~57 36 17 09 1b 3c 59|56 5i 7g"),
    "r": ("06 0c|~08 26 47", "0c 16 47|~47 4b 6c"),
    "s": ("~46 26 07 28 4a 3c 1c 0b", "~0c 36 48 4b 2c 0b"),
    "t": ("~20 2a 3c 4b|05 45", "21 2c|05 45"),
    "u": ("~06 0a 1c 3c 59|56 5c", "~06 0a 1c 3c 59|~56 5b 7c"),
    "v": ("06 2c 46", "~06 2c 47 56"),
    "w": ("06 2c 47 6c 86", "~06 1c 3c 47 5c 7c 86"),
    "x": ("06 4c|46 0c", "~07 26 2c 4b|~46 2a 0c"),
    "y": ("06 2c|46 0i", "~06 0a 1c 3b 56|~56 5d 4h 2i 0h"),
    "z": ("06 46 0c 4c", "06 46 0c 4c|19 39"),
    "A": ("0c 40 8c|28 68", "~0c 04 20 50 74 7c|07 77"),
    "B": ("00 0c|~00 40 53 45 06|~06 47 69 4c 0c",),
    "C": ("~71 40 12 06 1a 4c 7b",),
    "D": ("00 0c|~00 41 76 4b 0c",),
    "E": ("60 00 0c 6c|06 46", "~60 20 02 15 36|~36 07 0a 3c 6b"),
    "F": ("60 00 0c|06 46", "~01 50 80|~50 4a 2c 0b|26 66"),
    "G": ("~71 40 12 06 1a 4c 7a|77 7c|47 87", "~71 40 12 06 1a 4c 7a 77|47 77"),
    "H": ("00 0c|60 6c|06 66",),
    "I": ("00 0c", "20 2c|00 40|0c 4c"),
    "J": ("~60 69 4c 1c 0a", "~60 69 4c 1c 0a|30 80"),
    "K": ("00 0c|60 06 6c",),
    "L": ("00 0c 5c", "~41 20 14 1a 0c|~0c 2b 5c 6b"),
    "M": ("0c 10 4a 70 8c", "0c 00 46 80 8c"),
    "N": ("0c 00 6c 60",),
    "O": ("~40 12 06 1a 4c 7a 86 72 40",),
    "P": ("00 0c|~00 40 53 45 06",),
    "Q": ("~40 12 06 1a 4c 7a 86 72 40|59 8d",),
    "R": ("00 0c|~00 40 53 45 06|26 6c",),
    "S": ("~71 40 11 14 46 79 6b 3c 0b",),
    "T": ("00 80|40 4c", "~01 30 80|~40 4a 2c 0b"),
    "U": ("~00 08 2c 5c 78 70",),
    "V": ("00 4c 80",),
    "W": ("00 2c 43 6c 80",),
    "X": ("00 6c|60 0c",),
    "Y": ("00 36 60|36 3c", "00 36|60 0c"),
    "Z": ("00 60 0c 6c", "00 60 0c 6c|26 56"),
}
LETTERS = "".join(WAYS_TO_WRITE)
DEEP, HIGH = "gjpqy", "bdfhiklt"  # of the small letters: hang down, or reach up

BY_FREQUENCY = "etaoinshrdlcumwfgypbvkjxqz"  # in English
SHARES = np.linspace(5, 1, 26) / 78  # nearer to one another than there, for other languages
LIKE_DIGITS = "bgiloqszBGIOSZ"  # a word of these alone could be a number


def choose_word(rng: Rng, longest: int) -> str:
    """Choose 2 to `longest` letters by chance, small, capitals, or with a capital first."""
    style = rng.random()
    while True:
        count = int(rng.integers(2, max(longest, 2) + 1))
        chosen = [str(letter) for letter in rng.choice(list(BY_FREQUENCY), count, p=SHARES)]
        for number in range(1, count):
            if rng.random() < 0.08:
                chosen[number] = chosen[number - 1]
        word = "".join(chosen)
        word = word.upper() if style < 0.25 else word.capitalize() if style < 0.55 else word
        if any(letter not in LIKE_DIGITS for letter in word):
            return word


def draw_letter(letter: str, rng: Rng) -> list[list[Point]]:
    """Return a letter's strokes, moved by chance; a small one may reach for its neighbours."""
    ways = WAYS_TO_WRITE[letter]
    wide = math.exp(rng.normal(0, 0.2))
    strokes = []
    for text in ways[rng.integers(len(ways))].split("|"):
        places = [(int(p[0], 36), int(p[1], 36)) for p in text.removeprefix("~").split()]
        points = np.array(places, float) + rng.normal(0, 0.35, (len(places), 2))
        strokes.append(_bend(points) if text.startswith("~") else points)
    if letter.islower() and rng.random() < 0.35:
        strokes += _joints(strokes, rng)
    return [[(x * wide / 12, y / 12) for x, y in stroke.tolist()] for stroke in strokes]


def _bend(points: np.ndarray) -> np.ndarray:
    """Return a smooth path through (N, 2) points."""
    steps = np.linspace(0, len(points) - 1, 5 * len(points))
    return CubicSpline(np.arange(len(points)), points)(steps)


def _joints(strokes: list[np.ndarray], rng: Rng) -> list[np.ndarray]:
    """Return the strokes by which a pen that is not lifted comes from one letter to the next."""
    joints = []
    right = max(stroke[:, 0].max() for stroke in strokes)
    if rng.random() < 0.7:
        joints.append(np.array([(right - 0.5, 11.5), (right + 1, 11), (right + 3, 8)]))
    if rng.random() < 0.5:
        joints.append(np.array([(-2.5, 12), (-1, 10.5), (0.3, 8)]))
    return [_bend(joint + rng.normal(0, 0.3, joint.shape)) for joint in joints]
