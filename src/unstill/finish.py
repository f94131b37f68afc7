"""The frames of a clip become the frames of its file: speed, loop, smoothing, and nothing that was not asked for.

It owns when each frame is shown, and of what. It does not know formats, nor how frames in between are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from unstill.errors import RequestError
from unstill.formats.sheet import read_fps
from unstill.request import Request

if TYPE_CHECKING:
    from torch import Tensor

    from unstill.artifacts import Draw, Pixels

    # Two frames [C, H, W] of float32 in 0–1 and moments between 0 and 1, in order, to a frame for each moment.
    Between = Callable[[Tensor, Tensor, Sequence[float]], Iterable[Tensor]]

FADED = 4  # one frame of so many is faded: less shows the jump, more shows two clips at once for most of the time
FEWEST_FADED = 4  # frames: of fewer, a quarter is none
MOST_FRAMES = 2048  # 7 GB at 1024x576 while they are put together; 25 frames there and back at 240 fps are 1646


@dataclass(frozen=True)
class Shot:
    """What a frame of the file shows: the clip at a place, counted in frames, and maybe another place shining through."""

    place: Fraction
    other: Fraction = Fraction(0)
    share: float = 0.0  # of the other place


def finish(
    frames: Pixels, request: Request, *, between: Between | None = None, draw: Draw | None = None
) -> tuple[Pixels, float]:
    """Return the frames to be written and the rate at which they play.

    Frames in between are drawn where the model can, else made by `between`, which is the optical flow if left out.
    """
    shots, fps = schedule(len(frames), request)
    if [shot.place for shot in shots] == list(range(len(frames))) and not any(shot.share for shot in shots):
        return frames, fps
    faded = [shot for shot in shots if shot.share]
    places = list(dict.fromkeys([*(shot.place for shot in shots), *(shot.other for shot in faded)]))
    shown = dict(zip(places, _show(frames, places, between, draw), strict=True))
    return np.stack(
        [_mix(shown[shot.place], shown[shot.other], shot.share) if shot.share else shown[shot.place] for shot in shots]
    ), fps


def count_frames(count: int, request: Request) -> tuple[int, float]:
    """Say how many frames a file will have and at which rate they play, and refuse what cannot be."""
    shots, fps = schedule(count, request)
    return len(shots), fps


def schedule(count: int, request: Request) -> tuple[list[Shot], float]:
    """Say what each frame of the file shows, and at which rate: first speed counts, then loop, then smooth."""
    rate = read_fps(request.file_fps) * Fraction(request.speed).limit_denominator(1000)
    faded = _count_faded(count) if request.loop == "cross-fade" else 0
    length = max(1, 2 * count - 2) if request.loop == "ping-pong" else count - faded  # neither end is shown twice
    if request.smooth is None:
        moments, fps = [Fraction(number) for number in range(length)], rate
    else:
        fps = read_fps(request.smooth)
        # There and back, an odd number of moments would lie alike on both sides of the turn: two equal frames in a row.
        number = round(length * fps / rate / 2) * 2 if request.loop == "ping-pong" else round(length * fps / rate)
        moments = _space(length, max(1, number), fps / rate, is_closed=request.loop != "none")
    if request.loop == "ping-pong":
        shots = [Shot(min(moment, abs(2 * count - 2 - moment), Fraction(count - 1))) for moment in moments]
    elif request.loop == "cross-fade":
        shots = [_fade(moment, count, faded) for moment in moments]
    else:
        shots = [Shot(moment) for moment in moments]
    return shots, float(fps)


def _space(length: int, number: int, times: Fraction, *, is_closed: bool) -> list[Fraction]:
    """Spread so many moments over a clip, about `times` as many as it has, so that it lasts as long as it did."""
    if number > MOST_FRAMES:
        raise RequestError(
            f"smooth makes {number} frames of {length}, and at most {MOST_FRAMES} are possible",
            hint="a lower smooth, or a higher speed or play_fps",
        )
    if is_closed:  # the last moment is as far from the first as any two are, whatever the rates
        return [Fraction(index * length, number) for index in range(number)]
    return [min(index / times, Fraction(length - 1)) for index in range(number)]  # the last frame stays for its time


def _count_faded(count: int) -> int:
    """Say how many frames a cross-fade takes."""
    if count < FEWEST_FADED:
        raise RequestError(
            f"loop cross-fade needs {FEWEST_FADED} frames or more, and the clip has {count}", hint="--loop ping-pong"
        )
    return round(count / FADED)


def _fade(moment: Fraction, count: int, faded: int) -> Shot:
    """Let the frames after the loop's end shine through its beginning, less and less."""
    end = count - faded
    after = moment if moment <= faded else moment - end  # what comes after the end is the way to the beginning
    if after <= -1 or after >= faded:
        return Shot(moment)
    last = min(end + after, Fraction(count - 1))
    return Shot(max(after, Fraction(0)), last, float(1 - (after + 1) / (faded + 1)))


def _mix(frame: Pixels, other: Pixels, share: float) -> Pixels:
    mixed = frame * np.float32(1 - share) + other * np.float32(share)
    return mixed.round().astype(np.uint8)


def _show(frames: Pixels, places: Sequence[Fraction], between: Between | None, draw: Draw | None) -> list[Pixels]:
    """Return the clip at each place: a frame as it is, or one made between two; one pair of frames after the other."""
    shown = {place: frames[int(place)] for place in places if place.denominator == 1}
    pairs: dict[int, list[Fraction]] = {}
    for place in sorted(set(places) - shown.keys()):
        pairs.setdefault(int(place), []).append(place)
    if draw is not None:
        shown |= {place: _to_bytes(draw(float(place))) for inside in pairs.values() for place in inside}
        pairs = {}
    for first, inside in pairs.items():
        shown |= dict(zip(inside, _fill(frames[first : first + 2], [place - first for place in inside], between), strict=True))
    return [shown[place] for place in places]


def _fill(pair: Pixels, moments: Sequence[Fraction], between: Between | None) -> Iterable[Pixels]:
    """Make the frames between two; between equal ones there is nothing to be made."""
    if np.array_equal(pair[0], pair[1]):
        return [pair[0]] * len(moments)
    import torch

    from unstill.between import interpolate

    first_CHW, second_CHW = (torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255 for frame in pair)
    made = (between or interpolate)(first_CHW, second_CHW, [float(moment) for moment in moments])
    return map(_to_bytes, made)


def _to_bytes(frame_CHW: Tensor) -> Pixels:
    frame: Pixels = (frame_CHW.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return frame
