"""The recipes of the documentation run as they stand, and both spellings of one make the same clip.

One word is changed: torch.compile only traces. Tried by hand as published, mode="reduce-overhead" (inductor, g++ 12, one
core) takes 118 s for the first clip of the miniature, 64x64 and 2 frames, and 0.06 s for the second (0.31 s uncompiled);
frames differ by at most 4.5e-6.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unstill.request import PRESETS
from unstill.values import Size

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
NAMES = ("basic_clip", "motion_and_noise", "gif", "low_memory", "compiled", "crop_before_resize")
TRACED = "tracing takes seven seconds and more; test_compat compiles a UNet in place, as the recipe does"
MADE = {
    "basic_clip": ["basic_clip.mp4"],
    "basic_clip_dropin": ["basic_clip.mp4"],
    "motion_and_noise": ["motion_calm.mp4", "motion_lively.mp4", "motion_usual.mp4"],
    "motion_and_noise_dropin": ["motion_calm.mp4", "motion_lively.mp4", "motion_usual.mp4"],
    "gif": ["clip.gif"],
    "gif_dropin": ["clip.gif"],
    "low_memory": ["low_memory.mp4"],
    "low_memory_dropin": ["low_memory.mp4"],
    "compiled": ["compiled_42.mp4", "compiled_43.mp4"],
    "compiled_dropin": ["compiled_42.mp4", "compiled_43.mp4"],
    "crop_before_resize": ["own_shape.mp4", "square.mp4", "whole.mp4"],
    "crop_before_resize_dropin": ["cropped.mp4"],
}
CASES = [pytest.param(name, marks=pytest.mark.thorough(TRACED) if name.startswith("compiled") else ()) for name in MADE]


@pytest.fixture
def newcomer(miniature, tmp_path, monkeypatch):
    """Somebody with a picture and a model, for whom clips are small and take one step unless a script says otherwise."""
    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((256, 128), Image.Resampling.BICUBIC).save(photo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNSTILL_EXAMPLE_PICTURE", str(photo))
    monkeypatch.setenv("UNSTILL_EXAMPLE_MODEL", str(miniature))
    for name, preset in PRESETS.items():
        small = replace(preset, knobs={**preset.knobs, "steps": 1, "frames": 3}, area=Size(128, 64))
        monkeypatch.setitem(PRESETS, name, small)
    return tmp_path


def run(name: str, folder: Path):
    text = (RECIPES / f"{name}.py").read_text().replace('"576x576"', '"96x96"')
    text = text.replace('mode="reduce-overhead"', 'backend="eager"')  # traced in full, no code made
    names: dict = {"__name__": "__main__"}
    with warnings.catch_warnings(action="ignore"):
        exec(compile(text, name, "exec"), names)
    return names, sorted(path.name for path in folder.iterdir() if path.suffix in (".mp4", ".gif"))


def test_every_recipe_has_both_spellings_and_is_run():
    assert sorted(path.stem for path in RECIPES.glob("*.py")) == sorted(MADE)
    assert sorted(MADE) == sorted([*NAMES, *(f"{name}_dropin" for name in NAMES)])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_recipe_makes_its_files(newcomer, name):
    assert run(name, newcomer)[1] == MADE[name]


def test_recipes_are_short():
    assert all(len(path.read_text().splitlines()) <= 40 for path in RECIPES.glob("*.py"))


@pytest.mark.slow
def test_both_spellings_make_the_same_clip(newcomer):
    """The picture has the shape of the clip, so nothing is cropped in either."""
    ours = run("basic_clip", newcomer)[0]["clip"].frames
    theirs = run("basic_clip_dropin", newcomer)[0]["frames"]
    assert np.array_equal(ours, np.stack([np.asarray(frame) for frame in theirs]))
