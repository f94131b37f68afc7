"""A GIF: a script for diffusers with its imports changed."""

import os

import torch

from unstill.compat import StableVideoDiffusionPipeline, export_to_gif, load_image

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "stabilityai/stable-video-diffusion-img2vid-xt")
cuda = torch.cuda.is_available()

pipe = StableVideoDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float16 if cuda else torch.float32, variant="fp16")
pipe.to("cuda" if cuda else "cpu")

frames = pipe(load_image(picture), generator=torch.manual_seed(42)).frames[0]
export_to_gif(frames, "clip.gif", fps=10)
