"""sample.py: steps as a generator, one order of randomness, previews without weights."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from hooks import changed
from unstill.artifacts import Box, PreparedImage
from unstill.catalog.find import find_model
from unstill.memory.machine import look_at_machine
from unstill.models import load_engine
from unstill.plan import make_plan
from unstill.request import Request
from unstill.sample import Walk, draw, preview, sample, sample_together, scale_pixels
from unstill.values import Size


@pytest.fixture(scope="module")
def scene(miniature):
    """An image, a plan and an engine for a tiny clip."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    image = PreparedImage(pixels, pixels, Box(0, 0, 96, 64), Size(96, 64), "0" * 64)
    request = Request(model=str(miniature), frames=2, steps=3, seed=7, device="cpu")
    plan = make_plan(request, image, find_model(request.model), look_at_machine("cpu"))
    return plan, image, load_engine(plan)


@pytest.fixture(scope="module")
def steps(scene):
    """The steps of that clip, taken once."""
    return list(sample(*scene))


def last(steps):
    return list(steps)[-1].latents.values_BFCHW


def test_a_step_for_each_step_and_noise_that_falls_to_zero(steps):
    assert [(step.number, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert steps[-1].sigma == 0
    assert all(a.sigma > b.sigma for a, b in itertools.pairwise(steps))


def test_the_same_seed_is_the_same_clip(scene, steps):
    assert torch.equal(last(sample(*scene)), last(steps))


def test_another_seed_is_another_clip(scene, steps):
    plan, image, engine = scene
    other = replace(plan, request=plan.request.replace(seed=8))
    assert not torch.equal(last(sample(other, image, engine)), last(steps))


@pytest.mark.parametrize("stop", [1, 2])
def test_resuming_after_any_step_gives_the_same_clip(scene, steps, stop):
    begun = sample(*scene)
    for _ in range(stop):
        kept = next(begun)
    begun.close()
    assert torch.equal(last(sample(*scene, resume=kept)), last(steps))


def test_latents_that_are_sent_back_are_gone_on_from(scene, steps):
    begun = sample(*scene)
    first = next(begun)
    changed = begun.send(first.latents.values_BFCHW * 0.5)
    assert not torch.equal(changed.latents.values_BFCHW, steps[1].latents.values_BFCHW)


def test_latents_sent_back_unchanged_change_nothing(scene, steps):
    begun, step = sample(*scene), None
    try:
        step = next(begun)
        while True:
            step = begun.send(step.latents.values_BFCHW)
    except StopIteration:
        assert torch.equal(step.latents.values_BFCHW, last(steps))


def test_noise_on_the_picture_is_drawn_before_the_latents(scene):
    plan, _, engine = scene
    generator = torch.Generator().manual_seed(7)
    drawn = draw(plan, engine)
    assert torch.equal(drawn.picture_BCHW, torch.randn((1, 3, 64, 96), generator=generator))
    assert torch.equal(drawn.latents_BFCHW, torch.randn((1, 2, 4, 8, 12), generator=generator))


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


def test_a_preview_has_one_pixel_per_cell(steps):
    shown = preview(steps[0])
    assert shown.shape == (2, 8, 12, 3)
    assert shown.dtype == np.uint8


def together(walks):
    return [step.latents.values_BFCHW for step in list(sample_together(walks))[-1]]


@pytest.mark.parametrize("engine_name", ["reference", "fast"])
@pytest.mark.slow
def test_clips_of_a_shared_pass_are_those_of_passes_of_their_own(scene, engine_name):
    """In float64, where the rounding of larger products cannot hide a mistake; other pictures, other seeds."""
    plan, image, _ = scene
    plan = replace(plan, engine=engine_name, request=plan.request.replace(steps=2))
    pixels = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    other = replace(image, source_HWC=pixels, canvas_HWC=pixels)
    scenes = [
        (replace(plan, request=plan.request.replace(seed=seed)), one) for seed, one in [(7, image), (8, other), (9, image)]
    ]
    engine = load_engine(plan)
    with engine.widened(torch.float64):
        alone = [last(sample(*one, engine)) for one in scenes]
        made = together([Walk(*one, engine) for one in scenes])
    assert all(torch.allclose(one, two, rtol=0, atol=1e-9) for one, two in zip(alone, made, strict=True))
    assert not torch.allclose(made[0], made[2], atol=1e-2)  # the seed alone parts these two


def test_clips_of_a_shared_pass_go_on_together_from_where_they_were(scene):
    walks = [Walk(*scene), Walk(*scene)]
    steps = sample_together(walks)
    kept = next(steps)
    on = [Walk(*scene, resume=step) for step in kept]
    assert torch.equal(together(on)[1], list(steps)[-1][1].latents.values_BFCHW)


def test_one_clip_that_overflows_is_repaired_alone(scene):
    """The other's steps are as they were."""
    plan, image, engine = scene
    half = replace(plan, dtype="fp16")  # in name: float32 has nothing wider to go to
    scenes = [(half, image, engine), (replace(half, request=half.request.replace(seed=8)), image, engine)]
    plain = together([Walk(*one) for one in scenes])

    clips = []

    def overflow(call, given, made):
        clips.append(len(given[0]))
        if call == 2:
            made[3, 0, 0, 0, 0] = float("inf")  # of the second clip, with the picture
        return made

    with changed(engine.network, overflow):
        steps = list(sample_together([Walk(*one) for one in scenes]))
    assert clips == [4, 4, 2, 4], "each with and without the picture"
    assert steps[-1][0].latents.repairs == ()
    assert "step 2" in steps[-1][1].latents.repairs[0]
    for one, two in zip(plain, steps[-1], strict=True):
        assert torch.allclose(one, two.latents.values_BFCHW, atol=1e-3)


def test_what_was_repaired_is_told_of_a_clip_that_goes_on_from_there(scene):
    """As after a shared pass that breaks off."""
    plan, image, engine = scene
    half = replace(plan, dtype="fp16")  # in name: float32 has nothing wider to go to

    def overflow_at_once(call, _, made):
        return made * (float("inf") if call == 1 else 1)

    def overflow_first(call, _, made):
        return made * (float("inf") if call % 2 else 1)

    with changed(engine.network, overflow_at_once), changed(engine.vae.encoder, overflow_first):
        begun = next(sample(half, image, engine))
        *_, ended = sample(half, image, engine, resume=begun)
    told = ended.latents.repairs
    assert [words.partition(" was")[0] for words in told] == ["the picture's encoding", "step 1"]
