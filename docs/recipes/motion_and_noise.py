"""More motion, three ways: ask for it, free it from the picture, or try another seed."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

for name, knobs in {
    "calm": {"motion": 60},
    "usual": {"motion": 127},
    "lively": {"motion": 180, "noise": 0.1},
}.items():
    clip = animate(picture, model=model, seed=42, **knobs)
    clip.save(f"motion_{name}.mp4")
    print(f"{name}: neighbouring frames differ by {clip.report.mean_change:.1f} grey levels")
