"""Lines of text in a picture, found by their letters: small even shapes of one height, side by side.

It does not read them. Letters from 6 to 60 pixels are found, in any script that sets separate letters in rows; handwriting
and text that runs upward are missed. Legend: R runs of set pixels within a row, S shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

AROUND_PX = 20  # what counts as ground: wider than a stroke, narrower than what light does over a picture
CONTRAST = 22.0  # grey levels between a letter and its ground
LEAST_PX, MOST_PX = 6, 60  # height of a letter: below it none can be read, above it none melts
THIN, WIDE = 0.08, 2.2  # of its height: a letter's width
FILLED = (0.12, 0.92)  # of its box: an l or a full stop fills all of it, a bracket little
LIKE = 0.55  # heights in a line differ by the letters with and without an upper length
NEAR = 1.3  # heights between two letters of a word
LEVEL = 0.45  # of the height by which middles may differ
FEWEST, MANY = 6, 9  # letters in a line; leaves, stones and panes often stand five in a row
VARIED, REGULAR = 0.18, 0.05  # spread of widths: letters differ; in many on a straight line less is enough, bars have none
OFF, STRAIGHT = 0.09, 0.03  # of the height: how far bottoms lie from their line, in the middle
LEANS = 0.12  # by how much a line may rise
TIGHT = 0.45  # heights between two letters, in the middle
EVEN = 0.28  # spread of heights
ONE_INK = 25.0  # grey levels: spread of the letters' light


@dataclass(frozen=True)
class Line:
    """One line of text."""

    left: int
    top: int
    width: int
    height: int
    letters: int
    letter_px: int  # their height


@dataclass(frozen=True, eq=False)
class Shapes:
    """Boxes of connected pixels, and how many pixels are set in each."""

    left_S: Numbers
    top_S: Numbers
    right_S: Numbers
    bottom_S: Numbers
    set_S: Numbers
    ink_S: Numbers  # mean light of them

    def pick(self, which: Mask | NDArray[np.int64]) -> Shapes:
        """Keep some of them."""
        return Shapes(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def width_S(self) -> Numbers:
        return self.right_S - self.left_S

    @property
    def height_S(self) -> Numbers:
        return self.bottom_S - self.top_S


def find_lines(light_HW: Numbers) -> list[Line]:
    """Find lines of text, dark on light or light on dark, in grey levels of 0 to 255."""
    ground_HW = _average(light_HW, AROUND_PX)
    lines: list[Line] = []
    for mask_HW in (light_HW < ground_HW - CONTRAST, light_HW > ground_HW + CONTRAST):
        lines += _line_up(_keep_letters(find_shapes(mask_HW, light_HW)))
    return lines


def _average(x_HW: Numbers, reach: int) -> Numbers:
    """Average over a square around each place, less at the edges."""
    padded = np.pad(x_HW, reach, mode="edge")
    side = 2 * reach + 1
    for axis in (0, 1):
        sums = np.cumsum(padded, axis=axis)
        start = np.take(sums, range(1), axis=axis) * 0
        sums = np.concatenate([start, sums], axis=axis)
        length = sums.shape[axis]
        padded = (np.take(sums, range(side, length), axis=axis) - np.take(sums, range(length - side), axis=axis)) / side
    return padded


def find_shapes(mask_HW: Mask, light_HW: Numbers) -> Shapes:
    """Find connected shapes, corners counted: runs of each row are joined to those that they touch in the next."""
    rows, columns = mask_HW.shape
    edges = np.diff(np.pad(mask_HW, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row_R, start_R = np.nonzero(edges == 1)
    end_R = np.nonzero(edges == -1)[1]
    if not len(row_R):
        return Shapes(*(np.zeros(0) for _ in fields(Shapes)))
    label_R = _join(row_R, start_R, end_R, columns)
    _, shape_R = np.unique(label_R, return_inverse=True)
    count = int(shape_R.max()) + 1
    left, top = np.full(count, columns, dtype=float), np.full(count, rows, dtype=float)
    right, bottom = np.zeros(count), np.zeros(count)
    np.minimum.at(left, shape_R, start_R)
    np.minimum.at(top, shape_R, row_R)
    np.maximum.at(right, shape_R, end_R)
    np.maximum.at(bottom, shape_R, row_R + 1)
    inside: Numbers = np.asarray(np.bincount(shape_R, weights=end_R - start_R, minlength=count), dtype=float)
    sums = np.pad(np.cumsum(light_HW, axis=1), ((0, 0), (1, 0)))
    light = np.bincount(shape_R, weights=sums[row_R, end_R] - sums[row_R, start_R], minlength=count)
    return Shapes(left, top, right, bottom, inside, light / inside)


def _join(row_R: NDArray[np.int64], start_R: NDArray[np.int64], end_R: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """Give runs that touch the same label."""
    wide = columns + 2
    starts, ends = row_R * wide + start_R, row_R * wide + end_R
    # Runs of the next row that touch run r: those that end at or after its start, and start at or before its end.
    first = np.searchsorted(ends, starts + wide, side="left")
    last = np.searchsorted(starts, ends + wide, side="right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row_R)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    label_R = np.arange(len(row_R))
    while True:
        before = label_R.copy()
        least = np.minimum(label_R[upper], label_R[lower])
        np.minimum.at(label_R, upper, least)
        np.minimum.at(label_R, lower, least)
        label_R = label_R[label_R]  # halves what is left of the way to the first run of a shape
        if np.array_equal(label_R, before):
            return label_R


def _keep_letters(shapes: Shapes) -> Shapes:
    height_S, width_S = shapes.height_S, shapes.width_S
    share_S = shapes.set_S / np.maximum(height_S * width_S, 1)
    is_stroke_S = width_S < 0.35 * height_S  # i, l and 1 fill their boxes
    return shapes.pick(
        (height_S >= LEAST_PX)
        & (height_S <= MOST_PX)
        & (width_S >= THIN * height_S)
        & (width_S <= WIDE * height_S)
        & (share_S >= FILLED[0])
        & ((share_S <= FILLED[1]) | is_stroke_S)
    )


def _line_up(shapes: Shapes) -> list[Line]:
    """Chain each letter to the next one on its right, and keep chains that look like text."""
    shapes = shapes.pick(np.argsort(shapes.left_S, kind="stable"))
    following = _find_following(shapes)
    is_first = np.ones(len(following), dtype=bool)
    is_first[following[following >= 0]] = False
    lines = []
    for first in np.nonzero(is_first)[0]:
        chain = [int(first)]
        while following[chain[-1]] >= 0:
            chain.append(int(following[chain[-1]]))
        line = _judge(shapes.pick(np.array(chain)))
        lines += [line] if line is not None else []
    return lines


def _find_following(shapes: Shapes) -> NDArray[np.int64]:
    """Give for each shape the nearest like one on its right; -1 where there is none, or it is another's already."""
    height_S, middle_S = shapes.height_S, (shapes.top_S + shapes.bottom_S) / 2
    following = np.full(len(height_S), -1)
    is_taken = np.zeros(len(height_S), dtype=bool)
    for index in range(len(height_S)):
        until = int(np.searchsorted(shapes.left_S, shapes.right_S[index] + NEAR * MOST_PX, side="right"))
        others = np.arange(index + 1, until)
        tall = np.maximum(height_S[others], height_S[index])
        gap = shapes.left_S[others] - shapes.right_S[index]
        fits = (gap > -0.2 * tall) & (gap < NEAR * tall) & ~is_taken[others]
        fits &= np.minimum(height_S[others], height_S[index]) > LIKE * tall
        fits &= np.abs(middle_S[others] - middle_S[index]) < LEVEL * tall
        if fits.any():
            nearest = others[fits][np.argmin(gap[fits])]
            following[index], is_taken[nearest] = nearest, True
    return following


def _judge(chain: Shapes) -> Line | None:
    """Take a chain for text where its letters are many, tight, of one ink and height, on a line, and differ in width."""
    count, height_S, width_S = len(chain.left_S), chain.height_S, chain.width_S
    if count < FEWEST:
        return None
    height = float(np.median(height_S))
    along = chain.left_S + width_S / 2
    slope, start = np.polyfit(along - along[0], chain.bottom_S, 1)
    off = float(np.median(np.abs(chain.bottom_S - start - slope * (along - along[0])))) / height
    gap = float(np.median(chain.left_S[1:] - chain.right_S[:-1])) / height
    varied = float(width_S.std() / width_S.mean())
    is_varied = varied >= VARIED or (count >= MANY and off <= STRAIGHT and varied >= REGULAR)
    is_tidy = off <= OFF and abs(slope) <= LEANS and gap <= TIGHT and float(height_S.std()) <= EVEN * height
    if not (is_varied and is_tidy and float(chain.ink_S.std()) <= ONE_INK):
        return None
    left, top = float(chain.left_S.min()), float(chain.top_S.min())
    wide, high = float(chain.right_S.max()) - left, float(chain.bottom_S.max()) - top
    return Line(int(left), int(top), int(wide), int(high), count, round(height))
