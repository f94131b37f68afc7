"""memory/rungs.py carried out: every way makes the same frames, here with the host's own memory as a device apart."""

import numpy as np
import pytest
import torch

from hooks import changed
from miniature import make_miniature
from unstill import Request, animate
from unstill.generate import foresee
from unstill.memory.machine import Machine
from unstill.models import Keep

TINY = {"size": "128x64", "frames": 3, "steps": 2, "seed": 5, "device": "cpu", "max_memory": 10**8}


class Maker:
    """Clips of one model, each with how it was planned and what ran it."""

    def __init__(self, picture, model):
        self.picture, self.model, self.keep = picture, model, Keep()

    def load(self, plan):
        self.plan, self.engine = plan, self.keep(plan)
        return self.engine

    def __call__(self, **more):
        return animate(self.picture, model=str(self.model), load=self.load, **{**TINY, **more})


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    return make_miniature(tmp_path_factory.mktemp("thin"), is_thin=True)


@pytest.fixture
def make(thin, photo, monkeypatch):
    """Make clips on a machine whose device has memory of its own: blocks come, frames wait, parts take turns."""
    monkeypatch.setattr(Machine, "is_apart", property(lambda machine: True))
    return Maker(photo, thin)


def differ(one, two):
    return np.abs(one.frames.astype(int) - two.frames).max()


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_every_way_makes_the_same_frames(make, engine):
    """And in any order, on one engine."""
    clean = make(engine=engine, memory="fast")
    for memory in ("tiny", "lean", "fast", "lean", "tiny"):
        clip = make(engine=engine, memory=memory)
        assert (clip.report.memory, make.plan.rung.name) == (memory, memory)
        assert differ(clip, clean) <= 1
    assert differ(make(engine=engine, memory="fast"), clean) == 0


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_the_smallest_way_does_all_there_is(make, engine):
    _, plan = foresee(Request(model=str(make.model), engine=engine, memory="tiny", **TINY), make.picture)
    rung = plan.rung
    assert rung.swaps and rung.splits and rung.window_bytes and rung.parked and rung.decode_chunk == 1
    assert (rung.forward_chunk == 1) == (engine == "reference")


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_where_host_memory_is_short_too_weights_wait_on_disk(make, engine, monkeypatch, tmp_path):
    """In files that nothing names any more once they are there."""
    clean = make(engine=engine, memory="tiny")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("unstill.memory.machine._host_memory", lambda: (10**9, 10**6))
    make.keep = Keep()
    clip = make(engine=engine, memory="tiny")
    assert make.plan.rung.on_disk
    assert differ(clip, clean) <= 1  # mapped numbers lie otherwise while they are folded
    assert list(tmp_path.iterdir()) == []


def test_memory_that_runs_out_in_a_repair_leaves_every_weight_as_it_was(make):
    """What half precision broke is decoded in float32; there memory runs out, and it is done again with less."""
    clean, dtypes = make(memory="fast", dtype="bf16", engine="reference"), []

    def stumble(call, given, made):
        dtypes.append(given[0].dtype)
        if call == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made * (float("nan") if call == 1 else 1)

    with changed(make.engine.vae.decoder.conv_in, stumble):
        clip = make(memory="fast", dtype="bf16", engine="reference")
    assert dtypes[0] == torch.bfloat16
    assert set(dtypes[1:]) == {torch.float32} and len(dtypes) > 2
    assert clip.report.memory == "lean"
    assert differ(make(memory="fast", dtype="bf16", engine="reference"), clean) == 0


def test_what_half_precision_breaks_is_repeated_in_every_way(make):
    """In float32, and afterwards the weights are the ones they were."""
    clean, dtypes = make(memory="tiny", dtype="bf16", engine="reference"), []

    def overflow(call, given, made):
        dtypes.append(given[0].dtype)
        return made * (float("nan") if call == 2 else 1)

    with changed(make.engine.network, overflow):
        clip = make(memory="tiny", dtype="bf16", engine="reference")
    assert any("repeated in float32" in line for line in clip.report.warnings)
    assert set(dtypes) == {torch.bfloat16, torch.float32}
    assert differ(make(memory="tiny", dtype="bf16", engine="reference"), clean) == 0
