"""Offloading, forward chunking and small decode chunks: a script for diffusers with its imports changed."""

import os

import torch

from unstill.compat import StableVideoDiffusionPipeline, export_to_video, load_image

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "stabilityai/stable-video-diffusion-img2vid-xt")
cuda = torch.cuda.is_available()

pipe = StableVideoDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float16 if cuda else torch.float32, variant="fp16")
pipe.enable_model_cpu_offload()
pipe.unet.enable_forward_chunking()

image = load_image(picture)
frames = pipe(image, decode_chunk_size=2, generator=torch.manual_seed(42), num_frames=25).frames[0]
export_to_video(frames, "low_memory.mp4", fps=7)
