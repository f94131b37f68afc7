"""request.py: every knob once, presets, aliases, warnings, equivalents."""

import json

import pytest

from unstill.advice import advise
from unstill.equivalents import equivalents
from unstill.errors import RequestError
from unstill.request import ALIASES, DEFAULTS, KNOBS, Request, settle
from unstill.values import Guidance, Size


def test_every_knob_says_what_it_is():
    for name, knob in KNOBS.items():
        assert knob.help.endswith("."), name
        assert knob.range, name


def test_defaults_lie_in_their_own_ranges():
    assert Request() == Request(**{name: value for name, value in DEFAULTS.items() if value is not None})


def test_all_problems_are_reported_at_once():
    with pytest.raises(RequestError) as caught:
        Request.from_mapping({"motion": 300, "fps": "fast", "moton": 1})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [("motion_bucket_id", "motion", 180), ("noise_aug_strength", "noise", 0.1), ("cond_aug", "noise", 0.1),
     ("num_frames", "frames", 14), ("num_inference_steps", "steps", 30), ("decode_chunk_size", "decode_chunk", 8),
     ("video_frames", "frames", 14), ("torch_dtype", "dtype", "fp16")],
)  # fmt: skip
def test_svds_own_names_are_accepted(alias, name, value):
    assert getattr(Request.from_mapping({alias: value}), name) == value


def test_every_alias_is_unique_and_not_a_knob():
    assert not set(ALIASES) & set(KNOBS)
    assert sum(len(knob.aliases) for knob in KNOBS.values()) == len(ALIASES)


def test_min_and_max_guidance_make_one_guidance():
    assert Request.from_mapping({"min_guidance_scale": 1.5, "max_guidance_scale": "2.5"}).guidance == Guidance(1.5, 2.5)


def test_one_end_of_guidance_leaves_the_other_at_its_default():
    assert Request.from_mapping({"max_guidance_scale": 2}).guidance == Guidance(1, 2)


@pytest.mark.parametrize("dash", ["_", "-"])
def test_aliases_may_be_written_with_dashes(dash):
    mapping = {f"min{dash}guidance{dash}scale": 2, f"max{dash}guidance{dash}scale": 5, f"motion{dash}bucket{dash}id": 9}
    request = Request.from_mapping(mapping)
    assert (request.guidance, request.motion) == (Guidance(2, 5), 9)


def test_comfyuis_noise_is_not_taken_for_ours():
    """Its augmentation_level is added to pixels in [0, 1]: the same number is twice the noise."""
    with pytest.raises(RequestError, match="augmentation_level"):
        Request.from_mapping({"augmentation_level": 0.1})


def test_a_file_can_be_changed_after_the_frames_are_made_but_the_frames_cannot():
    settled = settle(Request(), "svd", 14)
    assert settled.for_file({"play-fps": 20, "plays": 1}).file_fps == 20
    for name, said in {"motion": "shapes the frames", "fps": "play_fps is the rate", "fsp": "did you mean fps"}.items():
        with pytest.raises(RequestError, match=said):
            settled.for_file({name: 9})


def test_width_and_height_make_one_size():
    assert Request.from_mapping({"width": 512, "height": 320}).size == Size(512, 320)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [({"motion": 1, "motion_bucket_id": 2}, "motion is given twice"), ({"guidance": 1, "min_guidance_scale": 1}, "given twice"),
     ({"width": 512}, "width and height must be given together"), ({"moton": 1}, "did you mean motion"),
     ({"noise_aug_strenght": 1}, "did you mean noise_aug_strength"), ({"\x1b[2J": 1}, "is not a knob")],
)  # fmt: skip
def test_names_that_cannot_be_meant_are_errors(mapping, message):
    with pytest.raises(RequestError, match=message):
        Request.from_mapping(mapping)


def test_a_request_survives_json():
    request = Request(
        motion=180, guidance=Guidance(1.5, 3), size=Size(576, 1024), focus="0.2,0.8", max_bytes="5MB", seed=2**62 + 1
    )
    assert Request.from_mapping(json.loads(json.dumps(request.to_dict()))) == request


@pytest.mark.parametrize(
    ("family", "steps", "guidance"),
    [("svd", 25, Guidance(1, 2.5)), ("svd-xt", 30, Guidance(1.5, 3)), ("svd-xt-1.1", 30, Guidance(1.5, 3))],
)
def test_the_stability_preset_differs_by_checkpoint(family, steps, guidance):
    settled = settle(Request(preset="stability"), family, 25)
    assert (settled.steps, settled.guidance) == (steps, guidance)
    assert (settled.fps - 1, settled.motion) == (6, 127), "Stability's fps_id and motion_bucket_id"


def test_what_is_asked_beats_the_preset():
    settled = settle(Request(preset="draft", steps=40, frames=25), "svd-xt", 25)
    assert (settled.steps, settled.frames) == (40, 25)


def test_the_model_decides_the_frames_and_fps_decides_the_playback():
    settled = settle(Request(fps=10), "svd", 14)
    assert (settled.frames, settled.play_fps) == (14, 10)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [({"noise": 0.136}, "noise 0.136"), ({"fps": 4}, "fps 4"), ({"fps": 31}, "fps 31"), ({"frames": 40}, "40 frames"),
     ({"steps": 10}, "10 steps"), ({"size": "1000x576"}, "multiple of 64"), ({"size": "2048x1152"}, "4.0×"), ({"size": "256x256"}, "0.11×")],
)  # fmt: skip
def test_values_outside_training_are_warned_about(knobs, said):
    warnings = advise(settle(Request(**knobs), "svd-xt", 25), 25)
    assert len(warnings) == 1 or knobs == {"size": "1000x576"}
    assert any(said in warning for warning in warnings)


@pytest.mark.parametrize("knobs", [{}, {"noise": 0.135, "fps": 5}, {"fps": 30}, {"size": "576x1024"}, {"preset": "draft"}])
def test_values_inside_training_are_not(knobs):
    assert advise(settle(Request(**knobs), "svd-xt", 25), 25) == []


def test_fps_is_written_as_each_tool_counts_it():
    row = next(row for row in equivalents(settle(Request(fps=7), "svd-xt", 25)) if row.knob == "fps")
    assert (row.diffusers, row.generative_models, row.comfyui) == ("fps=7", "fps_id=6", "fps=7")


def test_equivalents_need_settled_settings():
    with pytest.raises(RequestError, match="settled"):
        equivalents(Request())


def test_ays_brings_its_own_ten_steps_and_says_that_the_clip_is_another():
    settled = settle(Request(steps_schedule="ays"), "svd-xt", 25)
    assert settled.steps == 10
    assert [line for line in advise(settled, 25) if "another clip" in line]
    assert settle(Request(steps_schedule="ays", steps=20), "svd-xt", 25).steps == 20
