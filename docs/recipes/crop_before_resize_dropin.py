"""Crop by hand before resizing, as people do for diffusers: the same script with its imports changed.

It is no longer needed: pipe(load_image(picture)) crops, and pipe(..., focus="0.5,0.33") crops around a point.
"""

import os

import torch

from unstill.compat import StableVideoDiffusionPipeline, export_to_video, load_image

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "stabilityai/stable-video-diffusion-img2vid-xt")
cuda = torch.cuda.is_available()

pipe = StableVideoDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float16 if cuda else torch.float32, variant="fp16")
pipe.to("cuda" if cuda else "cpu")

image = load_image(picture)
width = min(image.width, image.height * 16 // 9)
height = min(image.height, image.width * 9 // 16)
left, top = (image.width - width) // 2, (image.height - height) // 2
image = image.crop((left, top, left + width, top + height)).resize((1024, 576))

frames = pipe(image, generator=torch.manual_seed(42)).frames[0]
export_to_video(frames, "cropped.mp4", fps=7)
