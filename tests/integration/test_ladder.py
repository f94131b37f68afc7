"""ladder.py: memory that runs out at any allocation costs time, never the clip, and the next clip does not notice."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from miniature import make_miniature
from unstill import animate
from unstill.errors import MachineError
from unstill.models import Keep, load_engine
from unstill.runs import Runs

TINY = {"size": "64x64", "frames": 3, "steps": 2, "seed": 5, "device": "cpu"}


class Allocator(TorchDispatchMode):
    """A device that refuses the Nth request for memory, once or from then on."""

    def __init__(self, refused=None, *, always=False):
        super().__init__()
        self.count, self.refused, self.always = 0, refused, always

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        if self.refused is not None and (self.count == self.refused or (self.always and self.count > self.refused)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def kept():
    return Keep()


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    return make_miniature(tmp_path_factory.mktemp("thin"), is_thin=True)


@pytest.fixture
def clip_of(thin, photo, kept):
    return lambda **more: animate(photo, **{"model": str(thin), "load": kept, **TINY, **more})


def count_requests(make):
    with Allocator() as allocator:
        make()
    return allocator.count


def refuse(make, number, clean):
    """Refuse one request of a run; return whether the clip was made nevertheless. The next one must be as in a fresh process."""
    try:
        with Allocator(number):
            clip = make()
        assert np.abs(clip.frames.astype(int) - clean.frames).max() <= 1
        made = any("memory ran out" in line for line in clip.report.warnings)
    except MachineError as error:
        assert "too little memory" in error.message and error.hint
        made = False
    assert np.array_equal(make().frames, clean.frames), f"after a refusal of number {number}"
    return made


@pytest.mark.parametrize(
    "points", [6, pytest.param(60, marks=pytest.mark.thorough("ten times as many points of the same run"))]
)
@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_memory_may_run_out_at_any_allocation(clip_of, engine, points):
    """The clip is made, and the report says how. Nothing is measured here: that makes three quarters of all requests."""
    make = partial(clip_of, engine=engine, measure=False)
    clean = make()
    numbers = np.linspace(1, count_requests(make), points).astype(int).tolist()
    made = [refuse(make, number, clean) for number in numbers]
    assert sum(made) > points / 2 if engine == "reference" else any(made)


def test_memory_may_run_out_while_measuring(clip_of):
    clean = clip_of()
    unmeasured, whole = count_requests(partial(clip_of, measure=False)), count_requests(clip_of)
    assert whole > unmeasured
    refuse(clip_of, (unmeasured + whole) // 2, clean)


def test_what_was_sampled_is_not_sampled_again(clip_of):
    steps, calls = [], []

    def watch(progress):
        if progress.step:
            steps.append(progress.done)
            if progress.done == 1 and not calls:
                calls.append(1)
                raise torch.OutOfMemoryError("CUDA out of memory")

    clip = clip_of(engine="reference", watch=watch)
    assert steps == [1, 2]
    said = clip.report.warnings[-1]
    assert "memory ran out while sampling: now lean: branches of guidance run one after the other" in said
    assert clip.report.memory == "lean"


def test_at_the_bottom_it_is_said_what_to_do_and_the_steps_are_kept(clip_of, tmp_path, monkeypatch):
    whole, runs = clip_of(), Runs(tmp_path / "runs", every_s=0)

    def refuse(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("unstill.engine.reference.ReferenceEngine._decode", refuse)
        with pytest.raises(MachineError, match="too little memory to decode"):
            clip_of(runs=runs)
    clip = clip_of(runs=runs, out=tmp_path / "clip.gif")
    assert np.array_equal(clip.frames, whole.frames)


def test_a_model_that_does_not_fit_at_once_is_loaded_lower_down(clip_of):
    clean, asked = clip_of(), []

    def load(plan):
        asked.append(plan.rung.name)
        if plan.rung.name == "fast":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load_engine(plan)

    clip = clip_of(load=load)
    assert asked == ["fast", "lean"]
    assert np.abs(clip.frames.astype(int) - clean.frames).max() <= 1
    assert "memory ran out while loading: now lean" in " ".join(clip.report.warnings)


def test_other_errors_are_not_taken_for_memory(clip_of):
    def watch(progress):
        if progress.step:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        clip_of(watch=watch)
