"""The bundled model: a picture moves, without a download, and the plan says which model was taken and why."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from unstill import Request, animate
from unstill.catalog.bundled import FOLDER, hash_weights
from unstill.catalog.find import find_model
from unstill.errors import RequestError, WeightsError
from unstill.formats.frames import read_frames
from unstill.measure.flow import shrink, track
from unstill.measure.motion import fit_camera, measure_motion_px
from unstill.measure.picture import Looks
from unstill.memory.machine import Machine
from unstill.models import Keep
from unstill.models.pocket.advice import settle_camera
from unstill.models.pocket.network import PocketConfig, load_pocket_network
from unstill.models.pocket.speeds import speed_of
from unstill.plan import choose_model
from unstill.request import PRESETS
from unstill.sample import preview

EXAMPLES = Path(__file__).parents[2] / "examples"
HARBOUR = EXAMPLES / "harbour.jpg"
PHOTOGRAPHS = EXAMPLES.parent / "recipe" / "pictures"
SMALL = {"model": "pocket", "device": "cpu", "size": "256x144", "frames": 5, "steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def keep():
    return Keep()


@pytest.fixture(scope="module")
def pushed(keep):
    return animate(HARBOUR, camera="push", load=keep, **SMALL)


def test_the_first_frame_is_the_picture_and_the_last_is_not(pushed):
    assert pushed.report.fidelity_db >= 45
    assert np.abs(pushed.frames[-1].astype(int) - pushed.frames[0]).mean() > 2
    assert pushed.report.engine == "motion"


def test_the_same_seed_is_the_same_clip(keep, pushed):
    again = animate(HARBOUR, camera="push", load=keep, **SMALL)
    assert np.array_equal(again.frames, pushed.frames)


def test_a_seed_changes_the_scene_and_not_the_camera(keep):
    """Without a scene of its own every seed is the same clip; with one the water differs."""
    one, two = (animate(HARBOUR, camera="left", scene=0, load=keep, **{**SMALL, "seed": seed}) for seed in (1, 2))
    assert np.array_equal(one.frames, two.frames)
    one, two = (animate(HARBOUR, camera="left", scene=100, load=keep, **{**SMALL, "seed": seed}) for seed in (1, 2))
    assert not np.array_equal(one.frames, two.frames)


def test_a_push_is_seen_as_one(pushed):
    flow = track(shrink(to_tensor(pushed.frames)))
    assert float(fit_camera(flow).zoom_percent_P.mean()) > 0.1


def test_a_still_camera_and_scene_show_the_picture_alone(keep):
    clip = animate(HARBOUR, camera="still", scene=0, load=keep, **SMALL)
    assert all(np.array_equal(frame, clip.frames[0]) for frame in clip.frames)


@pytest.mark.parametrize(("word", "sign"), [("left", 1), ("right", -1)])
def test_the_picture_moves_against_the_camera_as_fast_as_asked(keep, word, sign):
    clip = animate(HARBOUR, camera=word, scene=0, motion=120, load=keep, **SMALL)
    flow = track(shrink(to_tensor(clip.frames)))
    assert sign * float(fit_camera(flow).pan_x_px_P.mean()) > 1
    assert float(measure_motion_px(flow, fit_camera(flow)).mean()) == pytest.approx(speed_of(120), rel=0.2)


@pytest.mark.parametrize("size", ["128x208", "176x176", "250x106"])
def test_any_shape_works(keep, size):
    clip = animate(HARBOUR, camera="push 60%, left 40%", load=keep, **{**SMALL, "size": size, "steps": 1})
    width, height = map(int, size.split("x"))
    assert clip.frames.shape == (5, height, width, 3)


def test_an_arrow_moves_what_it_starts_on_and_nothing_far_from_it(keep):
    clip = animate(HARBOUR, move="0.55,0.5>0.1,0", scene=0, load=keep, **{**SMALL, "size": "512x288"})
    change_HW = np.abs(clip.frames[-1].astype(int) - clip.frames[0]).max(-1)
    assert clip.request.camera == "still"
    assert change_HW[:, 240:380].max() > 30
    assert change_HW[:, :150].max() <= 2


def test_a_seamless_loop_ends_as_it_begins(keep):
    """The step from the last frame to the first is a step like any other."""
    clip = animate(HARBOUR, camera="orbit", loop="seamless", scene=100, load=keep, **{**SMALL, "frames": 12})
    steps = np.abs(np.diff(clip.frames.astype(int), axis=0, append=clip.frames[:1])).mean((1, 2, 3))
    assert steps[-1] <= 1.5 * steps[:-1].max()
    assert float((to_tensor(clip.frames[:1])[0] - clip.draw(12.0)).abs().mean()) < 1 / 255


def test_frames_in_between_are_drawn_and_not_made_of_others(keep, tmp_path):
    clip = animate(HARBOUR, camera="push", load=keep, smooth=14, fps=7, **SMALL)
    path = clip.save(tmp_path / "clip.apng")
    frames, _ = read_frames(path)
    drawn = (clip.draw(1.5) * 255).round().byte().permute(1, 2, 0).numpy()
    assert len(frames) == 10
    assert np.array_equal(frames[3], drawn)


def test_what_the_picture_does_not_bear_is_said(keep):
    clip = animate(HARBOUR, camera="orbit", motion=255, load=keep, **{**SMALL, "frames": 25})
    assert any(line.startswith("The camera moves") for line in clip.report.warnings)


def test_previews_are_small_clips_of_the_picture_itself(keep):
    seen = []
    animate(HARBOUR, camera="push", load=keep, watch=lambda one: seen.append(one.step) if one.step else None, **SMALL)
    shown = preview(seen[0])
    assert shown.shape == (8, 144, 256, 3)
    picture = np.asarray(Image.open(HARBOUR).convert("RGB").resize((256, 144), Image.Resampling.LANCZOS))
    assert np.abs(shown[0].astype(int) - picture).mean() < 10


def foresee(knobs, picture=HARBOUR):
    from unstill.generate import foresee

    image, plan = foresee(Request.from_mapping(knobs), picture)
    return plan, image


def to_tensor(frames):
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255


# ---- what auto chooses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "word", "why"),
    [
        (HARBOUR, "left", "sky"),
        (PHOTOGRAPHS / "meadow.jpg", "push", "neither"),
        (EXAMPLES / "lighthouse.jpg", "up", "tall"),
    ],
)
def test_auto_chooses_a_camera_by_the_picture_and_says_why(picture, word, why):
    plan, _ = foresee({"model": "pocket", "seed": 1, "look": False}, picture)
    assert plan.request.camera == word
    assert any(line.startswith(f"camera {word}: ") and why in line for line in plan.notes)


def test_a_face_gets_a_slow_push():
    _, image = foresee({"model": "pocket", "size": "256x256"}, PHOTOGRAPHS / "astronaut.jpg")
    looks = Looks(0, 0.0, None, 1, 200, 0.1, 0.6)
    request, why = settle_camera(image, Request(), looks)
    assert (request.camera, request.motion) == ("push", 50)
    assert "face" in why
    assert settle_camera(image, Request(motion=120), looks)[0].motion == 120


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


@pytest.mark.parametrize("knobs", [{"camera": "push"}, {"move": "0.5,0.5>0.1,0"}, {"scene": 0}, {"loop": "seamless"}])
def test_another_model_has_no_camera_and_says_which_has(miniature, knobs):
    with pytest.raises(RequestError, match=rf"has no (seamless )?{next(iter(knobs))}") as caught:
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
    tensors = load_file(FOLDER / "model.safetensors")
    tensors.pop("eye.norm.bias")
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((FOLDER / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"eye\.norm\.bias"):
        load_pocket_network(tmp_path)
    with pytest.raises(WeightsError, match=r"keys|fields"):
        PocketConfig.from_dict({"widths": [32]})


def test_the_configuration_is_the_networks_own():
    assert PocketConfig.from_dict(json.loads((FOLDER / "config.json").read_text())["field"]) == PocketConfig()


def test_the_default_motion_is_what_the_docs_say():
    assert speed_of(PRESETS["default"].for_model("pocket")["motion"]) == pytest.approx(1.9, abs=0.05)
    assert speed_of(127) == pytest.approx(3.9, abs=0.05)
