"""How close the measures of motion and steadiness come to known truth on the pictures of examples/, and how long they take.

    python bench/measures.py            two tables in Markdown

Films are read from the pictures along known maps, twice as fine as the frames and then averaged, so that reading between
pixels does not itself look like motion.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unstill.measure.flow import shrink, track
from unstill.measure.motion import fit_camera, measure_motion_px, name_camera
from unstill.measure.steady import measure_bands, measure_contrast, measure_flicker, measure_saturation, measure_sharpness

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from films import places, similar  # noqa: E402

PICTURES = ("harbour", "lighthouse", "balloon")
FINE = 2
WAYS = {f"pan {px:g} px": {"pan": (px, 0.0)} for px in (0.5, 1, 2, 5, 12)} | {
    "zoom +1 %": {"zoom_percent": 1.0},
    "zoom −1 %": {"zoom_percent": -1.0},
    "roll 1°": {"roll_degrees": 1.0},
    "still": {},
}


def load(name: str) -> Tensor:
    return (
        torch.from_numpy(np.asarray(Image.open(ROOT / "examples" / f"{name}.jpg").convert("RGB")).copy()).permute(2, 0, 1) / 255
    )


def film(picture_CHW: Tensor, way_CHW: Tensor) -> Tensor:
    """Read a frame of 1024x576 from the picture's middle along a way in px, and round it to 8 bits."""
    rows, columns = picture_CHW.shape[-2:]
    scale = 0.94 * min(columns / 1024, rows / 576)
    fine_CHW = F.interpolate(way_CHW[None], scale_factor=FINE, mode="bilinear", align_corners=False)[0]
    x, y = (places((576 * FINE, 1024 * FINE)) / FINE + fine_CHW) * scale
    grid = torch.stack([x * 2 / columns, y * 2 / rows], -1)
    frame = F.grid_sample(picture_CHW[None], grid[None], padding_mode="reflection", align_corners=False)
    return (F.avg_pool2d(frame, FINE)[0] * 255).round() / 255


def print_accuracy() -> None:
    print("| picture | way | truth px | motion px | pan x px | zoom % | roll ° | left over px | flicker greys | word |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in PICTURES:
        picture = load(name)
        still = film(picture, similar())
        for label, how in WAYS.items():
            way = similar(**how)
            clip = shrink(torch.stack([film(picture, way), still]))
            flow = track(clip)
            camera = fit_camera(flow)
            flicker = float(measure_flicker(clip, flow).step_greys_P.abs())
            numbers = (way.norm(dim=0).mean(), measure_motion_px(flow, camera), camera.pan_x_px_P, camera.zoom_percent_P)
            numbers = (*numbers, camera.roll_degrees_P, camera.objects_px_P, flicker)
            told = " | ".join(f"{float(number):.2f}" for number in numbers)
            print(f"| {name} | {label} | {told} | {name_camera(flow, camera).word} |")


def print_speed(frames: int = 25) -> None:
    """Time each measure on a pan of that many frames, the second of two runs."""
    picture = load(PICTURES[0])
    clip_FCHW = torch.stack([film(picture, similar((0.5 * n, 0.0))) for n in range(frames)])
    times: dict[str, float] = {}
    for _ in range(2):
        marks = [time.perf_counter()]

        def lap(name: str, marks: list[float] = marks) -> None:
            marks.append(time.perf_counter())
            times[name] = marks[-1] - marks[-2]

        clip = shrink(clip_FCHW)
        lap("shrink")
        flow = track(clip)
        lap("track")
        camera = fit_camera(flow)
        name_camera(flow, camera), measure_motion_px(flow, camera)
        lap("motion and camera")
        measure_flicker(clip, flow)
        lap("flicker")
        measure_sharpness(clip_FCHW), measure_contrast(clip), measure_saturation(clip)
        lap("sharpness, contrast, saturation")
        measure_bands(clip)
        lap("bands")
    print(f"\n{frames} frames of 1024x576, {torch.get_num_threads()} threads\n\n| measure | s |\n|---|---|")
    print("\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in {**times, "together": sum(times.values())}.items()))


if __name__ == "__main__":
    torch.set_num_threads(2)
    print_accuracy()
    print_speed()
