"""The whole path on a GPU. Run by hand: python -m pytest tests/gpu -m gpu"""

import numpy as np
import pytest
import torch

from unstill import animate

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")]

TINY = {"size": "192x128", "frames": 5, "steps": 4, "seed": 5}


@pytest.fixture
def clip_of(miniature, photo):
    """Make a clip of the miniature."""
    return lambda **knobs: animate(photo, **{"model": str(miniature), "device": "cuda", **TINY, **knobs})


def test_a_seed_is_the_same_clip_on_a_gpu_and_a_cpu(clip_of):
    gpu, cpu = clip_of(dtype="fp32").frames.astype(int), clip_of(dtype="fp32", device="cpu").frames
    assert np.abs(gpu - cpu).max() <= 1


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_near_the_full(clip_of, dtype):
    half, full = clip_of(dtype=dtype), clip_of(dtype="fp32")
    assert half.report.dtype == dtype
    assert np.abs(half.frames.astype(int) - full.frames).mean() < 4


def test_auto_takes_the_gpu_in_fp16(clip_of):
    report = clip_of(device="auto").report
    assert (report.device, report.dtype) == ("cuda:0", "fp16")
    assert report.peak_bytes > 0


def test_offloading_gives_the_same_frames_in_less_memory(clip_of):
    stays, moves = clip_of(), clip_of(offload=True)
    assert np.array_equal(stays.frames, moves.frames)
    assert moves.report.peak_bytes < stays.report.peak_bytes


@pytest.mark.parametrize("knobs", [{"forward_chunk": 1}, {"forward_chunk": 3}])
def test_forward_chunks_give_nearly_the_same_frames(clip_of, knobs):
    difference = np.abs(clip_of(dtype="fp32", **knobs).frames.astype(int) - clip_of(dtype="fp32").frames)
    assert difference.max() <= 1


def test_the_vae_is_in_its_own_dtype_again_after_encoding(miniature, photo):
    from unstill.models import Keep

    keep = Keep()
    first = animate(photo, load=keep, model=str(miniature), device="cuda", **TINY)
    engine = keep._kept[1]
    assert {p.dtype for p in engine.vae.parameters()} == {torch.float16}
    assert np.array_equal(first.frames, animate(photo, load=keep, model=str(miniature), device="cuda", **TINY).frames)
