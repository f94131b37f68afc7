"""generate.py: the whole path on the miniature, from a picture to a clip."""

import numpy as np
import pytest
from PIL import Image

from unstill import animate
from unstill.artifacts import Progress
from unstill.errors import Cancelled, MachineError, ModelMissing, PictureError, RequestError, ResultError, WriteError
from unstill.generate import foresee
from unstill.models import Keep
from unstill.request import Request

TINY = {"size": "128x64", "frames": 3, "steps": 2, "seed": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def clip_of(miniature, photo):
    """Make a clip with the engine of the last one."""
    kept = Keep()

    def make(**knobs):
        where = {name: knobs.pop(name) for name in ("out", "watch", "load") if name in knobs}
        return animate(knobs.pop("picture", photo), **{"load": kept, **where}, **{"model": str(miniature), **TINY, **knobs})

    return make


@pytest.fixture(scope="module")
def plain(clip_of):
    """The clip that others are compared with."""
    return clip_of()


def test_a_picture_becomes_a_file(clip_of, tmp_path):
    clip = clip_of(out=tmp_path / "clip.mp4")
    assert clip.path == tmp_path / "clip.mp4"
    assert clip.path.stat().st_size > 500
    assert clip.frames.shape == (3, 64, 128, 3)
    assert clip.frames.dtype == np.uint8
    assert list(clip.report.stages_s) == ["prepare", "load", "sample", "decode", "check", "write"]


def test_without_a_place_nothing_is_written_until_save(clip_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = clip_of()
    assert list(tmp_path.iterdir()) == []
    assert clip.save("later.gif").stat().st_size > 100
    assert [image.size for image in clip.images] == [(128, 64)] * 3


def test_the_recipe_makes_the_same_frames_again(clip_of, miniature, photo):
    first = clip_of(seed=None, motion=180, guidance="1:2")
    again = animate(photo, **{**first.recipe["knobs"], "model": str(miniature)})
    assert np.array_equal(first.frames, again.frames)


def test_a_recipe_holds_no_path(plain, miniature, photo):
    recipe = repr(plain.recipe)
    assert str(miniature) not in recipe
    assert str(photo) not in recipe
    assert "'/" not in recipe, "no text in it begins like an absolute path"


def test_the_fast_engine_gives_the_same_frames(clip_of, plain):
    """On a CPU its kernels run plainly; what is folded is the same as on a GPU."""
    fast = clip_of(engine="fast", decode_chunk=1)
    assert (plain.report.engine, fast.report.engine) == ("reference", "fast")
    assert np.abs(plain.frames.astype(int) - fast.frames).max() <= 1


def test_another_schedule_is_another_clip_and_is_in_the_recipe(clip_of, plain):
    aligned = clip_of(steps_schedule="ays")
    assert aligned.recipe["knobs"]["steps_schedule"] == "ays"
    assert not np.array_equal(plain.frames, aligned.frames)


def test_decoding_in_chunks_gives_the_same_frames(clip_of, plain):
    for chunk in (1, 2):
        assert np.abs(plain.frames.astype(int) - clip_of(decode_chunk=chunk).frames).max() <= 1


def test_offloading_gives_the_same_frames(clip_of, plain):
    assert np.array_equal(clip_of(offload=True).frames, plain.frames)


@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_forward_chunks_give_the_same_frames(clip_of, plain, rows):
    """Up to the last bit: a product of fewer rows may be summed by another kernel."""
    difference = np.abs(clip_of(forward_chunk=rows).frames.astype(int) - plain.frames)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_near_the_full(clip_of, dtype):
    half, full = (clip_of(dtype=one, size="64x64", frames=2) for one in (dtype, "fp32"))
    assert half.report.dtype == dtype
    assert np.abs(half.frames.astype(int) - full.frames).mean() < 8


@pytest.mark.parametrize(
    ("fit", "size"), [("pad", (114, 64)), ("blur", (128, 72)), ("crop", (128, 72)), ("stretch", (128, 72))]
)
def test_padding_is_taken_away_again(clip_of, photo, fit, size):
    wide = {"pad": "200x64", "blur": "128x72", "crop": "128x72", "stretch": "128x72"}[fit]
    assert clip_of(fit=fit, size=wide).frames.shape[1:3] == size[::-1]


def test_a_size_that_is_no_multiple_of_8_comes_out_exactly(clip_of):
    assert clip_of(size="130x66").frames.shape == (3, 66, 130, 3)


def test_the_watcher_hears_every_stage_in_order(clip_of, tmp_path):
    heard: list[Progress] = []
    clip_of(out=tmp_path / "clip.gif", watch=heard.append)
    stages = list(dict.fromkeys(progress.stage for progress in heard))
    assert stages == ["prepare", "load", "sample", "decode", "check", "write"]
    assert [p.done for p in heard if p.stage == "sample"] == [0, 1, 2]


def test_a_watcher_can_stop_the_run_and_no_file_is_left(clip_of, tmp_path):
    def stop(progress: Progress) -> None:
        if progress.step is not None:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        clip_of(out=tmp_path / "clip.mp4", watch=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["encoder.conv_out.weight", "decoder.conv_out.weight"])
def test_a_network_that_breaks_down_is_found_and_nothing_is_written(clip_of, miniature, tmp_path, part):
    """Weights that overflow give values that are not finite; other tools export them as black."""
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(miniature, broken)
    for path in (broken / "vae").glob("*.safetensors"):
        tensors = load_file(path)
        tensors[part] = tensors[part] * float("inf")
        save_file(tensors, path)
    with pytest.raises(ResultError, match="not finite"):
        clip_of(model=str(broken), out=tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()


def test_a_clip_does_not_replace_its_picture(clip_of, photo, tmp_path):
    picture = tmp_path / "mine.gif"
    Image.open(photo).save(picture)
    before = picture.read_bytes()
    with pytest.raises(WriteError, match="replace the picture"):
        clip_of(picture=str(picture), out=picture)
    assert picture.read_bytes() == before


def test_saving_again_changes_the_file_and_never_the_frames(plain, tmp_path):
    with pytest.raises(RequestError, match="shapes the frames"):
        plain.save(tmp_path / "c.gif", motion=200)
    assert Image.open(plain.save(tmp_path / "c.gif", play_fps=20)).info["duration"] == 50


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: not enough memory: you tried to allocate", "MPS backend out of memory"]
)
def test_every_devices_way_to_run_out_of_memory_is_known(clip_of, words):
    def fill_memory(progress: Progress) -> None:
        if progress.stage == "sample" and progress.done:
            raise RuntimeError(words)

    with pytest.raises(MachineError, match="too little memory to sample"):
        clip_of(watch=fill_memory, steps=5)  # more than there are ways with less


def test_other_errors_pass_as_they_are(clip_of):
    def break_down(progress: Progress) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        clip_of(watch=break_down)


@pytest.mark.parametrize("stage", ["sample", "decode"])
def test_a_device_out_of_memory_is_an_error_that_says_what_to_try(clip_of, stage):
    import torch

    def fill_memory(progress: Progress) -> None:
        if progress.stage == stage and progress.done:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB\nmore")

    with pytest.raises(
        MachineError, match=f"too little memory to {stage}: CUDA out of memory. Tried to allocate 20.00 GiB"
    ) as caught:
        clip_of(watch=fill_memory, steps=5)
    assert "--" in caught.value.hint


def test_a_place_that_cannot_be_written_is_found_before_the_work(clip_of, tmp_path):
    heard: list[Progress] = []
    with pytest.raises((WriteError, RequestError)):
        clip_of(out=tmp_path / "no" / "such" / "clip.mp4", watch=heard.append)
    assert heard == []


@pytest.mark.parametrize(
    ("knobs", "error"),
    [({"model": "svd-yt"}, ModelMissing), ({"picture": "no-such.jpg"}, PictureError), ({"motion": 300}, RequestError),
     ({"swirl": 3}, RequestError)],
)  # fmt: skip
def test_what_cannot_be_is_said_before_the_work(clip_of, tmp_path, knobs, error):
    with pytest.raises(error):
        clip_of(out=tmp_path / "clip.mp4", **knobs)
    assert list(tmp_path.iterdir()) == []


def test_a_grey_picture_and_one_with_alpha_are_pictures_too(clip_of):
    assert clip_of(picture=Image.new("L", (64, 32), 90)).frames.shape == (3, 64, 128, 3)
    assert clip_of(picture=Image.new("RGBA", (64, 32), (9, 90, 200, 90))).frames.shape == (3, 64, 128, 3)


def test_the_kept_engine_is_used_again_and_replaced_when_the_plan_differs(miniature, photo):
    def engine_of(**knobs):
        return keep(foresee(Request.from_mapping({"model": str(miniature), **TINY, **knobs}), photo)[1])

    keep = Keep()
    first = engine_of()
    assert engine_of(motion=3) is first
    assert engine_of(memory="tiny") is first  # how it is held in memory can be changed
    assert engine_of(engine="fast") is not first


def test_a_request_says_what_the_file_says(clip_of, tmp_path):
    clip = clip_of(out=tmp_path / "c.webp", play_fps=10, fps=6)
    assert (clip.request.play_fps, clip.request.fps) == (10, 6)
    assert isinstance(clip.request, Request)
