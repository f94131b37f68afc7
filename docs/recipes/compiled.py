"""Many clips from one compiled model. The first clip waits for the compiler, for minutes at full size."""

import os

import torch

from unstill import animate
from unstill.models import load_engine

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")
loaded = []


def load_compiled(plan):
    """Load and compile at the first clip; give the same engine to the next."""
    if not loaded:
        engine = load_engine(plan)
        engine.unet = torch.compile(engine.unet, mode="reduce-overhead", fullgraph=True)
        loaded.append(engine)
    return loaded[0]


for seed in (42, 43):
    animate(picture, model=model, seed=seed, load=load_compiled).save(f"compiled_{seed}.mp4")
