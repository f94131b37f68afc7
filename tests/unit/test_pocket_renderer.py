"""Clips begin with the picture, move as fast as asked, loop, and uncover what lies behind things, not holes."""

import dataclasses

import pytest
import torch

from unstill.models.pocket.ambient import find_streams
from unstill.models.pocket.drag import find_thing
from unstill.models.pocket.field import SceneField
from unstill.models.pocket.fill import fill_behind
from unstill.models.pocket.grids import box, grow, pull_push, resize
from unstill.models.pocket.layers import part_layers
from unstill.models.pocket.matte import trace_edge
from unstill.models.pocket.nearness import refine_nearness
from unstill.models.pocket.renderer import RenderOptions, render_clip
from unstill.models.pocket.speeds import speed_of
from unstill.values import Arrow

ROWS, COLUMNS = 144, 256
BOX = (slice(48, 112), slice(100, 160))
pytestmark = pytest.mark.slow  # clips are made and looked at: a second each


def paint() -> torch.Tensor:
    """A red box before a blue wall with fine texture."""
    rng = torch.Generator().manual_seed(0)
    picture = torch.tensor([0.2, 0.4, 0.8])[:, None, None] + 0.05 * torch.randn(3, ROWS, COLUMNS, generator=rng)
    picture[:, BOX[0], BOX[1]] = torch.tensor([0.8, 0.2, 0.1])[:, None, None]
    return picture.clamp(0, 1)


def find_depth(flows: float = 0.0, sways: float = 0.0) -> SceneField:
    """What a network would find: coarse, the box near."""
    near = torch.zeros(ROWS, COLUMNS)
    near[BOX] = 2.0
    near_hw = resize(near[None], (36, 64), "area")[0]
    all_hw = torch.ones_like(near_hw)
    right = torch.stack([all_hw, 0 * all_hw])
    return SceneField(near_hw, all_hw * flows, all_hw * sways, right, right)


