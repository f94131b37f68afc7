"""render/: one picture and a field become frames."""

import math

import pytest
import torch
import torch.nn.functional as F

from unstill.render.fill import fill_from_afar, find_near
from unstill.render.film import film
from unstill.render.guide import calm, guide
from unstill.render.motion import Motion, displace
from unstill.render.reframe import measure_seen_speed, pace
from unstill.render.splat import Points, throw

ROWS, COLUMNS, KEYS, FRAMES = 144, 256, 6, 7


def draw_picture(rows=ROWS, columns=COLUMNS, seed=0):
    """Soft noise of several sizes: every place is different, and none is flat."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, rows, columns)
    for cells in (6, 16, 48):
        part = torch.rand(1, 3, max(2, cells * rows // columns), cells, generator=generator)
        picture += F.interpolate(part, size=(rows, columns), mode="bicubic") / 3
    return picture[0].clamp(0, 1)


def still(rows=9, columns=16):
    return Motion(torch.zeros(KEYS, 2, rows, columns), torch.zeros(rows, columns))


def lay_cells(rows=9, columns=16):
    """Give the cells' places from the middle, in widths of the picture."""
    x = (torch.arange(columns) + 0.5) / columns - 0.5
    y = (torch.arange(rows) + 0.5 - rows / 2) / columns
    return x[None].expand(rows, -1), y[:, None].expand(-1, columns)


def make(picture, motion, frames=FRAMES):
    made = film(picture, motion, frames)
    return made.view, torch.stack(list(made.frames))


def detail(frame):
    """Measure sharpness: the variance of the Laplacian, away from the border."""
    grey = frame.mean(0)[None, None]
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(grey, kernel)[..., 20:-20, 20:-20].var())


def psnr(a, b):
    return -10 * math.log10(float((a - b).square().mean()) + 1e-12)


def test_without_motion_every_frame_is_the_picture():
    picture = draw_picture()
    view, frames = make(picture, still())
    assert view.is_whole
    assert torch.equal(frames[0], picture)
    assert all(torch.allclose(frame, picture, atol=1e-4) for frame in frames)


@pytest.mark.parametrize(("rows", "columns"), [(144, 256), (256, 144), (150, 201)])
def test_a_push_needs_no_reframe_keeps_the_first_frame_and_the_detail(rows, columns):
    picture = draw_picture(rows, columns)
    x, y = lay_cells(12, 12)
    y = y * rows / columns
    velocity = 0.02 * torch.stack([x, y]).expand(KEYS, -1, -1, -1)
    view, frames = make(picture, Motion(velocity, torch.zeros(12, 12)))
    assert view.is_whole
    assert torch.equal(frames[0], picture)
    assert detail(frames[-1]) > 0.5 * detail(frames[0])  # enlarged by 12 %, and so is every slope


def test_a_pan_is_the_picture_shifted():
    """By whole pixels at the last frame; the view is the part that all frames can show."""
    picture = draw_picture()
    shift_px = 12
    velocity = torch.zeros(KEYS, 2, 9, 16)
    velocity[:, 0] = shift_px / COLUMNS / (FRAMES - 1)
    view, frames = make(picture, Motion(velocity, torch.zeros(9, 16)))
    assert 1.0 < view.scale < 1.1
    assert view.left > 0.03
    moved = torch.zeros_like(picture)
    moved[..., shift_px:] = picture[..., :-shift_px]
    _, expected = make(moved, still())
    width, height = COLUMNS / view.scale, ROWS / view.scale
    left, top = view.left * COLUMNS, view.top * ROWS
    y, x = torch.arange(ROWS) + 0.5, torch.arange(COLUMNS) + 0.5
    grid = torch.stack(torch.meshgrid((y / ROWS * height + top) / ROWS, (x / COLUMNS * width + left) / COLUMNS, indexing="ij"))
    cropped = F.grid_sample(expected[:1], (grid.flip(0).permute(1, 2, 0) * 2 - 1)[None], mode="bicubic", align_corners=False)[0]
    assert psnr(frames[-1][..., 4:-4, 4:-4], cropped[..., 4:-4, 4:-4]) > 40


