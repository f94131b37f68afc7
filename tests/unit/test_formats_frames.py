"""formats/frames.py: what was written is read back, and what is no clip is refused."""

import numpy as np
import pytest

from clips import FORMATS, make_clip, make_frames
from unstill.errors import RecipeError
from unstill.formats import frames as module
from unstill.formats.frames import read_frames


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_back(kind, tmp_path):
    path = make_clip(make_frames(6)).save(tmp_path / ("clip-frames" if kind == "png" else f"clip.{kind}"))
    frames, found = read_frames(path)
    assert frames.shape == (6, 48, 64, 3)
    assert found.frames == 6
    tolerance = 0 if kind in ("apng", "png") else 12
    assert np.abs(frames.astype(int) - make_frames(6)).mean() <= tolerance


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "webp", "apng"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_clip_that_breaks_off_is_refused_or_read_as_far_as_it_goes(kind, share, tmp_path):
    path = make_clip(make_frames(6)).save(tmp_path / f"clip.{kind}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    try:
        frames, _ = read_frames(path)
    except RecipeError as error:
        assert path.name in error.message
    else:
        assert 1 <= len(frames) <= 6


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = make_clip(make_frames(6)).save(tmp_path / "clip.mp4")
    monkeypatch.setattr(module, "LARGEST_BYTES", 10_000)
    with pytest.raises(RecipeError, match=r"6 frames of 64x48: 55\.3 kB, and at most 10 kB are read"):
        read_frames(path)
