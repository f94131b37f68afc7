"""Less memory for the same clip."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

# The same frames: parts wait in host memory, and feed-forwards run frame by frame.
animate(picture, model=model, seed=42, offload=True, forward_chunk=1).save("low_memory.mp4")
