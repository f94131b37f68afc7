"""check.py: broken clips are refused, others measured."""

import numpy as np
import pytest
import torch

from unstill.artifacts import Box, Frames, ModelFiles, Plan, PreparedImage, Rung
from unstill.check import check, complete, refuse_broken
from unstill.errors import ResultError
from unstill.request import Request
from unstill.values import Size

GOOD = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


MODEL = ModelFiles("svd", "svd", "diffusers", {}, {}, frames=14, weights_bytes=0)
PLAN = Plan(
    Request(), MODEL, Size(16, 16), Size(16, 16), "cpu", "fp32", "reference", 0, Rung("fast", 25), warnings=("said before",)
)


def picture_of(frame_CHW: torch.Tensor) -> PreparedImage:
    pixels = (frame_CHW * 255).round().byte().permute(1, 2, 0).numpy()
    return PreparedImage(pixels, pixels, Box(0, 0, 16, 16), Size(16, 16), "0" * 64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("frame", [0, 4])
def test_one_pixel_that_is_not_finite_refuses_the_clip(value, frame):
    frames = GOOD.clone()
    frames[frame, 1, 3, 3] = value
    with pytest.raises(ResultError, match=f"1 of 5 frames are not finite, the first is frame {frame + 1}"):
        refuse_broken(frames, GOOD[0])


@pytest.mark.parametrize("frame", [0, 2, 4])
@pytest.mark.parametrize(("level", "kind"), [(0.0, "black"), (0.5, "of one colour"), (1.0, "of one colour")])
def test_one_frame_that_shows_nothing_refuses_the_clip(frame, level, kind):
    frames = GOOD.clone()
    frames[frame] = level
    with pytest.raises(ResultError, match=f"1 of 5 frames are {kind}, the first is frame {frame + 1}"):
        refuse_broken(frames, GOOD[0])


def test_a_frame_of_one_colour_is_found_whatever_the_colour():
    """Its channels differ, its pixels do not."""
    frames = GOOD.clone()
    frames[1] = torch.tensor([0.1, 0.5, 0.9])[:, None, None]
    with pytest.raises(ResultError, match="of one colour"):
        refuse_broken(frames, GOOD[0])


def test_a_picture_of_one_colour_may_give_a_clip_of_one_colour():
    refuse_broken(torch.zeros(3, 3, 8, 8), torch.zeros(3, 8, 8))


def test_one_bright_row_in_a_frame_is_something_to_see():
    frames = GOOD.clone()
    frames[2] = 0.0
    frames[2, :, 5] = 1.0  # not one of the rows that are looked at first
    refuse_broken(frames, GOOD[0])


def test_a_night_picture_is_not_called_black():
    refuse_broken(GOOD * 0.05, GOOD[0] * 0.05)


def test_change_is_counted_in_grey_levels():
    frames = torch.stack([GOOD[0] * 0.5, GOOD[0] * 0.5 + 10 / 255])
    report = check(PLAN, picture_of(GOOD[0] * 0.5), Frames(frames))
    assert report.mean_change == pytest.approx(10, abs=0.01)


def test_a_still_is_reported_and_said():
    image, frames = picture_of(GOOD[0]), Frames(GOOD[:1].repeat(4, 1, 1, 1))
    report = complete(PLAN, image, frames, check(PLAN, image, frames))
    assert report.mean_change == 0
    assert report.warnings[0] == "said before"
    assert "stands still" in report.warnings[1]


def test_the_first_frame_is_compared_with_the_picture():
    off = check(PLAN, picture_of(GOOD[0]), Frames((GOOD * 0.9 + 0.05).clamp(0, 1))).fidelity_db
    same = check(PLAN, picture_of(GOOD[0]), Frames(GOOD)).fidelity_db
    assert same > 50 > off > 20


def test_padding_is_not_compared():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[4:12] = (GOOD[0, :, 4:12].permute(1, 2, 0) * 255).round().byte().numpy()
    image = PreparedImage(pixels, pixels, Box(0, 4, 16, 8), Size(16, 8), "0" * 64)
    assert check(PLAN, image, Frames(GOOD[:, :, 4:12])).fidelity_db > 50
