"""measure/steady.py: known faults of a clip are found in their size."""

import pytest
import torch
import torch.nn.functional as F

from films import grain, travel
from unstill.measure.flow import shrink, track
from unstill.measure.steady import (
    measure_bands,
    measure_contrast,
    measure_fidelity_db,
    measure_flicker,
    measure_saturation,
    measure_sharpness,
)

SIZE = (288, 512)
TURNS = torch.tensor([1.0, -1, 1, -1, 1])[:, None, None, None]  # as often up as down, so that it is no fade
STEPS = torch.arange(5.0)[:, None, None, None]


@pytest.fixture(scope="module")
def clip():
    return travel(F.avg_pool2d(grain(), 2), 5, pan=(1.5, 0.5)) * 0.9 + 0.05


def flicker_of(frames):
    small = shrink(frames)
    return measure_flicker(small, track(small))


def test_moving_alone_does_not_flicker(clip):
    """This is the floor that reading between pixels leaves."""
    flicker = flicker_of(clip)
    assert float(flicker.local_greys_P.max()) < 0.3
    assert float(flicker.step_greys_P.abs().max()) < 0.1


MORE = pytest.mark.thorough("the smallest and the largest have a case")


@pytest.mark.parametrize("greys", [1, pytest.param(2, marks=MORE), pytest.param(5, marks=MORE), 10])
def test_a_flicker_of_the_whole_picture_is_measured_in_grey_levels(clip, greys):
    flicker = flicker_of(clip + TURNS * greys / 2 / 255)
    assert float(flicker.step_greys_P.abs().mean()) == pytest.approx(greys, rel=0.05)
    assert float(flicker.local_greys_P.mean()) == pytest.approx(greys, rel=0.07)


def test_a_flicker_of_one_quarter_counts_by_a_quarter(clip):
    part = torch.zeros(1, 1, *SIZE)
    part[..., 144:, 256:] = 1
    assert float(flicker_of(clip + part * TURNS * 4 / 255).local_greys_P.mean()) == pytest.approx(2, rel=0.15)


def test_a_fade_is_no_flicker(clip):
    flicker = flicker_of(clip - STEPS * 3 / 255)
    assert flicker.fade_greys == pytest.approx(-3, rel=0.05)
    assert float(flicker.local_greys_P.max()) < 0.4


def test_one_jump_is_found_where_it_is(clip):
    jump = (STEPS >= 2).float() * 6 / 255
    steps = flicker_of(clip + jump).step_greys_P
    assert int(steps.argmax()) == 1
    assert float(steps[1]) == pytest.approx(6, rel=0.05)


def test_plain_frames_do_not_flicker_unseen():
    """Nothing can be followed, so nothing is claimed."""
    assert float(flicker_of(torch.full((3, 3, 288, 512), 0.5)).local_greys_P.max()) == 0


def test_sharpness_of_a_kept_picture_stays_one(clip):
    assert measure_sharpness(clip[:1].repeat(3, 1, 1, 1)).tolist() == [1, 1, 1]


def test_blur_lowers_sharpness_frame_by_frame(clip):
    detail = clip[0] + 0.05 * torch.randn(clip[0].shape, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([F.avg_pool2d(detail, 2 * n + 1, 1, n, count_include_pad=False) for n in range(4)])
    sharpness = measure_sharpness(frames)
    assert float(sharpness[0]) == 1
    assert bool((sharpness.diff() < 0).all())
    assert float(sharpness[-1]) < 0.2


def test_a_border_does_not_change_sharpness(clip):
    frames = clip[:1].repeat(2, 1, 1, 1)
    frames[1, :, :, :15] = 0
    assert float(measure_sharpness(frames)[1]) == 1


def test_contrast_and_saturation_are_shares_of_the_first_frame(clip):
    frame = clip[0]
    grey = frame.mean(0, keepdim=True)
    small = shrink(torch.stack([frame, 0.5 + (frame - 0.5) * 0.7, grey + (frame - grey) * 0.4]))
    assert measure_contrast(small)[:2].tolist() == pytest.approx([1, 0.7], rel=1e-3)
    assert measure_saturation(small).tolist() == pytest.approx([1, 0.7, 0.4], rel=1e-3)


def test_fidelity_is_psnr(clip):
    assert measure_fidelity_db(clip[0], clip[0]) == 99
    assert measure_fidelity_db(clip[0] + 0.01, clip[0]) == pytest.approx(40, abs=0.01)


def band(clip, kind, width_px, height_px):
    """Cover the left and the lower border of each later frame, growing to the full width in the last."""
    frames, last = clip.clone(), len(clip) - 1
    for number in range(1, len(clip)):
        w, h, frame = width_px * number // last, height_px * number // last, frames[number]
        if kind == "black":
            frame[:, :, :w], frame[:, -h:] = 0, 0
        elif kind == "mirrored":
            frame[:, :, :w] = frame[:, :, w : 2 * w].flip(2)
            frame[:, -h:] = frame[:, -2 * h : -h].flip(1)
        else:
            frame[:, :, :w] = frame[:, :, w : w + 1].clone()
            frame[:, -h:] = frame[:, -h - 1 : -h].clone()
    return frames


@pytest.mark.parametrize("kind", ["black", "mirrored", "stretched"])
@pytest.mark.parametrize(("width_px", "height_px"), [(10, 10), (30, 18), (50, 30)])
def test_a_band_is_found_by_kind_side_and_width(clip, kind, width_px, height_px):
    bands = measure_bands(shrink(band(clip, kind, width_px, height_px)))
    for name in ("black", "mirrored", "stretched"):
        found = getattr(bands, f"{name}_percent")
        wide, high = (100 * width_px / SIZE[1], 100 * height_px / SIZE[0]) if name == kind else (0, 0)
        assert found["left"] == pytest.approx(wide, abs=0.45), name
        assert found["bottom"] == pytest.approx(high, abs=0.45), name
        assert found["right"] == found["top"] == 0


def test_a_moving_clip_has_no_bands(clip):
    bands = measure_bands(shrink(clip))
    assert all(width == 0 for kind in vars(bands).values() for width in kind.values())


def test_a_border_of_the_picture_itself_is_no_fault(clip):
    frames = clip.clone()
    frames[:, :, :20] = 0
    assert measure_bands(shrink(frames)).black_percent["top"] == 0
