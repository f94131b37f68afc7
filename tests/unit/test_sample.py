"""sample.py: steps as a generator, one order of randomness, previews without weights."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from unstill.artifacts import Box, PreparedImage
from unstill.catalog.find import find_model
from unstill.engine import load_engine
from unstill.memory.machine import look_at_machine
from unstill.plan import make_plan
from unstill.request import Request
from unstill.sample import draw, preview, sample, scale_pixels
from unstill.values import Size


@pytest.fixture(scope="module")
def scene(miniature):
    """An image, a plan and an engine for a tiny clip."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    image = PreparedImage(pixels, pixels, Box(0, 0, 96, 64), Size(96, 64), "0" * 64)
    request = Request(model=str(miniature), frames=3, steps=4, seed=7, device="cpu")
    plan = make_plan(request, image, find_model(request.model), look_at_machine("cpu"))
    return plan, image, load_engine(plan)


def last(steps):
    return list(steps)[-1].latents.values_BFCHW


def test_a_step_for_each_step_and_noise_that_falls_to_zero(scene):
    steps = list(sample(*scene))
    assert [(step.number, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert steps[-1].sigma == 0
    assert all(a.sigma > b.sigma for a, b in itertools.pairwise(steps))


def test_the_same_seed_is_the_same_clip(scene):
    assert torch.equal(last(sample(*scene)), last(sample(*scene)))


def test_another_seed_is_another_clip(scene):
    plan, image, engine = scene
    other = replace(plan, request=plan.request.replace(seed=8))
    assert not torch.equal(last(sample(plan, image, engine)), last(sample(other, image, engine)))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resuming_after_any_step_gives_the_same_clip(scene, stop):
    steps = sample(*scene)
    for _ in range(stop):
        kept = next(steps)
    steps.close()
    assert torch.equal(last(sample(*scene, resume=kept)), last(sample(*scene)))


def test_latents_that_are_sent_back_are_gone_on_from(scene):
    steps = sample(*scene)
    first = next(steps)
    changed = steps.send(first.latents.values_BFCHW * 0.5)
    plain = sample(*scene)
    next(plain)
    assert not torch.equal(changed.latents.values_BFCHW, next(plain).latents.values_BFCHW)


def test_latents_sent_back_unchanged_change_nothing(scene):
    steps, step = sample(*scene), None
    try:
        step = next(steps)
        while True:
            step = steps.send(step.latents.values_BFCHW)
    except StopIteration:
        assert torch.equal(step.latents.values_BFCHW, last(sample(*scene)))


def test_noise_on_the_picture_is_drawn_before_the_latents(scene):
    plan, _, engine = scene
    generator = torch.Generator().manual_seed(7)
    drawn = draw(plan, engine)
    assert torch.equal(drawn.picture_BCHW, torch.randn((1, 3, 64, 96), generator=generator))
    assert torch.equal(drawn.latents_BFCHW, torch.randn((1, 3, 4, 8, 12), generator=generator))


def test_pixels_are_scaled_as_diffusers_scales_them():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    wanted = 2.0 * torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1)[None] - 1.0
    assert torch.equal(scale_pixels(pixels), wanted)


def test_previews_find_the_colours_of_the_picture(scene):
    """Latents that are a linear picture of the colours must be read back as those colours."""
    engine = scene[2]
    pixels = torch.rand(1, 3, 64, 96) * 2 - 1
    cells = torch.nn.functional.adaptive_avg_pool2d(pixels, (8, 12))
    latents = torch.cat([cells.flip(1) * 3 - 1, cells.sum(1, keepdim=True)], dim=1)
    fit = engine.fit_colours(latents / engine.latent_scale, pixels)
    shown = latents[0].flatten(1).T @ fit[:-1] + fit[-1]
    assert torch.allclose(shown.T.reshape(3, 8, 12), cells[0] * 0.5 + 0.5, atol=1e-4)


def test_a_preview_has_one_pixel_per_cell(scene):
    shown = preview(next(sample(*scene)))
    assert shown.shape == (3, 8, 12, 3)
    assert shown.dtype == np.uint8
