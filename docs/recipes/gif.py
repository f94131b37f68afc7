"""A GIF that plays at the right speed and stays under a size."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

clip = animate(picture, model=model, seed=42)
clip.save("clip.gif", play_fps=10, loop="ping-pong", max_bytes="5MB")
