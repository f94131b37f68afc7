"""The bundled model: a picture moves, without a download, and the plan says which model was taken and why."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from unstill import Request, animate
from unstill.catalog.bundled import FOLDER, hash_weights
from unstill.catalog.find import find_model
from unstill.engine import Keep
from unstill.errors import ModelMissing, RequestError, WeightsError
from unstill.measure.flow import shrink, track
from unstill.measure.motion import fit_camera, measure_motion_px
from unstill.memory.machine import Machine
from unstill.model.field import FieldConfig, load_field_network, motion_of, pack, speed_of, unpack
from unstill.plan import choose_model
from unstill.request import PRESETS

EXAMPLES = Path(__file__).parents[2] / "examples"
HARBOUR = EXAMPLES / "harbour.jpg"
SMALL = {"model": "pocket", "device": "cpu", "size": "256x144", "frames": 5, "steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def keep():
    return Keep()


@pytest.fixture(scope="module")
def pushed(keep):
    return animate(HARBOUR, camera="push", load=keep, **SMALL)


def test_the_first_frame_is_the_picture_and_the_last_is_not(pushed):
    assert pushed.report.shows == 1
    assert pushed.report.fidelity_db >= 45
    assert np.abs(pushed.frames[-1].astype(int) - pushed.frames[0]).mean() > 2
    assert pushed.report.engine == "motion"


def test_the_same_seed_is_the_same_clip_and_another_is_another(keep, pushed):
    again, other = (animate(HARBOUR, camera="push", load=keep, **{**SMALL, "seed": seed}) for seed in (1, 2))
    assert np.array_equal(again.frames, pushed.frames)
    assert not np.array_equal(other.frames, pushed.frames)


def test_a_push_is_seen_as_one(pushed):
    flow = track(shrink(to_tensor(pushed.frames)))
    assert float(fit_camera(flow).zoom_percent_P.mean()) > 0.1


@pytest.mark.thorough("two clips more; make test measures a push")
def test_a_word_and_its_opposite_go_opposite_ways(keep):
    pans = {}
    for word in ("left", "right"):
        clip = animate(HARBOUR, camera=word, load=keep, **SMALL)
        pans[word] = float(fit_camera(track(shrink(to_tensor(clip.frames)))).pan_x_px_P.mean())
    assert pans["left"] > 0.1  # the camera goes left, the picture right
    assert pans["right"] < -0.1


@pytest.mark.parametrize(
    "motions", [(40, 160), pytest.param((40, 80, 160), marks=pytest.mark.thorough("one clip more, between the two"))]
)
def test_more_motion_moves_more(keep, motions):
    measured = []
    for motion in motions:
        clip = animate(HARBOUR, camera="right", load=keep, motion=motion, **SMALL)
        flow = track(shrink(to_tensor(clip.frames)))
        measured.append(float(measure_motion_px(flow, fit_camera(flow)).mean()))
    assert measured == sorted(set(measured))


@pytest.mark.parametrize("size", ["128x208", "176x176", "250x106"])
def test_any_shape_works(keep, size):
    clip = animate(HARBOUR, camera="push", load=keep, **{**SMALL, "size": size, "steps": 1})
    width, height = map(int, size.split("x"))
    assert clip.frames.shape == (5, height, width, 3)


def test_an_arrow_pulls_where_it_points(keep):
    """The same seed without a hint is the floor; the boat's place goes right with one."""
    from unstill.engine.motion import MotionEngine

    plan, image = foresee({**SMALL, "camera": "still", "move": "0.55,0.65>0.1,0"})
    engine = MotionEngine(plan)
    hints = engine._draw_hints(plan, torch.zeros(1, 1, *engine.latent_shape(plan)[2:]))
    assert hints[0, 0].sum() > 4
    assert float(hints[0, 1].max()) > 1
    assert float(hints[0, 2].abs().max()) == 0
    assert image.size == plan.size


def foresee(knobs):
    from unstill.generate import foresee

    image, plan = foresee(Request.from_mapping(knobs), HARBOUR)
    return plan, image


def to_tensor(frames):
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255


# ---- which model ----------------------------------------------------------------------------------------------

