"""A compiled UNet: a script for diffusers with its imports changed. The first clip waits for the compiler."""

import os

import torch

from unstill.compat import StableVideoDiffusionPipeline, export_to_video, load_image

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "stabilityai/stable-video-diffusion-img2vid-xt")
cuda = torch.cuda.is_available()

pipe = StableVideoDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float16 if cuda else torch.float32, variant="fp16")
pipe.to("cuda" if cuda else "cpu")
pipe.unet = torch.compile(pipe.unet, mode="reduce-overhead", fullgraph=True)

image = load_image(picture)
for seed in (42, 43):
    frames = pipe(image, decode_chunk_size=8, generator=torch.manual_seed(seed)).frames[0]
    export_to_video(frames, f"compiled_{seed}.mp4", fps=7)
