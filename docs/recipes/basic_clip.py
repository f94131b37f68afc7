"""One picture in, one clip out."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

clip = animate(picture, model=model, seed=42)
clip.save("basic_clip.mp4")
print(clip.report.size, "saved as", "basic_clip.mp4")
