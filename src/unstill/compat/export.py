"""`export_to_video` and `export_to_gif`: frames as scripts hold them, written by our writer.

It owns the conversion of frames; formats and files belong to `write`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from unstill.artifacts import Clip, Report
from unstill.compat.parts import tell
from unstill.compat.pictures import to_array, to_bytes
from unstill.errors import RequestError, ResultError
from unstill.formats.video import RATE_FACTORS
from unstill.request import Request
from unstill.values import Size, show
from unstill.write import check_target, write

if TYPE_CHECKING:
    from unstill.artifacts import Pixels


def export_to_video(
    video_frames: Any,
    output_video_path: str | Path | None = None,
    fps: float = 10,
    quality: float | None = 5.0,
    bitrate: int | None = None,
    macro_block_size: int | None = 16,
) -> str:
    """Write frames as a video of exactly their size and number; return the path.

    `quality` runs from 0 to 10 as in diffusers; frames are never rescaled, whatever `macro_block_size` says.
    """
    if bitrate is not None:
        tell("bitrate is not carried out: quality decides; `unstill animate --max-bytes` bounds a file")
    request = Request(play_fps=fps) if quality is None else Request(play_fps=fps, quality=translate_quality(quality))
    return _export(video_frames, output_video_path, ".mp4", request)


def export_to_gif(image: Any, output_gif_path: str | Path | None = None, fps: float = 10) -> str:
    """Write frames as a GIF that plays at this rate; return the path."""
    return _export(image, output_gif_path, ".gif", Request(play_fps=fps, format="gif"))


def translate_quality(quality: float) -> int:
    """Find our quality for that of imageio, 0 to 10, at which H.264 gets the same rate factor."""
    if not 0 <= quality <= 10:
        raise RequestError(f"quality must be a number from 0 to 10, not {show(quality)}")
    lowest, highest = RATE_FACTORS["h264"]
    factor = int(51 * (1 - quality / 10))  # imageio-ffmpeg 0.6, `_io.py`
    return min(max(round(1 + 99 * (factor - lowest) / (highest - lowest)), 1), 100)


def _export(frames: Any, path: str | Path | None, suffix: str, request: Request) -> str:
    target = Path(tempfile.mkdtemp(prefix="unstill-")) / f"clip{suffix}" if path is None else Path(path)
    check_target(target, request)
    return str(write(make_clip(frames, request), target, request))


def make_clip(frames: Any, request: Request) -> Clip:
    """Make a clip of frames that a script holds: Pillow images, arrays, or tensors with channels first."""
    pixels = read_frames(frames)
    change = float(np.abs(np.diff(pixels.astype(np.int16), axis=0)).mean()) if len(pixels) > 1 else 0.0
    report = Report(len(pixels), Size(pixels.shape[2], pixels.shape[1]), mean_change=round(change, 3), fidelity_db=float("nan"))
    return Clip(pixels, report, {}, request, write)


def read_frames(frames: Any) -> Pixels:
    """Turn frames into bytes [F, H, W, 3]; one that is not finite is an error, never black."""
    several = list(frames) if isinstance(frames, (Sequence, np.ndarray, Tensor)) else []
    if not several or isinstance(frames, str):
        raise RequestError(f"video_frames must be a list of frames, an array or a tensor, not {type(frames).__name__}")
    arrays = [_read_frame(frame) for frame in several]
    broken = [number for number, array in enumerate(arrays, 1) if not np.isfinite(array).all()]
    if broken:
        raise ResultError(
            f"{len(broken)} of {len(arrays)} frames are not finite, the first is frame {broken[0]}",
            hint="torch_dtype=torch.float32, or bfloat16 where the GPU has it: half precision overflowed",
        )
    if len({array.shape for array in arrays}) > 1:
        raise RequestError("the frames differ in size: " + ", ".join(sorted({f"{a.shape[1]}x{a.shape[0]}" for a in arrays})))
    return np.stack([to_bytes(array) for array in arrays])


def _read_frame(frame: Any) -> np.ndarray[Any, Any]:
    """Turn one frame into an array [H, W, 3]."""
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"))
    array = np.moveaxis(to_array(frame), 0, -1) if isinstance(frame, Tensor) and frame.ndim == 3 else frame
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        found = tuple(frame.shape) if isinstance(frame, (np.ndarray, Tensor)) else type(frame).__name__
        raise RequestError(
            f"a frame is a Pillow image, an array of rows, columns and 3 channels, or a tensor of channels first, not {found}",
            hint="pipe(...).frames holds clips: export frames[0]",
        )
    return np.broadcast_to(array, (*array.shape[:2], 3))
