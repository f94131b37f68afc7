"""memory/ and ladder.py on a GPU: every way makes the same frames, and memory that really runs out is a detour."""

import numpy as np
import pytest
import torch

from unstill import animate
from unstill.errors import Cancelled
from unstill.generate import Making
from unstill.models import Keep
from unstill.request import Request
from unstill.runs import Runs
from unstill.together import gather, share

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")]
KNOBS = {"size": "256x192", "frames": 14, "steps": 3, "seed": 5, "device": "cuda"}


@pytest.fixture
def clip_of(miniature, photo):
    keep = Keep()
    return lambda **more: animate(photo, **{"model": str(miniature), "load": keep, **KNOBS, **more})


def differ(one, two):
    """The largest difference in grey levels."""
    return np.abs(one.frames.astype(int) - two.frames).max()


# Fewer clips at once are summed in another order, which random weights enlarge in half precision.
SAME = {"fp32": 1, "fp16": 3}


@pytest.fixture
def cap():
    """A limit to what PyTorch may take, for one test."""
    total = torch.cuda.get_device_properties(0).total_memory

    def set_to(count):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, count / total))

    yield set_to
    set_to(total)


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_every_way_makes_the_same_frames(clip_of, engine, dtype):
    fast = clip_of(engine=engine, dtype=dtype, memory="fast")
    for memory in ("lean", "tiny", "fast"):
        other = clip_of(engine=engine, dtype=dtype, memory=memory, max_memory=10**8)
        assert other.report.memory == memory
        assert differ(other, fast) <= SAME[dtype]


def make_together(miniature, photo, engine, dtype, load):
    """Make three clips that share their passes."""
    request = Request.from_mapping({"model": str(miniature), **KNOBS, "engine": engine, "dtype": dtype, "memory": "fast"})
    makings = [Making(request.replace(seed=seed), photo) for seed in (5, 6, 7)]
    [group] = gather(makings)
    share(group, load)
    return [making.make(load) for making in makings]


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_clips_that_share_passes_are_those_made_alone(miniature, photo, clip_of, engine, dtype):
    made = make_together(miniature, photo, engine, dtype, Keep())
    assert [clip.report.together for clip in made] == [3, 3, 3]
    for seed, clip in zip((5, 6, 7), made, strict=True):
        assert differ(clip, clip_of(engine=engine, dtype=dtype, memory="fast", seed=seed)) <= SAME[dtype]


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_memory_that_runs_out_costs_time_and_no_frame(clip_of, cap, engine):
    clean = clip_of(engine=engine, memory="fast", dtype="fp16")
    used = clean.report.peak_bytes
    warned = 0
    for part in (0.95, 0.85):
        cap(used * part + 2**21)
        clip = clip_of(engine=engine, memory="fast", dtype="fp16")
        assert differ(clip, clean) <= SAME["fp16"]
        warned += any("memory ran out" in line for line in clip.report.warnings)
    assert warned
    cap(2**40)
    assert differ(clip_of(engine=engine, memory="fast", dtype="fp16"), clean) <= SAME["fp16"]  # cuDNN remembers its choices


@pytest.mark.parametrize("memory", ["fast", "tiny"])
def test_a_run_that_was_stopped_goes_on_with_the_same_frames(clip_of, tmp_path, memory):
    runs = Runs(tmp_path, every_s=0)
    clean = clip_of(memory=memory)

    def stop(progress):
        if progress.stage == "sample" and progress.done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        clip_of(memory=memory, runs=runs, watch=stop)
    steps = []
    clip = clip_of(memory=memory, runs=runs, watch=lambda progress: steps.append(progress.done) if progress.step else None)
    assert steps == [3]
    assert np.array_equal(clip.frames, clean.frames)


def test_nothing_is_left_behind(clip_of):
    """Ten clips in every way hold no more than one."""
    held = []
    for _ in range(10):
        for memory in ("tiny", "lean", "fast"):
            clip_of(memory=memory, max_memory=10**8)
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= 1.02 * held[1]
