"""What we say of diffusers, held against the pinned diffusers."""

import inspect

from diffusers import StableVideoDiffusionPipeline

from unstill.request import PRESETS, Request, settle
from unstill.values import Guidance, Size


def test_the_default_preset_is_the_diffusers_pipeline():
    """Read from the signature of the pinned diffusers, not from memory."""
    theirs = {name: p.default for name, p in inspect.signature(StableVideoDiffusionPipeline.__call__).parameters.items()}
    ours = settle(Request(), "svd-xt", 25)
    assert ours.guidance == Guidance(theirs["min_guidance_scale"], theirs["max_guidance_scale"])
    assert (ours.steps, ours.fps, ours.motion) == (theirs["num_inference_steps"], theirs["fps"], theirs["motion_bucket_id"])
    assert ours.noise == theirs["noise_aug_strength"]
    assert PRESETS["default"].area == Size(theirs["width"], theirs["height"])