def test_nearness_jumps_at_the_picture_s_edge() -> None:
    near = refine_nearness(find_depth().nearness_HW, paint())
    assert near.shape == (ROWS // 4, COLUMNS // 4)
    assert near[14:26, 27:38].min() > 0.8
    assert near[:, :20].max() < 0.2
    assert near[:, 45:].max() < 0.2


def test_grain_makes_no_depth() -> None:
    slope_hw = torch.linspace(0, 1, 36)[:, None].expand(36, 64).contiguous()
    near = refine_nearness(slope_hw, paint()[:, :, :80].repeat(1, 1, 3)[:, :, :COLUMNS])
    assert near.diff(dim=0).abs().max() < 0.06
    assert near.diff(dim=1).abs().max() < 0.03


def test_near_things_become_a_layer_and_what_is_behind_is_filled_from_behind() -> None:
    picture = paint()
    layers = part_layers(picture, refine_nearness(find_depth().nearness_HW, picture))
    assert len(layers) == 2
    back, front = layers
    assert front.alpha_HW is not None
    assert front.alpha_HW[BOX].mean() > 0.95
    assert front.alpha_HW[:, :80].max() < 0.05
    rim = back.colour_CHW[:, 52:108, 104:112]
    assert rim[0].max() < 0.5
    assert rim.std(dim=(1, 2)).min() > 0.5 * picture[:, :40, :40].std(dim=(1, 2)).min()


def test_pictures_without_jumps_have_one_layer() -> None:
    near = torch.linspace(0, 1, 36)[:, None].expand(36, 64).contiguous()
    assert len(part_layers(paint(), near)) == 1


@pytest.mark.parametrize("camera", ["push", "pull", "left", "down", "roll", "zoom", "arc", "handheld", "push 60%, left 40%"])
def test_the_camera_has_the_speed_asked_for(camera: str) -> None:
    clip = render_clip(paint(), find_depth(), RenderOptions(25, camera, speed_of(60)))
    assert clip.said.limits == ()
    assert clip.said.speed_px == pytest.approx(speed_of(60), rel=0.01)


def test_what_is_limited_is_said() -> None:
    said = render_clip(paint(), find_depth(), RenderOptions(25, "orbit", speed_of(255))).said
    assert 0.1 < said.speed_px < said.asked_px
    assert said.limits
    assert f"{said.speed_px:.1f} px" in str(said)


def test_the_first_frame_is_the_picture_and_no_frame_has_holes() -> None:
    picture = paint()
    frames = list(render_clip(picture, find_depth(), RenderOptions(9, "push", 2.0)).frames)
    assert torch.equal(frames[0], picture)
    assert len(frames) == 9
    assert all(bool(torch.isfinite(frame).all()) for frame in frames)
    assert (frames[-1] - frames[0]).abs().mean() > 0.02


def test_frames_go_on_from_the_first_without_a_jump() -> None:
    clip = render_clip(paint(), find_depth(), RenderOptions(25, "left", 2.0))
    assert (clip.drawing.draw(1e-6) - clip.drawing.draw(0.0)).abs().mean() < 0.01


def test_seeds_do_not_change_the_camera() -> None:
    one, two = (list(render_clip(paint(), find_depth(), RenderOptions(3, "left", 2.0, seed=seed)).frames) for seed in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_still_camera_over_a_still_scene_shows_the_picture() -> None:
    frames = list(render_clip(paint(), find_depth(), RenderOptions(3, "still", 2.0)).frames)
    assert (frames[-1] - frames[0]).abs().max() < 0.05


def test_what_flows_moves_its_way() -> None:
    picture = paint()
    plain = dataclasses.replace(find_depth(flows=1.0), nearness_HW=torch.zeros(36, 64))
    clip = render_clip(picture, plain, RenderOptions(25, "still", 4.0, scene=1.0))
    moment = 1 / 24
    later = clip.drawing.draw(moment)
    shift = round(4.0 * 256 / 1024)
    error = [float((later[:, 20:-20, 40:-40] - picture[:, 20:-20, 40 - s : -40 - s]).abs().mean()) for s in (-shift, 0, shift)]
    assert error.index(min(error)) == 2


@pytest.mark.parametrize("camera", ["still", "left", "handheld"])
def test_loops_close(camera: str) -> None:
    clip = render_clip(paint(), find_depth(flows=1.0, sways=0.5), RenderOptions(24, camera, 2.0, scene=1.0, loop=True, seed=3))
    assert (clip.drawing.draw(1.0) - clip.drawing.draw(0.0)).abs().mean() < 1.5 / 255


def test_swaying_differs_by_seed() -> None:
    one, two = (
        render_clip(paint(), find_depth(sways=1.0), RenderOptions(9, "still", 3.0, seed=seed)).drawing.draw(0.4)
        for seed in (1, 2)
    )
    assert not torch.allclose(one, two, atol=0.02)


def test_an_arrow_moves_the_whole_thing_and_leaves_no_ghost() -> None:
    picture = paint()
    arrow = Arrow(0.5, 0.55, 0.25, 0.0)
    thing = find_thing(picture, refine_nearness(find_depth().nearness_HW, picture), arrow)
    assert thing[13:27, 26:39].mean() > 0.95
    assert thing.mean() < 0.15
    last = render_clip(picture, find_depth(), RenderOptions(5, "still", 2.0, arrows=(arrow,))).drawing.draw(1.0)
    red = last[0] - last[2] > 0.2
    assert not bool(red[:, 96:158].any())
    assert red[52:108, 168:220].float().mean() > 0.95


def test_things_are_found_whole_by_their_colours_alone() -> None:
    """A boat: sails and hull of different colours, a gap between them, and no depth."""
    picture = paint()
    picture[:, BOX[0], BOX[1]] = picture[:, BOX[0], :60]
    picture[:, 56:84, 110:140], picture[:, 88:96, 104:146] = 0.9, 0.1
    thing = find_thing(picture, torch.zeros(ROWS // 4, COLUMNS // 4), Arrow(0.48, 0.5, 0.1, 0))
    wanted = torch.zeros(ROWS // 4, COLUMNS // 4)
    wanted[14:24, 27:36] = 1
    assert thing[14:21, 28:35].mean() > 0.95
    assert thing[22:24, 27:36].mean() > 0.95
    assert (thing * (1 - grow(wanted, 1))).sum() == 0


def test_fills_continue_colours_and_leave_what_is_known() -> None:
    picture = torch.linspace(0, 1, COLUMNS).expand(3, ROWS, -1).contiguous()
    known = torch.ones(ROWS, COLUMNS)
    known[40:80, 100:140] = 0
    for sideways in (False, True):
        filled = fill_behind(picture * known, known, sideways=sideways)
        assert torch.equal(filled * known, picture * known)
        assert (filled - picture).abs().max() < 0.12


def test_fills_have_texture_and_continue_lines() -> None:
    """A gap over a horizon: fine texture below, plain above."""
    picture = torch.full((3, ROWS, COLUMNS), 0.8)
    picture[:, 72:] = 0.3 + 0.1 * torch.randn(3, ROWS - 72, COLUMNS, generator=torch.Generator().manual_seed(2))
    known = torch.ones(ROWS, COLUMNS)
    known[48:96, 112:144] = 0
    filled = fill_behind(picture * known, known)
    assert filled[:, 78:96, 112:144].std() > 0.06
    assert (filled[:, 48:68, 112:144] - 0.8).abs().mean() < 0.04
    assert (filled[:, 64:72, 112:144].mean() - filled[:, 74:80, 112:144].mean()) > 0.35


def test_mattes_find_the_edge_of_the_picture_and_have_no_specks() -> None:
    picture = paint() + 0.05 * torch.randn(3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(3))
    rough = torch.zeros(ROWS // 4, COLUMNS // 4)
    rough[13:27, 26:39] = 1  # too small by 4 pixels on every side
    wanted = torch.zeros(ROWS, COLUMNS)
    wanted[BOX] = 1
    error = (trace_edge(picture, rough) - wanted).abs()
    assert error.mean() < 0.01  # of 0.025
    assert error[54:106, 106:154].max() < 0.2
    assert error[:, :92].max() < 0.1


def test_boxes_and_growth_are_what_windows_give() -> None:
    image = torch.rand(2, 23, 31, generator=torch.Generator().manual_seed(1))
    windows = torch.nn.functional.pad(image, (3, 3, 3, 3), value=torch.nan).unfold(1, 7, 1).unfold(2, 7, 1)
    assert torch.allclose(box(image, 3), windows.flatten(-2).nanmean(-1), atol=1e-5)
    assert torch.equal(grow(image, 3), windows.flatten(-2).nan_to_num(-1).amax(-1))
    assert torch.allclose(pull_push(image, torch.ones(23, 31)), image, atol=1e-5)


def test_only_velocities_that_agree_with_those_around_them_are_a_stream():
    guessed = torch.randn(2, 36, 64, generator=torch.Generator().manual_seed(0))
    guessed[:, :, 32:] = torch.tensor([1.0, 0.2])[:, None, None]
    steady, agree = find_streams(guessed)
    assert float(agree[:, 40:].min()) == 1 and torch.allclose(steady[:, 4:-4, 40:60], guessed[:, 4:-4, 40:60], atol=1e-4)
    assert float((agree[:, :24] > 0.5).float().mean()) < 0.02
