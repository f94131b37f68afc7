"""memory/rungs.py: what is foreseen falls from rung to rung, and the fastest that fits is taken."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from unstill.artifacts import ModelFiles, Rung
from unstill.memory.need import Work, count_stages
from unstill.memory.rungs import ASIDE_BYTES, count_together, find_place, fits, list_rungs, suggest
from unstill.values import Size

FILES = ModelFiles("svd-xt", "svd-xt", "diffusers", {}, {"unet": None, "vae": None, "image_encoder": None}, 25, 0)
FULL = Work(Size(1024, 576), 25, 2, 2, "fast")


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """The published sizes, without files."""
    from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig

    configs = {"unet": UNetConfig(), "vae": VAEConfig(), "image_encoder": CLIPConfig()}
    for module in ("need", "rungs"):
        monkeypatch.setattr(f"unstill.memory.{module}.read_config", lambda part, files: configs[part])


def rungs_of(budget_bytes=None, work=FULL, chunk=1, **more):
    return list_rungs(FILES, work, Rung("fast", chunk, **more), budget_bytes, is_apart=True)


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("frames", [14, 25])
@pytest.mark.parametrize("size", [Size(512, 320), Size(1024, 576), Size(576, 1024)])
def test_every_rung_needs_less(engine, frames, size):
    peaks = [rung.peak_bytes for rung in rungs_of(work=Work(size, frames, 2, 2, engine))]
    assert all(higher > lower for higher, lower in pairwise(peaks))


def test_what_is_promised_at_full_size():
    """25 frames of 1024x576 in fp16."""
    fast, lean, tiny = (rung.peak_bytes for rung in rungs_of())
    assert fast < 9e9
    assert lean < 5e9
    assert tiny < 2.5e9


@pytest.mark.parametrize(
    ("budget_gb", "engine"),
    [*((gb, "fast") for gb in (2.2, 2.5, 3, 4, 5, 6)), *((gb, "reference") for gb in (2.8, 3, 4, 5, 6))],
)
def test_the_smallest_uses_its_budget_and_keeps_within_it(budget_gb, engine):
    *_, tiny, least = rungs_of(int(budget_gb * 1e9), Work(Size(1024, 576), 25, 2, 2, engine))
    assert fits(tiny, int(budget_gb * 1e9)) or tiny.name == "lean"
    assert least.parked == 25
    assert tiny.peak_bytes >= least.peak_bytes
    if tiny.name == "tiny":
        assert tiny.parked <= least.parked and tiny.window_bytes >= least.window_bytes


def test_frames_wait_only_as_far_as_they_must():
    budgets = [int(gb * 1e9) for gb in (2.2, 3, 4, 6)]
    parked = [next(rung for rung in rungs_of(budget) if fits(rung, budget)).parked for budget in budgets]
    assert parked == sorted(parked, reverse=True)
    assert parked[0] > 15 and parked[-1] == 0


def test_below_what_fills_the_budget_is_the_smallest_way():
    """For when there is less than was thought; and a way that hardly saves anything is left out."""
    assert [rung.name for rung in rungs_of(3 * 10**9)] == ["fast", "lean", "tiny", "tiny"]
    assert [rung.name for rung in rungs_of(10**11)] == ["fast", "lean", "tiny"]
    assert rungs_of(3 * 10**9)[-1].stages == rungs_of(10**11)[-1].stages == rungs_of()[-1].stages


def test_who_asks_for_the_smallest_way_gets_it():
    """And who says how much may be used gets what fits into that."""
    rungs = rungs_of(3 * 10**9)
    assert [find_place(rungs, "tiny", limit) for limit in (None, 3 * 10**9, 10**9)] == [3, 2, 3]
    assert [find_place(rungs, name, None) for name in ("fast", "lean")] == [0, 1]


def test_a_rung_that_changes_nothing_is_left_out():
    """On a CPU nothing can wait elsewhere, and one frame of one branch is the least."""
    work = Work(Size(64, 64), 1, 1, 4, "fast", has_kernels=False)
    assert [rung.name for rung in list_rungs(FILES, work, Rung("fast", 1, splits=True), None, is_apart=False)] == ["fast"]


def test_weights_wait_on_disk_only_where_they_must():
    """Weights take 4.1 GB of the host, and parked frames 151 MB each."""

    def waits(host_gb):
        rungs = list_rungs(FILES, FULL, Rung("fast", 1), 10**8, is_apart=True, host_bytes=int(host_gb * 1e9))
        return [rung.on_disk for rung in rungs]

    assert [waits(host_gb) for host_gb in (10, 6, 2)] == [[False, False, False], [False, False, True], [False, True, True]]


def test_what_libraries_take_is_left_aside():
    rung = Rung("lean", 1, stages={"sample": 10**9})
    assert fits(rung, 10**9 + ASIDE_BYTES) and not fits(rung, 10**9 + ASIDE_BYTES - 1)


def test_what_would_fit_is_said():
    """And it is true."""
    said = suggest(FILES, FULL, Rung("fast", 1), 18 * 10**8, is_apart=True)
    frames, size = (
        re.fullmatch(r"--frames (\d+) or --size (\S+) would fit", said).groups()
        if "--frames" in said
        else (None, said.split()[1])
    )
    smaller = Size(*(int(side) for side in size.split("x")))
    assert fits(rungs_of(18 * 10**8, Work(smaller, 25, 2, 2, "fast"))[-1], 18 * 10**8)
    assert frames is None or fits(rungs_of(18 * 10**8, Work(FULL.size, int(frames), 2, 2, "fast"))[-1], 18 * 10**8)


@pytest.mark.parametrize(
    ("size", "frames", "branches", "clips"),
    [
        (Size(1024, 576), 25, 2, 2), (Size(1024, 576), 14, 2, 2), (Size(1024, 576), 25, 1, 2), (Size(576, 320), 25, 2, 2),
        (Size(576, 320), 14, 2, 4), (Size(256, 256), 14, 2, 4),
    ],
)  # fmt: skip
def test_as_many_clips_share_a_pass_as_gain_by_it(size, frames, branches, clips):
    """As measured on one H200: rows `together` of bench/results.csv."""
    work = Work(size, frames, branches, 2, "fast")
    assert count_together(FILES, work, rungs_of(work=work)[0], int(140e9)) == clips


def test_a_second_clip_in_a_pass_holds_what_was_measured():
    """8.58 GB for two and 5.63 GB for one on one H200."""

    def count(clips):
        work = replace(FULL, branches=2 * clips)
        return count_stages(FILES, work, Rung("fast", 1))["sample"]

    assert (count(2) - count(1)) / 2.95e9 == pytest.approx(1, abs=0.05)


def test_clips_share_a_pass_only_where_memory_allows():
    fast, lean, *_ = rungs_of()
    shared = count_stages(FILES, replace(FULL, branches=4), fast)["sample"] + ASIDE_BYTES
    assert count_together(FILES, FULL, fast, shared) == 2
    assert count_together(FILES, FULL, fast, shared - 1) == 1
    assert count_together(FILES, FULL, lean, int(140e9)) == 1
    assert count_together(FILES, replace(FULL, has_kernels=False), fast, int(140e9)) == 1, "a CPU gains nothing"
