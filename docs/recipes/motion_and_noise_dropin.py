"""More motion and more noise: a script for diffusers with its imports changed."""

import os

import torch

from unstill.compat import StableVideoDiffusionPipeline, export_to_video, load_image

picture = os.environ.get("UNSTILL_EXAMPLE_PICTURE", "photo.jpg")
model = os.environ.get("UNSTILL_EXAMPLE_MODEL", "stabilityai/stable-video-diffusion-img2vid-xt")
cuda = torch.cuda.is_available()

pipe = StableVideoDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float16 if cuda else torch.float32, variant="fp16")
pipe.to("cuda" if cuda else "cpu")
image = load_image(picture)

for name, motion_bucket_id, noise_aug_strength in (("calm", 60, 0.02), ("usual", 127, 0.02), ("lively", 180, 0.1)):
    frames = pipe(
        image,
        generator=torch.manual_seed(42),
        motion_bucket_id=motion_bucket_id,
        noise_aug_strength=noise_aug_strength,
    ).frames[0]
    export_to_video(frames, f"motion_{name}.mp4", fps=7)
