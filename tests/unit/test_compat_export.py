"""Frames as scripts hold them become files of their size, number and rate."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from unstill.compat import export_to_gif, export_to_video
from unstill.compat.export import read_frames
from unstill.errors import PictureError, RequestError

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
FORMS = {
    "Pillow images": [Image.fromarray(frame) for frame in FRAMES],
    "an array of bytes": FRAMES,
    "arrays of floats": list(FRAMES / np.float32(255)),
    "half precision": list((FRAMES / 255).astype(np.float16)),
    "a tensor": torch.from_numpy(FRAMES.copy()).movedim(-1, 1) / 255,
    "tensors": list(torch.from_numpy(FRAMES.copy()).movedim(-1, 1) / 255),
}


@pytest.mark.parametrize("frames", FORMS.values(), ids=FORMS)
def test_every_form_of_frames_is_the_same_pixels(frames):
    assert np.array_equal(read_frames(frames), FRAMES)


def test_a_video_has_every_frame_at_the_rate_asked_for(tmp_path):
    path = export_to_video(FORMS["Pillow images"], str(tmp_path / "clip.mp4"), fps=7)
    assert path == str(tmp_path / "clip.mp4")
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.width, stream.height) == (7, 64, 48)
        assert len(list(container.decode(stream))) == 5


def test_without_a_path_a_temporary_file_is_written():
    path = Path(export_to_gif(FRAMES))
    assert path.suffix == ".gif"
    assert path.stat().st_size > 0
    path.unlink()
    path.parent.rmdir()


def test_better_quality_makes_a_larger_file(tmp_path):
    sizes = [Path(export_to_video(FRAMES, tmp_path / f"{q}.mp4", quality=q)).stat().st_size for q in (1, 5, 9, None)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_bitrate_is_not_carried_out_and_says_so(tmp_path):
    with pytest.warns(UserWarning, match="bitrate"):
        export_to_video(FRAMES, tmp_path / "clip.mp4", bitrate=100_000)


@pytest.mark.parametrize(
    "frames",
    [[], "clip.mp4", 7, [FORMS["Pillow images"]], np.zeros((1, 2, 48, 64, 3)), [1, 2], np.zeros((3, 48, 64, 4), np.uint8)],
)
def test_what_are_no_frames_is_an_error(tmp_path, frames):
    with pytest.raises(RequestError):
        export_to_video(frames, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_frames_of_different_sizes_are_an_error(tmp_path):
    with pytest.raises(RequestError, match="32x48, 64x48"):
        export_to_gif([FRAMES[0], FRAMES[1][:, :32]], tmp_path / "clip.gif")


def test_values_beyond_0_to_1_are_an_error(tmp_path):
    with pytest.raises(PictureError, match="from 0 to 1"):
        export_to_video(FRAMES.astype(np.float32), tmp_path / "clip.mp4")