CPU = Machine("cpu", "CPU", 16 * 10**9, 8 * 10**9, ("fp32", "bf16", "fp16"))
LARGE = Machine("cuda:0", "a large GPU", 80 * 10**9, 79 * 10**9, ("fp16", "bf16", "fp32"))
SMALL_GPU = Machine("cuda:0", "a small GPU", 2 * 10**9, 10**9, ("fp16", "bf16", "fp32"))


@pytest.fixture
def here(monkeypatch, tmp_path, miniature):
    """A cache, and a way to put svd-xt into it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def put():
        snapshots = tmp_path / "models--stabilityai--stable-video-diffusion-img2vid-xt" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / ("0123456789" * 4)).symlink_to(miniature)

    return put


def test_auto_takes_svd_xt_where_it_is_here_and_fits(here):
    here()
    files, notes = choose_model(Request(), LARGE)
    assert (files.name, notes) == ("svd-xt", ())


@pytest.mark.parametrize(
    ("machine", "is_here", "said"),
    [(LARGE, False, "unstill pull svd-xt"), (CPU, True, "--model svd-xt"), (SMALL_GPU, True, "needs a GPU with 3.5 GB")],
)
def test_auto_takes_pocket_elsewhere_and_says_why_and_how_to_get_the_other(here, machine, is_here, said):
    if is_here:
        here()
    files, notes = choose_model(Request(), machine)
    assert files.name == "pocket"
    assert len(notes) == 1
    assert said in notes[0]


def test_a_camera_asks_for_the_model_that_has_one(here):
    here()
    assert choose_model(Request(camera="push"), LARGE)[0].name == "pocket"


@pytest.mark.parametrize("knobs", [{"camera": "push"}, {"move": "0.5,0.5>0.1,0"}])
def test_another_model_has_no_camera_and_says_which_has(miniature, knobs):
    with pytest.raises(RequestError, match=f"{next(iter(knobs))} is not something that .* can be told") as caught:
        animate(HARBOUR, model=str(miniature), **knobs)
    assert "pocket" in caught.value.hint


def test_what_changes_nothing_is_said():
    plan, _ = foresee({**SMALL, "offload": True, "decode_chunk": 4})
    assert len([warning for warning in plan.warnings if "changes nothing" in warning]) == 2


# ---- its files ------------------------------------------------------------------------------------------------


def test_it_is_small_and_its_hash_is_in_the_log():
    files = find_model("pocket")
    assert files.weights_bytes <= 40_000_000
    assert files.sha256 == {"model.safetensors": hash_weights()}
    assert hash_weights() in (EXAMPLES.parent / "recipe" / "LOG.md").read_text()


def test_other_files_are_refused_by_name(tmp_path):
    from safetensors.torch import load_file, save_file

    files = find_model("pocket")
    tensors = load_file(FOLDER / "model.safetensors")
    tensors.pop("eye.norm.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    broken = dataclasses.replace(files, weights={"checkpoint": (tmp_path / "model.safetensors",)})
    with pytest.raises(WeightsError, match=r"eye\.norm\.bias"):
        load_field_network(broken, "cpu")
    with pytest.raises(WeightsError, match="keys"):
        FieldConfig.from_dict({"widths": [32]})


def test_the_configuration_is_the_networks_own():
    assert FieldConfig.from_dict(json.loads((FOLDER / "config.json").read_text())["field"]) == FieldConfig()


def test_speed_and_motion_are_each_others_inverse():
    assert all(abs(motion_of(speed_of(motion)) - motion) < 1e-9 for motion in range(256))
    assert speed_of(PRESETS["default"].for_model("pocket")["motion"]) == pytest.approx(1.9, abs=0.05)  # as the docs say
    assert speed_of(127) == pytest.approx(3.9, abs=0.05)


def test_patches_are_channels_and_back():
    field = torch.rand(1, 2, 3, 8, 12)
    assert torch.equal(unpack(pack(field)), field)


def test_the_pipeline_of_diffusers_is_not_for_it():
    from unstill.compat import StableVideoDiffusionPipeline

    with pytest.raises(ModelMissing, match="pocket is not Stable Video Diffusion"):
        StableVideoDiffusionPipeline.from_pretrained("pocket", local_files_only=True)
