"""Clips that are whole, and clips broken in a known way: cut, shifted, filled, stretched, bent, or with a thing in them twice.

Everything happens on the picture: where each pixel is read is bent, cut or shifted there, so that a fault stays at its place
in the scene while the camera moves, and grows from nothing in the first frame.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from films import places

SIZE, AROUND = (216, 384), (270, 480)  # of a frame, and of the picture that it is a part of
FRAMES = 7
PLACES = 8  # of which a thing is doubled that has the most to be known by
DRAWS = 12  # faults drawn until one can be seen
SEEN_GREYS, SEEN_PX = 20, 150  # a fault can be seen where so many pixels of the last frame differ by so much
FAULTS = {"cut": "torn", "shifted": "torn", "filled": "filled", "stretched": "smeared", "bent": "bent", "doubled": "ghost"}
WHOLE = ("still", "pan", "zoom", "roll", "tilt")

Fault = Callable[[Tensor, float], Tensor]  # from where each pixel is read, and how far the clip is, to the frame


@dataclass(frozen=True, eq=False)
class Broken:
    """A clip, and the verdict that it deserves, if any."""

    frames_FHWC: Tensor  # uint8
    verdict: str | None


def make_broken(picture_CHW: Tensor, seed: int) -> Iterator[tuple[str, Broken]]:
    """Film a picture [3, H, W], 0 to 1: six times whole, and once with every fault that can be seen in it.

    The same seed gives the same clips.
    """
    rng = np.random.default_rng(seed)
    picture_CHW = F.interpolate(picture_CHW[None], AROUND, mode="bilinear", antialias=True)[0]
    upright = rng.uniform(-0.35, 0.35)
    barred_CHW = draw_bars(picture_CHW, rng, upright)
    if rng.random() < 0.5:
        picture_CHW = barred_CHW
    for kind in WHOLE:
        yield kind, Broken(film(picture_CHW, _draw_camera(kind, rng), None, rng), None)
    yield "parallax", Broken(film(picture_CHW, _draw_camera("pan", rng), _pass(picture_CHW, rng), rng), None)
    for name, verdict in FAULTS.items():
        scene = barred_CHW if name == "bent" else picture_CHW
        camera = _draw_camera(str(rng.choice(WHOLE)), rng)
        for _ in range(DRAWS):
            fault = _bend(scene, rng, upright) if name == "bent" else BREAK[name](scene, rng)
            if is_seen(scene, camera, fault):
                yield name, Broken(film(scene, camera, fault, rng), verdict)
                break


def is_seen(picture_CHW: Tensor, camera: Callable[[float], Tensor], fault: Fault) -> bool:
    """Whether the last frame differs enough from what it would be without the fault."""
    at_CHW = camera(1.0)
    differs = (fault(at_CHW, 1.0) - read(picture_CHW, at_CHW)).abs().amax(0) > SEEN_GREYS / 255
    return int(differs.sum()) >= SEEN_PX


def film(picture_CHW: Tensor, camera: Callable[[float], Tensor], fault: Fault | None, rng: np.random.Generator) -> Tensor:
    """Film it, and compress every frame in half of all clips."""
    quality = int(rng.integers(80, 95)) if rng.random() < 0.5 else None
    frames = []
    for n in range(FRAMES):
        at_CHW, t = camera(n / (FRAMES - 1)), n / (FRAMES - 1)
        frame = read(picture_CHW, at_CHW) if fault is None else fault(at_CHW, t)
        frames.append(_compress((frame.clamp(0, 1) * 255).round().byte().permute(1, 2, 0), quality))
    return torch.stack(frames)


def read(picture_CHW: Tensor, at_CHW: Tensor) -> Tensor:
    """Read the picture at places counted from its centre."""
    rows, columns = picture_CHW.shape[-2:]
    grid = torch.stack([at_CHW[0] * 2 / columns, at_CHW[1] * 2 / rows], -1)[None]
    return F.grid_sample(picture_CHW[None], grid, padding_mode="reflection", mode="bicubic", align_corners=False)[0]


def draw_bars(picture_CHW: Tensor, rng: np.random.Generator, upright: float) -> Tensor:
    """Paint a straight pole and a straight beam before the picture, so that there are lines to keep; the pole is as upright."""
    for angle in (upright, math.pi / 2 + rng.uniform(-0.35, 0.35)):
        x, y = places(tuple(picture_CHW.shape[-2:]))
        normal = x * math.cos(angle) + y * math.sin(angle) - rng.uniform(-20, 20)
        light = picture_CHW[:, normal.abs() < 12].mean()  # a dark bar before light things, a light one before dark ones
        colour = torch.tensor(rng.uniform(0, 0.25, 3) + (0.7 if light < 0.5 else 0.0), dtype=torch.float32)
        alpha = (rng.uniform(1.5, 3.5) - normal.abs() + 0.5).clamp(0, 1)
        picture_CHW = picture_CHW + alpha * (colour[:, None, None] - picture_CHW)
    return picture_CHW


def _draw_camera(kind: str, rng: np.random.Generator) -> Callable[[float], Tensor]:
    """Draw a camera's way; it gives where in the picture each pixel of a frame lies, as far along as asked."""
    place = places(SIZE)
    angle, sign = rng.uniform(0, 2 * math.pi), rng.choice([-1, 1])
    pan = torch.tensor([math.cos(angle), 0.5 * math.sin(angle)])[:, None, None] * rng.uniform(8, 30)
    zoom, turn = sign * rng.uniform(0.05, 0.15), math.radians(sign * rng.uniform(2, 5))
    tilt = torch.tensor(rng.normal(0, 0.06, 2), dtype=torch.float32)[:, None, None] / 192

    def see(t: float) -> Tensor:
        if kind == "still":
            return place
        if kind == "pan":
            return place + t * pan
        if kind == "zoom":
            return place * (1 - t * zoom) + 0.3 * t * pan
        if kind == "roll":
            cos, sin = math.cos(t * turn), math.sin(t * turn)
            return torch.stack([place[0] * cos - place[1] * sin, place[0] * sin + place[1] * cos])
        return (place + 0.5 * t * pan) / (1 + t * (tilt * place).sum(0))  # a wall seen askew

    return see


