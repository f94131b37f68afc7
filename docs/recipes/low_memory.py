"""Less memory for the same clip."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

# The same frames in the smallest way. Without it, the fastest way that fits is taken.
animate(picture, model=model, seed=42, memory="tiny").save("low_memory.mp4")
