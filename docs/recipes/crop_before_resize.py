"""Keep what matters when the picture has another shape than the clip; nothing is ever stretched unasked."""

import os

from unstill import animate

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "svd-xt")

# Without a size the clip takes the picture's own shape, and next to nothing is cut away.
animate(picture, model=model, seed=42).save("own_shape.mp4")

# With a size the picture is cropped to its shape, around a point of yours: here a third from the top.
animate(picture, model=model, seed=42, size="576x576", focus="0.5,0.33").save("square.mp4")

# Or nothing is cut away: the rest of the clip is filled with a blurred copy.
animate(picture, model=model, seed=42, size="576x576", fit="blur").save("whole.mp4")
