"""Synthetic photographs of stained blood smears, with the truth about every cell in them.

A picture is built as a microscope sees one: uneven light falls through layers of stain, and what
the layers let through is blurred, photographed with some noise and rounded to eight bits. Layers
are held as optical density (natural logarithm of light in over light out, one value a channel),
in which a cell on a cell simply adds up.

All arithmetic is float64 and rounded once, at the end, and only draws that numpy keeps stable are
used: a seed gives the same pixels everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from segbench import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rng = np.random.Generator
    Floats = NDArray[np.float64]
    Window = tuple[slice, slice]

VERSION = 1  # part of the cache key: raised when the pixels of a seed change

SMALLEST_SIDE = 16  # pixels
DIAMETER = 38.0  # of a small red cell, in pixels; a large one has 1.3 times that
MOST_CELLS = 65535  # what uint16 can number

# How many, on average, in a square of one red cell's diameter; and how far beyond the border
# cells are placed, in diameters, so that the border cuts some of them.
RED_CELLS, WHITE_CELLS, PLATELETS, DUST = 0.41, 0.024, 0.036, 0.02
MARGIN = 0.4
CLUSTERING = 0.65  # the share of red cells placed beside another one
SPECKLED = 0.25  # the share of red cells with a droplet
NOISE = 3.0  # grey levels, before smoothing
MELTING = 5.0  # the lower, the more the lobes of a nucleus run into each other
# Of a mosaic: the side of a tile in pixels, how far a cell reaches beyond its middle twice, how many
# things have their middles in a tile at the most, and how many tiles a row has.
TILE, ROOM, MOST_IN_TILE, MOST_TILES = windows.TILE, 112, 1024, 512

ATTEMPTS = 12  # at a place with room for a cell, before it is put where there is none

# Measured on photographs of Giemsa-stained smears, red, green and blue: light without a cell in
# grey levels, and the optical densities of what dims it.
CHANNELS = (3, 1, 1)  # colours lie first, where they multiply a whole layer
LIGHT = np.array([197.5, 199.5, 196.0]).reshape(CHANNELS)
BROWN = np.array([0.120, 0.318, 0.310]).reshape(CHANNELS)
MAUVE = np.array([0.128, 0.295, 0.205]).reshape(CHANNELS)
PINK_CYTOPLASM = np.array([0.080, 0.200, -0.010]).reshape(CHANNELS)
BLUE_CYTOPLASM = np.array([0.280, 0.250, 0.000]).reshape(CHANNELS)
NUCLEUS = np.array([0.370, 0.680, -0.040]).reshape(CHANNELS)
PLATELET = np.array([0.300, 0.360, 0.000]).reshape(CHANNELS)
SPECK = np.array([0.250, 0.450, 0.150]).reshape(CHANNELS)
GREY = np.array([0.250, 0.220, 0.240]).reshape(CHANNELS)


def smear_image(index: int, *, seed: int = 0, shape: tuple[int, int] = (192, 256)) -> Smear:
    """Make the picture number `index` of the series `seed`.

    The picture depends on the arguments alone, not on what was made before it.

    Parameters
    ----------
    index : int
        Which picture of the series, from 0.
    seed : int
        Which series, from 0.
    shape : tuple of int
        Height and width in pixels, each at least 16. The number of cells grows with the area.

    Returns
    -------
    Smear
        The picture and its ground truth.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the picture has more cells than uint16 can number.
    """
    if min(shape) < SMALLEST_SIDE:
        raise ValueError(f"shape must be at least {SMALLEST_SIDE} pixels each way, not {shape}")
    rng = np.random.default_rng([seed, index])
    slide = Slide(np.zeros((3, *shape)), np.zeros(shape, np.uint16))
    _draw_cells(rng, slide)
    for centre in _anywhere(rng, _count(rng, slide, DUST, 1.0), slide, 0.0):
        _draw_dust(rng, slide, centre)
    return Smear(_photograph(rng, slide.density), _consecutive(slide.truth))


def mosaic_tile(
    row: int, column: int, *, seed: int = 0, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Make a tile of a mosaic, which has no end and no seams: cells reach from one tile into the next.

    A tile depends on the arguments alone, so that a mosaic is never to be held as a whole.

    Parameters
    ----------
    row, column : int
        Which tile, from 0.
    seed : int
        Which mosaic, from 0.
    shape : tuple of int
        Height and width of the whole in pixels, over which the light falls off.

    Returns
    -------
    pixels : ndarray of uint8, shape (TILE, TILE, 3)
        Red, green and blue.
    truth : ndarray of uint32, shape (TILE, TILE)
        The number of the topmost cell, unique in the mosaic; 0 for background.
    """
    # Around the tile there is room for whatever reaches into it to be drawn as a whole: what is drawn
    # in part would look otherwise in the next tile.
    side = TILE + 2 * ROOM
    slide = Slide(np.zeros((3, side, side)), np.zeros((side, side), np.uint32))
    corner = np.array([row, column]) * TILE - ROOM
    whole = np.random.default_rng(seed)
    stain, hue = _between(whole, 0.88, 1.12), _between(whole, 0.15, 0.95)
    focus = _between(whole, 0.65, 1.1)
    red = stain * (hue * BROWN + (1 - hue) * MAUVE)
    near = [
        _cells_of_tile(row + down, column + right, seed)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    for kind in range(4):
        for one in near:
            for number, point in enumerate(one.points[kind]):
                centre = point - corner
                if not np.all((centre > ROOM / 2) & (centre < side - ROOM / 2)):
                    continue  # reaches no pixel of the tile
                rng = np.random.default_rng([seed, *one.place, kind, number])
                label = one.first + sum(map(len, one.points[:kind])) + number
                if kind == 0:
                    _draw_red_cell(rng, slide, centre, red, label)
                elif kind == 1:
                    _draw_white_cell(rng, slide, centre, stain, label)
                elif kind == 2:
                    _draw_platelet(rng, slide, centre, stain, label)
                else:
                    _draw_dust(rng, slide, centre)
    light = np.exp(np.negative(slide.density, out=slide.density), out=slide.density)
    y, x = (
        (2 * (start + np.arange(side)) / length - 1).clip(-1, 1)
        for start, length in zip(corner, shape, strict=True)
    )
    _light(whole, light, y[:, np.newaxis], x)
    ndimage.gaussian_filter(light, (0, focus, focus), output=light, truncate=2)
    inner = slice(ROOM, -ROOM)
    rng = np.random.default_rng([seed, row, column])
    return _developed(rng, light[:, inner, inner]), slide.truth[inner, inner]


class _Cells(NamedTuple):
    """What has its middle in a tile: red cells, white cells, platelets and dust."""

    place: tuple[int, int]
    first: int  # of their numbers
    points: tuple[Floats, ...]


@lru_cache(maxsize=1024)  # each of its eight neighbours asks for them, too
def _cells_of_tile(row: int, column: int, seed: int) -> _Cells:
    # Beyond the border of the mosaic there are tiles, too: a generator takes no negative number.
    place = row + 1, column + 1
    rng = np.random.default_rng([seed, *place, 0])
    slide = Slide(np.zeros((0, 0, 0)), np.zeros((TILE, TILE), np.uint8))
    area = (TILE / DIAMETER) ** 2
    counts = [
        math.floor(density * area * _between(rng, 1 - spread, 1 + spread) + rng.random())
        for density, spread in (*_densities(), (DUST, 1.0))
    ]
    whites = _spread_out(rng, counts[1], slide, 2 * DIAMETER, 0.0, margin=0.0)
    reds = _spread_out(rng, counts[0], slide, 0.58 * DIAMETER, CLUSTERING, margin=0.0)
    seen = np.array([one for one in reds if _has_room(one, whites, 1.05 * DIAMETER)])
    points = (
        seen.reshape(-1, 2),
        whites,
        *(_anywhere(rng, count, slide, 0.0) for count in counts[2:]),
    )
    corner = np.array([row, column]) * TILE
    first = 1 + MOST_IN_TILE * (place[0] * MOST_TILES + place[1])
    return _Cells(place, first, tuple(one + corner for one in points))


# Where things lie: points are (y, x) in pixels.


def _between(rng: Rng, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _direction(rng: Rng) -> Floats:
    turn = _between(rng, 0, 2 * math.pi)
    return np.array([math.sin(turn), math.cos(turn)])


def _densities() -> tuple[tuple[float, float], ...]:
    """Of red cells, white cells and platelets, each with its spread."""
    return (RED_CELLS, 0.2), (WHITE_CELLS, 0.5), (PLATELETS, 1.0)


def _count(rng: Rng, slide: Slide, density: float, spread: float) -> int:
    """Draw a number of cells whose mean is `density` in a square of one cell diameter."""
    sides = np.array(slide.truth.shape) / DIAMETER + 2 * MARGIN
    mean = density * float(sides[0] * sides[1])
    return math.floor(mean * _between(rng, 1 - spread, 1 + spread) + rng.random())


def _anywhere(rng: Rng, count: int, slide: Slide, margin: float) -> Floats:
    """Draw `count` points up to `margin` pixels outside the picture."""
    return rng.random((count, 2)) * (np.array(slide.truth.shape) + 2 * margin) - margin


def _spread_out(
    rng: Rng,
    count: int,
    slide: Slide,
    spacing: float,
    clustering: float,
    *,
    margin: float = MARGIN * DIAMETER,
) -> Floats:
    """Draw `count` points `spacing` pixels apart where there is room, up to `margin` outside.

    The share `clustering` of them lies within a cell diameter of an earlier one.
    """
    points = np.empty((count, 2))
    for number in range(count):
        for _ in range(ATTEMPTS):
            point = _anywhere(rng, 1, slide, margin)[0]
            if number and rng.random() < clustering:
                away = _between(rng, spacing, 1.05 * DIAMETER)
                point = points[rng.integers(number)] + away * _direction(rng)
            near = np.all((point >= -margin) & (point < np.array(slide.truth.shape) + margin))
            if near and _has_room(point, points[:number], spacing):
                break
        points[number] = point
    return points


def _has_room(point: Floats, others: Floats, spacing: float) -> bool:
    return not np.any(np.sum((others - point) ** 2, axis=1) < spacing**2)


# What lies there.


def _draw_cells(rng: Rng, slide: Slide) -> None:
    """Draw the red cells, on them the white cells and the platelets, and number them all."""
    red_cells, white_cells, smudges = (_count(rng, slide, *how) for how in _densities())
    cells = red_cells + white_cells + smudges
    if cells > MOST_CELLS:
        raise ValueError(f"the picture would have {cells} cells, more than {MOST_CELLS}")
    whites = _spread_out(rng, white_cells, slide, 2 * DIAMETER, 0.0)
    reds = _spread_out(rng, red_cells, slide, 0.58 * DIAMETER, CLUSTERING)
    # Red cells make way for white ones: beneath one, only the pushed edge of a cell is ever seen.
    seen = [point for point in reds if _has_room(point, whites, 1.05 * DIAMETER)]
    stain = _between(rng, 0.88, 1.12)
    hue = _between(rng, 0.15, 0.95)
    red = stain * (hue * BROWN + (1 - hue) * MAUVE)
    label = 0
    for point in seen:
        _draw_red_cell(rng, slide, point, red, label := label + 1)
    for point in whites:
        _draw_white_cell(rng, slide, point, stain, label := label + 1)
    for point in _anywhere(rng, smudges, slide, 0.0):
        _draw_platelet(rng, slide, point, stain, label := label + 1)


def _draw_red_cell(rng: Rng, slide: Slide, centre: Floats, colour: Floats, label: int) -> None:
    """Draw a disc that is thin in its middle; how thin decides between full disc and ghost."""
    radius = DIAMETER * _between(rng, 0.52, 0.67)
    window, y, x = _around(slide, centre, radius)
    distance = _outline(rng, y, x, radius, 0.22)
    slope_y, slope_x = _direction(rng) / radius
    slope = slope_y * y + slope_x * x
    hollow = math.sqrt(rng.random())
    from_hollow = (distance + 0.15 * slope) ** 2 / (0.25 + 0.4 * hollow) ** 2
    thickness = 1.0 + 0.1 * slope - hollow / (1 + from_hollow * from_hollow * from_hollow)
    thickness += 0.15 * np.maximum(1 - ((distance - 0.88) / 0.15) ** 2, 0)
    thickness *= (1.1 - 0.3 * hollow) * _between(rng, 0.8, 1.1) * _coverage(distance, radius)
    layer = thickness * colour
    if rng.random() < SPECKLED:
        layer += _speck(rng, y, x, radius)
    below = slide.density[:, *window]
    # Cells that meet flatten each other: together they are darker, but by less than the sum.
    slide.density[:, *window] = np.maximum(below, layer) + 0.2 * np.minimum(below, layer)
    slide.truth[window][distance < 1] = label


def _speck(rng: Rng, y: Floats, x: Floats, radius: float) -> Floats:
    """Draw a droplet in a cell of `radius`: it gathers light in its middle and loses it around."""
    away_y, away_x = _between(rng, 0.0, 0.6) * radius * _direction(rng)
    distance = np.sqrt((y - away_y) ** 2 + (x - away_x) ** 2) / (radius * _between(rng, 0.06, 0.14))
    ring = np.exp(-(((distance - 1) / 0.5) ** 2)) - 0.6 * np.exp(-((distance / 0.6) ** 2))
    droplet: Floats = _between(rng, 0.3, 1.3) * ring * SPECK
    return droplet


def _draw_white_cell(rng: Rng, slide: Slide, centre: Floats, stain: float, label: int) -> None:
    """Draw grainy cytoplasm with a nucleus of one to five lobes, opaque to what is beneath."""
    lobes = max(1, int(rng.integers(6)))
    radius = DIAMETER * (_between(rng, 0.6, 0.8) if lobes == 1 else _between(rng, 0.75, 1.0))
    window, y, x = _around(slide, centre, radius)
    distance = _outline(rng, y, x, radius, 0.2)
    nucleus = _nucleus(rng, y, x, radius, lobes)
    grain = ndimage.gaussian_filter(rng.standard_normal(distance.shape), 1.0)
    cytoplasm = PINK_CYTOPLASM if lobes > 1 else BLUE_CYTOPLASM
    layer = ((1 + 0.6 * grain) * (0.85 + 0.3 * distance**2)) * cytoplasm
    dark = (1 + 0.35 * grain) * NUCLEUS * stain * _between(rng, 0.8, 1.5)
    layer = _blend(layer, dark, _coverage(nucleus, 0.15 * radius))
    # A white cell has no sharp rim.
    visible = _coverage(distance, 0.4 * radius)
    slide.density[:, *window] = _blend(slide.density[:, *window], layer, visible)
    slide.truth[window][distance < 1] = label


def _nucleus(rng: Rng, y: Floats, x: Floats, radius: float, lobes: int) -> Floats:
    """Return the distance from the middle of a nucleus in lobes, 1 on its outline.

    The lobes lie on an arc about the middle of the cell and melt together where they meet.
    """
    start = _between(rng, 0, 2 * math.pi)
    size = radius * (_between(rng, 0.65, 0.85) if lobes == 1 else _between(rng, 0.32, 0.42))
    field = np.zeros((y.size, x.size))
    for lobe in range(lobes):
        turn = start + 2 * math.pi * lobe / max(lobes + 0.5, 3.5) + _between(rng, -0.2, 0.2)
        away = radius * (0.05 if lobes == 1 else _between(rng, 0.36, 0.5))
        lobe_y, lobe_x = y - away * math.sin(turn), x - away * math.cos(turn)
        field += np.exp(-MELTING * _outline(rng, lobe_y, lobe_x, size, 0.25) ** 2)
    return np.sqrt(np.maximum(-np.log(np.maximum(field, 1e-30)), 0) / MELTING)


def _draw_platelet(rng: Rng, slide: Slide, centre: Floats, stain: float, label: int) -> None:
    """Draw a smudge."""
    radius = DIAMETER * _between(rng, 0.09, 0.17)
    window, y, x = _around(slide, centre, 1.5 * radius)
    distance = _outline(rng, y, x, radius, 0.3)
    colour = stain * _between(rng, 0.6, 1.3) * PLATELET
    slide.density[:, *window] = _blend(slide.density[:, *window], colour, _coverage(distance, 1.0))
    slide.truth[window][distance < 1] = label


def _draw_dust(rng: Rng, slide: Slide, centre: Floats) -> None:
    """Draw a grain of dust, which is no cell: far out of focus if it is large."""
    radius = DIAMETER * _between(rng, 0.05, 0.25)
    window, y, x = _around(slide, centre, 2 * radius)
    distance = _outline(rng, y, x, radius, 0.3)
    slide.density[:, *window] += (0.4 * np.exp(-(distance**2))) * GREY


# How it is drawn.


def _around(slide: Slide, centre: Floats, radius: float) -> tuple[Window, Floats, Floats]:
    """Return the window that an outline of `radius` can reach, and y and x from its centre."""
    reach = 1.35 * radius + 2
    sides = zip(centre, slide.truth.shape, strict=True)
    rows, columns = (
        slice(max(math.floor(middle - reach), 0), min(max(math.ceil(middle + reach), 0), side))
        for middle, side in sides
    )
    y = np.arange(rows.start, rows.stop)[:, np.newaxis] - centre[0]
    x = np.arange(columns.start, columns.stop) - centre[1]
    return (rows, columns), y, x


def _outline(rng: Rng, y: Floats, x: Floats, radius: float, stretch: float) -> Floats:
    """Return the distance from (0, 0), 1 on the outline of a slightly irregular ellipse.

    The ellipse has about the area of a circle of `radius`; `stretch` is how much longer than that
    it may be.
    """
    turn_y, turn_x = _direction(rng)
    longer = 1 + stretch * rng.random()
    along = (turn_y * y + turn_x * x) / (radius * longer)
    across = (turn_x * y - turn_y * x) / radius * longer
    distance: Floats = np.sqrt(along**2 + across**2)
    inverse = 1 / np.maximum(distance, 1e-9)
    cosine, sine = along * inverse, across * inverse
    egg, squareness = _between(rng, -0.05, 0.05), _between(rng, -0.3, 0.2)
    three, lean = 0.05 * _direction(rng)
    # Third harmonic of the angle, without the angle.
    waves = three * (4 * cosine**2 - 3) * cosine + lean * (3 - 4 * sine**2) * sine
    outline: Floats = 1 + egg * cosine + squareness * (cosine * sine) ** 2 + waves
    return distance / outline


def _coverage(distance: Floats, sharpness: float) -> Floats:
    """Return how much of each pixel is inside, from 0 to 1.

    At a `sharpness` of the radius in pixels the edge is one pixel wide.
    """
    return np.clip((1 - distance) * sharpness + 0.5, 0, 1)


def _blend(below: Floats, above: Floats, share: Floats) -> Floats:
    return below + share * (above - below)


# From the slide to the result.


def _photograph(rng: Rng, density: Floats) -> NDArray[np.uint8]:
    """Light the slide, focus on it not quite, and take the picture; this uses up `density`."""
    # In place: at these sizes, finding room for one more array takes longer than filling it.
    image = np.negative(density, out=density)
    np.exp(image, out=image)
    height, width = image.shape[1:]
    _light(rng, image, np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width))
    focus = _between(rng, 0.65, 1.1)
    ndimage.gaussian_filter(image, (0, focus, focus), output=image, truncate=2)
    return _developed(rng, image)


def _developed(rng: Rng, image: Floats) -> NDArray[np.uint8]:
    """Add the noise of a camera and round to eight bits; this uses up `image`."""
    # JPEG keeps hardly any noise of the colour, and smooths that of the brightness.
    noise = rng.standard_normal(image.shape[1:])
    image += NOISE * ndimage.gaussian_filter(noise, 0.6, truncate=2)
    np.rint(image, out=image)
    np.clip(image, 0, 255, out=image)
    return np.dstack(list(image.astype(np.uint8)))


def _light(rng: Rng, image: Floats, y: Floats, x: Floats) -> None:
    """Shine on the slide: more from one side, less into the corners, where `y` and `x` are -1 and 1."""
    side_y, side_x = 0.05 * np.array([1.0, 0.4]) + 0.02 * _direction(rng)
    image *= 1.025 + side_y * y + side_x * x - 0.04 * (y**2 + x**2)
    image *= LIGHT + _between(rng, -2, 2) + 3 * (rng.random(CHANNELS) - 0.5)


def _consecutive(truth: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Renumber the cells that are still to be seen 1, 2, ... in their order."""
    seen = np.bincount(truth.ravel()) > 0
    seen[0] = False
    return (np.cumsum(seen) * seen).astype(np.uint16)[truth]


@dataclass(frozen=True)
class Smear:
    """A picture of a blood smear and where its cells are.

    Attributes
    ----------
    pixels : NDArray[np.uint8]
        The picture, (height, width, 3): red, green and blue, 0 to 255.
    truth : NDArray[np.uint16]
        The cells, (height, width): 0 for background, else the number of the topmost cell there.
        Red cells, white cells and platelets are numbered 1, 2, ... without a gap.
    """

    pixels: NDArray[np.uint8]
    truth: NDArray[np.uint16]


@dataclass(frozen=True)
class Slide:
    """What has been drawn so far.

    Attributes
    ----------
    density : NDArray[np.float64]
        Optical density, (3, height, width): red, green and blue.
    truth : NDArray of an unsigned type
        The number of the topmost cell, (height, width); 0 for none.
    """

    density: Floats
    truth: NDArray[Any]
