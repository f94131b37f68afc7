"""runs.py: a run that broke off goes on where it was and gives the same frames; what overflows is repeated, never shown."""

import functools
import json
import pydoc

import numpy as np
import pytest
import torch

from unstill import animate
from unstill.errors import Cancelled, ResultError
from unstill.models import Keep
from unstill.runs import Runs, write_whole

TINY = {"size": "64x64", "frames": 2, "steps": 4, "seed": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def clip_of(miniature, photo):
    """Make a clip with the engine of the last one."""
    kept = Keep()
    return lambda **more: animate(photo, **{"model": str(miniature), "load": kept, **TINY, **more})


@pytest.fixture(scope="module")
def whole_of(clip_of):
    """Give the clip of these knobs that nothing befell; it is made once."""
    return functools.cache(lambda **knobs: clip_of(**knobs))


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "runs", every_s=0)


class Stop:
    """Watches, notes the steps, and breaks off at a stage and a number."""

    def __init__(self, stage="none", number=0, error=Cancelled):
        self.stage, self.number, self.error, self.steps = stage, number, error, []

    def __call__(self, progress):
        if progress.step:
            self.steps.append(progress.done)
        if (progress.stage, progress.done) == (self.stage, self.number):
            raise self.error("stopped")


EVERY_STEP, AT_THE_END = 0, 1000  # how long after one step another is kept
OTHER_STAGES = [("sample", 1), ("sample", 3), ("sample", 4), ("decode", 0), ("check", 0)]
OTHERS = pytest.mark.thorough("kept when it breaks off, at another stage; each stage has a case with every step kept")


@pytest.mark.parametrize(
    ("stage", "number", "every_s"),
    [
        *(("sample", n, EVERY_STEP) for n in range(1, 5)),
        ("decode", 0, EVERY_STEP),
        ("check", 0, EVERY_STEP),
        ("sample", 2, AT_THE_END),
        *(pytest.param(*broken, AT_THE_END, marks=OTHERS) for broken in OTHER_STAGES),
    ],
)
def test_what_broke_off_goes_on_with_the_same_frames(clip_of, whole_of, tmp_path, stage, number, every_s):
    whole, runs = whole_of(), Runs(tmp_path / "runs", every_s)
    with pytest.raises(Cancelled):
        clip_of(runs=runs, watch=Stop(stage, number))
    assert [one.done for one in runs] == [number or 4]
    rest = Stop()
    clip = clip_of(runs=runs, watch=rest, out=tmp_path / "clip.gif")
    assert rest.steps == list(range((number or 4) + 1, 5))
    assert np.array_equal(clip.frames, whole.frames)
    assert list(runs) == [] and list(runs.root.iterdir()) == []


def test_a_run_without_a_seed_goes_on_with_the_one_that_was_drawn(clip_of, runs, tmp_path):
    with pytest.raises(Cancelled):
        clip_of(runs=runs, seed=None, watch=Stop("sample", 2))
    seed = next(iter(runs)).seed
    clip = clip_of(runs=runs, seed=None, out=tmp_path / "clip.gif")
    assert clip.request.seed == seed
    assert np.array_equal(clip.frames, clip_of(seed=seed).frames)


def test_another_seed_motion_or_picture_is_another_run(clip_of, runs, tmp_path):
    with pytest.raises(Cancelled):
        clip_of(runs=runs, watch=Stop("sample", 2))
    for other in ({"seed": 6}, {"motion": 50}, {"steps": 5}):
        fresh = Stop()
        clip_of(runs=runs, watch=fresh, out=tmp_path / "clip.gif", **other)
        assert fresh.steps[0] == 1
    assert len(list(runs)) == 1


def test_memory_and_files_may_be_other_when_a_run_goes_on(clip_of, runs, tmp_path):
    with pytest.raises(Cancelled):
        clip_of(runs=runs, watch=Stop("sample", 3))
    rest = Stop()
    clip_of(runs=runs, watch=rest, decode_chunk=1, offload=True, quality=50, out=tmp_path / "clip.webp")
    assert rest.steps == [4]


def test_two_at_once_do_not_share_a_run(clip_of, runs, tmp_path):
    seen = []

    def meanwhile(progress):
        if progress.stage == "sample" and progress.done == 2:
            other = Stop()
            seen.append(clip_of(runs=runs, watch=other, load=Keep(), out=tmp_path / "other.gif").frames)
            assert other.steps == [1, 2, 3, 4]

    clip = clip_of(runs=runs, watch=meanwhile, out=tmp_path / "clip.gif")
    assert np.array_equal(seen[0], clip.frames)


@pytest.mark.parametrize("damage", [b"", b"not tensors", None])
def test_a_step_that_cannot_be_read_was_not_kept(clip_of, runs, tmp_path, damage):
    with pytest.raises(Cancelled):
        clip_of(runs=runs, watch=Stop("sample", 2))
    step = next(iter(runs)).folder / "step.safetensors"
    step.write_bytes(damage if damage is not None else step.read_bytes()[:-7])
    again = Stop()
    clip_of(runs=runs, watch=again, out=tmp_path / "clip.gif")
    assert again.steps == [1, 2, 3, 4]


