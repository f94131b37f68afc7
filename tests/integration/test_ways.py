"""memory/rungs.py carried out: every way makes the same frames, here with the host's own memory as a device apart."""

import numpy as np
import pytest
import torch

from unstill import animate
from unstill.engine import Keep
from unstill.memory.machine import Machine

TINY = {"size": "192x128", "frames": 5, "steps": 3, "seed": 5, "device": "cpu", "max_memory": 10**8}


@pytest.fixture
def clip_of(miniature, photo, monkeypatch):
    """Clips of a machine whose device has memory of its own: blocks come, frames wait, parts take turns."""
    monkeypatch.setattr(Machine, "is_apart", property(lambda machine: True))
    keep, plans = Keep(), []

    def load(plan):
        plans.append(plan)
        return keep(plan)

    def make(load_anew=False, **more):
        if load_anew:
            keep._kept = None
        return animate(photo, model=str(miniature), load=load, **{**TINY, **more}), plans[-1]

    return make


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_every_way_makes_the_same_frames(clip_of, engine):
    """And in any order, on one engine."""
    clean, _ = clip_of(engine=engine, memory="fast")
    for memory in ("tiny", "lean", "fast", "lean", "tiny"):
        clip, plan = clip_of(engine=engine, memory=memory)
        assert (clip.report.memory, plan.rung.name) == (memory, memory)
        assert np.abs(clip.frames.astype(int) - clean.frames).max() <= 1
    again, _ = clip_of(engine=engine, memory="fast")
    assert np.array_equal(again.frames, clean.frames)


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_the_smallest_way_does_all_there_is(clip_of, engine):
    rung = clip_of(engine=engine, memory="tiny")[1].rung
    assert rung.swaps and rung.splits and rung.window_bytes and rung.parked and rung.decode_chunk == 1
    assert (rung.forward_chunk == 1) == (engine == "reference")


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_where_host_memory_is_short_too_weights_wait_on_disk(clip_of, engine, monkeypatch, tmp_path):
    """In files that nothing names any more once they are there."""
    clean, _ = clip_of(engine=engine, memory="tiny")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("unstill.memory.machine._host_memory", lambda: (10**9, 10**6))
    clip, plan = clip_of(engine=engine, memory="tiny", load_anew=True)
    assert plan.rung.on_disk
    assert np.abs(clip.frames.astype(int) - clean.frames).max() <= 1  # mapped numbers lie otherwise while they are folded
    assert list(tmp_path.iterdir()) == []


def test_memory_that_runs_out_in_a_repair_leaves_every_weight_as_it_was(clip_of, monkeypatch):
    """What half precision broke is decoded in float32; there memory runs out, and it is done again with less."""
    clean, _ = clip_of(memory="fast", dtype="bf16", engine="reference")

    from unstill.engine.reference import ReferenceEngine

    decode, calls = ReferenceEngine._decode, []

    def stumble(engine, latents, plan):
        calls.append(str(engine.dtype))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(engine, latents, plan) * (float("nan") if len(calls) == 1 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceEngine, "_decode", stumble)
        clip, _ = clip_of(memory="fast", dtype="bf16", engine="reference")
    assert calls == ["torch.bfloat16", "torch.float32", "torch.float32"]
    assert clip.report.memory == "lean"
    again, _ = clip_of(memory="fast", dtype="bf16", engine="reference")
    assert np.array_equal(again.frames, clean.frames)


def test_what_half_precision_breaks_is_repeated_in_every_way(clip_of, monkeypatch):
    """In float32, and afterwards the weights are the ones they were."""
    clean, _ = clip_of(memory="tiny", dtype="bf16", engine="reference")

    from unstill.engine.reference import ReferenceEngine

    run, calls = ReferenceEngine._run_unet, []

    def overflow(engine, x_BFCHW, *told):
        calls.append(str(x_BFCHW.dtype))
        made = run(engine, x_BFCHW, *told)
        return made * float("nan") if len(calls) == 2 else made

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceEngine, "_run_unet", overflow)
        clip, _ = clip_of(memory="tiny", dtype="bf16", engine="reference")
    assert any("repeated in float32" in line for line in clip.report.warnings)
    assert "torch.float32" in calls
    again, _ = clip_of(memory="tiny", dtype="bf16", engine="reference")
    assert np.array_equal(again.frames, clean.frames)