def make_disc():
    """A disc that goes to the right before a picture that stands still."""
    ground = draw_picture(seed=1) * 0.5
    rows, columns = 36, 64
    x, y = lay_cells(rows, columns)
    inside = ((x + 0.15) ** 2 + y**2).sqrt() < 0.1
    px, py = lay_cells(ROWS, COLUMNS)
    there = ((px + 0.15) ** 2 + py**2).sqrt() < 0.1
    picture = torch.where(there, torch.tensor([0.9, 0.95, 0.9])[:, None, None] + 0.0 * ground, ground)
    velocity = torch.zeros(KEYS, 2, rows, columns)
    velocity[:, 0] = inside * 0.2 / (FRAMES - 1)
    return ground, picture, Motion(velocity, inside.float() * 2), there


def test_what_a_disc_leaves_is_its_background_and_no_ghost():
    ground, picture, motion, there = make_disc()
    _, frames = make(picture, motion)
    left = there & (lay_cells(ROWS, COLUMNS)[0] < -0.08)
    assert float((frames[-1] - ground).abs()[:, left].mean()) < 0.1  # the disc is 0.65 brighter
    assert float((frames[-1] - picture).abs()[:, left].mean()) > 0.4


def test_a_disc_arrives_whole():
    _, picture, motion, _ = make_disc()
    _, frames = make(picture, motion)
    px, py = lay_cells(ROWS, COLUMNS)
    middle = ((px - 0.05) ** 2 + py**2).sqrt() < 0.085
    assert float(frames[-1][:, middle].min()) > 0.8


def test_the_nearer_hides_the_farther():
    """Two points meet in one pixel; the order of the list does not matter."""
    moved = torch.zeros(2, 1, 8)
    moved[0, 0, 1], moved[0, 0, 6] = 3.0, -2.0  # both to column 4
    for nearer in (1, 6):
        order = torch.zeros(1, 8)
        order[0, nearer] = 1.0
        source = throw(Points(order), moved, (0.0, 0.0, 1.0), (1, 8))
        assert round(float(source.place_CHW[0, 0, 4])) == nearer


def test_a_surface_that_is_stretched_has_no_cracks():
    """What is behind does not show between points that part."""
    rows, columns = 32, 64
    x, _ = lay_cells(rows, columns)
    velocity = torch.zeros(KEYS, 2, rows, columns)
    velocity[:, 0] = x * 2 / (FRAMES - 1)  # three times as wide
    made = film(torch.ones(3, 64, 128), Motion(velocity, torch.zeros(rows, columns)), FRAMES)
    assert float(torch.stack(list(made.frames)).min()) > 0.99
    order = torch.ones(16, 16)
    spread = (torch.arange(16.0) - 8)[None].expand(16, -1) * 2
    source = throw(Points(order), torch.stack([spread, torch.zeros(16, 16)]), (0.0, 0.0, 1.0), (16, 16))
    assert float(source.covered_HW.min()) == 1