def test_a_disk_that_is_full_does_not_end_a_run(clip_of, runs, tmp_path, monkeypatch):
    def full(path, data):
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        write_whole(path, data)

    monkeypatch.setattr("unstill.runs.write_whole", full)
    assert clip_of(runs=runs, out=tmp_path / "clip.gif").path.exists()
    with pytest.raises(Cancelled, match="could not be kept: No space left"):
        clip_of(runs=runs, watch=Stop("sample", 2))


def test_a_place_that_cannot_be_written_is_said(clip_of, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    told = []

    def load(plan):
        told.extend(plan.notes)
        return Keep()(plan)

    clip_of(runs=Runs(tmp_path / "file" / "runs"), load=load)
    assert "cannot be kept" in " ".join(told)


KILLS = [12, pytest.param(60, marks=pytest.mark.thorough("more of the same kills, at random moments"))]


@pytest.mark.parametrize("kills", KILLS)
def test_killed_at_any_moment_it_goes_on_and_no_half_file_is_left(forks, miniature, photo, tmp_path, kills):
    """By SIGKILL: while sampling, decoding, writing, keeping a step and forgetting it."""
    with (tmp_path / "said").open("wb") as said:
        words = [str(miniature), str(photo), str(tmp_path), str(kills)]
        code = forks.start("kill_runs", words, stdout=said, stderr=said).wait()
    *more, last = (tmp_path / "said").read_text().splitlines()
    assert code == 0, [*more, last]
    told = json.loads(last)
    assert told["kills"] == kills
    assert told["resumed"] >= kills // 6, "kills fall into runs that had something to go on with"
    assert told["clips"] >= kills // 12


# What overflows in half precision


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_step_that_overflows_is_repeated_in_float32(clip_of, whole_of, monkeypatch, step, engine):
    asked = {"dtype": "bf16", "engine": engine}
    clean, calls = whole_of(**asked), []
    break_once(monkeypatch, f"unstill.engine.{'fast_unet.FastUNet' if engine == 'fast' else 'reference.ReferenceEngine._run_unet'}"
               + (".forward" if engine == "fast" else ""), step, calls)  # fmt: skip
    clip = clip_of(**asked)
    assert f"step {step} was not finite in bf16 and was repeated in float32" in clip.report.warnings
    assert np.abs(clip.frames.astype(int) - clean.frames).mean() < 1.0  # grey levels: half precision rounds elsewhere
    assert len(calls) == 5


def test_an_encoding_that_overflows_is_repeated_in_float32(clip_of, whole_of, monkeypatch):
    clean, calls = whole_of(dtype="bf16"), []
    break_once(monkeypatch, "unstill.engine.reference.ReferenceEngine.encode", 1, calls)
    clip = clip_of(dtype="bf16")
    assert "the picture's encoding was not finite in bf16 and was repeated in float32" in clip.report.warnings
    assert np.abs(clip.frames.astype(int) - clean.frames).mean() < 1.0  # grey levels: half precision rounds elsewhere


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_frames_that_come_out_broken_or_black_are_decoded_in_float32(clip_of, whole_of, monkeypatch, value):
    clean, calls = whole_of(dtype="bf16"), []
    break_once(monkeypatch, "unstill.engine.reference.ReferenceEngine._decode", 1, calls, value)
    clip = clip_of(dtype="bf16")
    assert "decoded once more in float32" in " ".join(clip.report.warnings)
    assert np.abs(clip.frames.astype(int) - clean.frames).mean() < 1.0  # grey levels: half precision rounds elsewhere
    assert len(calls) == 2


def test_after_a_repair_everything_is_as_it_was(clip_of, whole_of, monkeypatch):
    clean = whole_of(dtype="bf16")
    with monkeypatch.context() as patch:
        break_once(patch, "unstill.engine.reference.ReferenceEngine._run_unet", 2, [])
        clip_of(dtype="bf16")
    assert np.array_equal(clip_of(dtype="bf16").frames, clean.frames)


def test_what_is_broken_in_float32_too_is_a_clear_failure(clip_of, monkeypatch):
    monkeypatch.setattr("unstill.engine.reference.ReferenceEngine._run_unet", lambda self, x, *told: x[:, :, :4] * torch.nan)
    with pytest.raises(ResultError, match="Step 1 is not finite, in float32 neither"):
        clip_of(dtype="bf16")
    with pytest.raises(ResultError, match="Step 1 is not finite"):
        clip_of(dtype="fp32")


def break_once(monkeypatch, name, number, calls, value=float("nan")):
    """Make one call of a function give something broken."""
    where, _, attribute = name.rpartition(".")
    owner = pydoc.locate(where)
    whole = getattr(owner, attribute)

    def broken(*given, **more):
        calls.append(1)
        made = whole(*given, **more)
        return torch.full_like(made, value) if len(calls) == number else made

    monkeypatch.setattr(owner, attribute, broken)
