"""Small clips to write, and what a test needs to look at the files."""

import io

import numpy as np

from unstill.artifacts import Clip, Report
from unstill.formats.sheet import Sheet, read_fps
from unstill.request import Request
from unstill.values import Size
from unstill.write import write

RECIPE = {
    "unstill": "0.1",
    "knobs": {"motion": 127, "fps": 7, "model": "Mühle \"quoted\" <&> 'x' 日本"},
    "model": {"name": "m"},
}
FORMATS = ("mp4", "webm", "gif", "webp", "apng", "png")


def make_frames(count=14, height=48, width=64):
    """Soft shapes that move, so that every frame differs from the one before."""
    y, x = np.mgrid[0:height, 0:width]
    shapes = [
        np.stack([128 + 100 * np.sin((x + 3 * n) / 9), 128 + 90 * np.cos((y + n) / 7), 40 + (x + y + 5 * n) % 160], axis=-1)
        for n in range(count)
    ]
    return np.stack(shapes).astype(np.uint8)


def make_clip(frames=None, recipe=RECIPE, **knobs):
    frames = make_frames() if frames is None else frames
    report = Report(len(frames), Size(frames.shape[2], frames.shape[1]), mean_change=1.0, fidelity_db=30.0)
    return Clip(frames, report, recipe, Request(**{"fps": 7, **knobs}), write)


def make_sheet(play_fps=7, **more):
    standard = {"quality": 80, "plays": 0, "colors": 256, "dither": "sierra", "mark": "made by unstill", "recipe": None}
    return Sheet(play_fps=read_fps(play_fps), **{**standard, **more})


def decode(data, kind="rgb24"):
    """Decode a video to arrays with FFmpeg."""
    import av

    with av.open(io.BytesIO(data)) as file:
        return [frame.to_ndarray(format=kind) for frame in file.decode(video=0)]