def _find_full(picture_CHW: Tensor, rng: np.random.Generator, most: float = 0.6, share: float = 0.6) -> tuple[float, float]:
    """Choose a place where the picture has fine detail to break: more than a share of all places away from the borders."""
    light_HW = picture_CHW.mean(0)
    fine = (light_HW - _blur(light_HW[None], 3)[0]).abs()[None, None]
    spread = F.avg_pool2d(fine, 25, 1, 12)[0, 0]
    x, y = places(AROUND)
    inside = (x.abs() < most * 192) & (y.abs() < most * 108)
    least = torch.quantile(spread[inside], share)
    chosen = (inside & (spread >= least)).nonzero()
    row, column = chosen[int(rng.integers(len(chosen)))].tolist()
    return float(x[row, column]), float(y[row, column])


def _lay(at_CHW: Tensor, centre: tuple[float, float], angle: float) -> tuple[Tensor, Tensor]:
    """Give each place's way along and across a line through the centre."""
    x, y = at_CHW[0] - centre[0], at_CHW[1] - centre[1]
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _push(at_CHW: Tensor, angle: float, along: Tensor | float, across: Tensor | float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.stack([at_CHW[0] + along * cos - across * sin, at_CHW[1] + along * sin + across * cos])


def _blur(picture_CHW: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma)
    weight = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weight = (weight / weight.sum()).view(1, 1, 1, -1)
    padded = F.pad(picture_CHW[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weight), weight.transpose(2, 3))[:, 0]


def _draw_blob(rng: np.random.Generator, radius: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Draw a ragged disc: below 1 is inside."""
    phases, sizes = rng.uniform(0, 2 * math.pi, 6), rng.uniform(0, 0.25, 6)
    flat = rng.uniform(0.6, 1.0)

    def reach(along: Tensor, across: Tensor) -> Tensor:
        angle = torch.atan2(across, along)
        edge = 1 + sum(
            size * torch.sin((k + 2) * angle + phase) for k, (size, phase) in enumerate(zip(sizes, phases, strict=True))
        )
        return torch.hypot(along, across / flat) / (radius * edge)

    return reach


def _cut(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Open a crack, and fill it with the colours around it, as renderers do."""
    centre, angle = _find_full(picture_CHW, rng), rng.uniform(0, math.pi)
    long, wide, fill = rng.uniform(40, 90), rng.uniform(6, 11), _blur(picture_CHW, 10)
    wave = rng.uniform(0, 6)

    def see(at_CHW: Tensor, t: float) -> Tensor:
        along, across = _lay(at_CHW, centre, angle)
        across = across + wave * torch.sin(along / 12)
        gap = t * wide * (1 - (along / long) ** 2).clamp(min=0).sqrt()
        gone = torch.where(across > 0, gap * torch.exp(-(across - gap).clamp(min=0) / 45), 0.0)
        frame = read(picture_CHW, _push(at_CHW, angle, 0.0, -gone))
        return torch.where((across > 0) & (across < gap), read(fill, at_CHW), frame)

    return see


def _shift(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Move a ragged piece of the picture; what it leaves is filled."""
    centre, angle = _find_full(picture_CHW, rng), rng.uniform(0, 2 * math.pi)
    inside, far = _draw_blob(rng, rng.uniform(18, 40)), rng.uniform(8, 16)
    fill = _blur(picture_CHW, 12)

    def see(at_CHW: Tensor, t: float) -> Tensor:
        before = _push(at_CHW, angle, -far * t, 0.0)
        frame = torch.where(inside(*_lay(at_CHW, centre, angle)) < 1, read(fill, at_CHW), read(picture_CHW, at_CHW))
        frame = frame if t else read(picture_CHW, at_CHW)
        return torch.where(inside(*_lay(before, centre, angle)) < 1, read(picture_CHW, before), frame)

    return see


def _fill(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Let a ragged place lose its texture: to one colour, or to a blur."""
    centre, angle = _find_full(picture_CHW, rng, share=0.85), rng.uniform(0, math.pi)
    inside = _draw_blob(rng, rng.uniform(14, 35))
    fill = _blur(picture_CHW, float(rng.choice([5, 12])))

    def see(at_CHW: Tensor, t: float) -> Tensor:
        alpha = ((t - inside(*_lay(at_CHW, centre, angle))) * 10).clamp(0, 1)
        return read(picture_CHW, at_CHW) * (1 - alpha) + read(fill, at_CHW) * alpha

    return see


def _stretch(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Stretch a strip four to eight times; what lies beyond is pushed away."""
    centre, angle = _find_full(picture_CHW, rng), rng.uniform(0, math.pi)
    wide, times, long = rng.uniform(16, 32), rng.uniform(4.5, 8), rng.uniform(35, 70)

    def see(at_CHW: Tensor, t: float) -> Tensor:
        along, across = _lay(at_CHW, centre, angle)
        core = wide / times  # of the picture, becomes `wide` in the end
        now = core + (wide - core) * t * (1 - (along / long) ** 2).clamp(min=0)
        pushed = (now - core) * torch.exp(-((across.abs() - now / 2).clamp(min=0)) / 40) / 2 * across.sign()
        gone = torch.where(across.abs() < now / 2, across * (1 - core / now), pushed)
        return read(picture_CHW, _push(at_CHW, angle, 0.0, -gone))

    return see


def _bend(picture_CHW: Tensor, rng: np.random.Generator, upright: float) -> Fault:
    """Let a part of the picture bulge across the pole that `draw_bars` has put through its middle."""
    centre = (rng.uniform(-15, 15), rng.uniform(-40, 40))
    high, wide = rng.choice([-1, 1]) * rng.uniform(8, 12), rng.uniform(22, 36)

    def see(at_CHW: Tensor, t: float) -> Tensor:
        across, along = _lay(at_CHW, centre, upright)
        hump = torch.exp(-(along**2) / (2 * wide**2) - across**2 / (2 * (2 * wide) ** 2))
        return read(picture_CHW, _push(at_CHW, upright, high * t * hump, 0.0))

    return see


def _double(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Let a thing appear a second time: it grows out of nothing there, or slides away from itself."""
    radius = rng.uniform(14, 28)
    x, y = places(AROUND)

    def vary(centre: tuple[float, float]) -> float:
        return float(picture_CHW[:, torch.hypot(x - centre[0], y - centre[1]) < radius].std(1).mean())

    centre = max((_find_full(picture_CHW, rng, 0.5) for _ in range(PLACES)), key=vary)  # a thing that can be told from others
    inside, far, slides = _draw_blob(rng, radius), radius * rng.uniform(2.2, 3.5), rng.random() < 0.5
    angle = math.atan2(-centre[1], -centre[0]) + rng.uniform(-0.6, 0.6)  # toward the middle, so that both are seen

    def see(at_CHW: Tensor, t: float) -> Tensor:
        moved = _push(at_CHW, angle, -far * (t if slides else 1.0), 0.0)
        alpha = ((1 - inside(*_lay(moved, centre, angle))) * 6).clamp(0, 1) * (1.0 if slides else min(1.0, 1.5 * t))
        return read(picture_CHW, at_CHW) * (1 - alpha) + read(picture_CHW, moved) * alpha

    return see


def _pass(picture_CHW: Tensor, rng: np.random.Generator) -> Fault:
    """Let something near, with another part of the picture on it, pass before the rest; that is no fault."""
    centre, angle = (float(rng.uniform(-90, 90)), float(rng.uniform(-50, 50))), rng.uniform(0, 2 * math.pi)
    inside, far, other_CHW = _draw_blob(rng, rng.uniform(30, 60)), rng.uniform(4, 10), picture_CHW.flip(2)

    def see(at_CHW: Tensor, t: float) -> Tensor:
        near = _push(at_CHW, angle, -far * t, 0.0)
        alpha = ((1 - inside(*_lay(near, centre, angle))) * 20).clamp(0, 1)
        return read(picture_CHW, at_CHW) * (1 - alpha) + read(other_CHW, near) * alpha

    return see


BREAK = {"cut": _cut, "shifted": _shift, "filled": _fill, "stretched": _stretch, "doubled": _double}


def _compress(frame_HWC: Tensor, quality: int | None) -> Tensor:
    if quality is None:
        return frame_HWC
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC.numpy()).save(buffer, "JPEG", quality=quality, subsampling=0)
    return torch.from_numpy(np.asarray(Image.open(buffer)).copy())