def test_displacement_is_nothing_at_first_and_exact_at_the_keys():
    velocity = torch.rand(KEYS, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    frames = 2 * KEYS + 1
    assert float(displace(velocity, 0, frames).abs().max()) == 0
    for key in range(KEYS):
        assert torch.allclose(displace(velocity, 2 * (key + 1), frames), velocity[key] * 2 * (key + 1))


def test_filling_takes_from_the_far_side():
    values = torch.cat([torch.full((1, 16, 8), 1.0), torch.full((1, 16, 8), 5.0)], dim=2)
    known = torch.ones(16, 16)
    known[:, 6:10] = 0
    order = torch.cat([torch.zeros(16, 8), torch.ones(16, 8)], dim=1)
    filled = fill_from_afar(values, known, order)
    assert float(filled[0, :, 6:10].max()) < 1.5


def test_a_slope_is_not_before_anything_and_a_step_is():
    slope = torch.linspace(0, 1, 144)[:, None].expand(-1, 256)[None, None]
    assert not bool(find_near(slope).any())
    step = torch.zeros(1, 1, 144, 256)
    step[..., 100:] = 0.5
    assert bool(find_near(step)[..., 100:110].all())
    assert not bool(find_near(step)[..., :100].any())


def make_tower():
    """A tower before the sky that goes its own way, with a window of the sky's colour."""
    rows, columns = 36, 64
    px, py = lay_cells(288, 512)
    cx, _ = lay_cells(rows, columns)
    tower, window = px.abs() < 0.06, (px.abs() < 0.012) & (py.abs() < 0.02)
    sky = torch.tensor([0.2, 0.3, 0.6])[:, None, None]
    picture = torch.where(tower & ~window, torch.tensor([0.8, 0.2, 0.2])[:, None, None], sky)
    velocity = torch.zeros(KEYS, 2, rows, columns)
    velocity[:, 0] = (cx.abs() < 0.06) * 0.1 / (FRAMES - 1)
    return picture, Motion(velocity, (cx.abs() < 0.06) * 0.4), tower, window


def test_a_window_goes_with_its_tower():
    """Colours decide at the rim only: what is inside a thing is the thing."""
    picture, motion, _, window = make_tower()
    guided = guide(picture, motion, FRAMES)
    inside = F.max_pool2d(window[None, None].float(), 2)[0, 0] > 0
    assert float(guided.velocity_KCHW[-1, 0][inside].min()) > 0.09 / (FRAMES - 1)


def test_an_edge_of_the_field_lies_on_the_edge_of_the_picture():
    """Cells are 8 pixels wide; nothing between the two movements is left, and the borders are right to 4 pixels."""
    picture, motion, tower, _ = make_tower()
    moved = guide(picture, motion, FRAMES).velocity_KCHW[-1, 0] * (FRAMES - 1)
    assert float(((moved > 0.02) & (moved < 0.08)).float().mean()) == 0
    wrong = (F.interpolate(moved[None, None], scale_factor=2)[0, 0] > 0.05) != tower
    assert float(wrong.float().mean()) < 8 / 512


def test_calming_keeps_a_push_and_a_turn_as_they_are():
    """A plane through the cells is found again, to the last cell of the border; noise on it is halved at least."""
    x, y = lay_cells(18, 32)
    field = torch.stack([0.3 * x - 0.1 * y + 0.02, 0.1 * x + 0.3 * y, torch.zeros_like(x)])[None]
    # What is fitted leans toward a constant where few cells tell of it: some thousandths at the border.
    assert float((calm(field) - field).abs().max()) < 0.005
    noise = 0.05 * torch.randn(field.shape, generator=torch.Generator().manual_seed(0))
    noise[:, -1] = 0
    assert float((calm(field + noise) - field).std()) < 0.5 * float(noise.std())


@pytest.mark.parametrize("speed", [0.002, 0.01])
def test_what_moves_is_seen_at_the_speed_asked_for(speed):
    """The view enlarges motion too, so motion and view are found together."""
    velocity = torch.zeros(KEYS, 2, 36, 64)
    velocity[:, 0] = 0.7 * speed
    guided, view = pace(guide(draw_picture(), Motion(velocity, torch.zeros(36, 64)), 13), 13, speed)
    assert view.scale > 1
    assert measure_seen_speed(guided.velocity_KCHW) * view.scale == pytest.approx(speed, rel=0.03)


def test_what_is_enlarged_stays_as_sharp():
    """A push by a tenth would leave 0.6 of the detail; the frame without motion is not touched."""
    fine = torch.rand(3, 288, 512, generator=torch.Generator().manual_seed(1)) - 0.5
    picture = draw_picture(288, 512) * 0.8 + 0.1 + 0.4 * F.avg_pool2d(fine, 3, 1, 1)
    x, y = lay_cells()
    velocity = torch.stack([x, y]).expand(KEYS, -1, -1, -1) * 0.1 / (FRAMES - 1)
    _, frames = make(picture, Motion(velocity, torch.zeros(9, 16)))
    assert 0.8 < detail(frames[-1]) / detail(frames[0]) < 1.3
    assert torch.equal(frames[0], picture)
