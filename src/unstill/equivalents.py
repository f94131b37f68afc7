"""The same settings as numbers of diffusers, generative-models and ComfyUI. It does not know how a knob is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from unstill.errors import RequestError
from unstill.request import Request
from unstill.values import Size


@dataclass(frozen=True)
class Equivalent:
    """One knob as other tools write it; a tool that lacks the knob has a dash."""

    knob: str
    value: str
    diffusers: str
    generative_models: str
    comfyui: str


def equivalents(request: Request) -> list[Equivalent]:
    """Write settled settings as the numbers of diffusers, generative-models and ComfyUI."""
    r, dash = request, "–"
    if r.fps is None or r.guidance is None or r.noise is None:
        raise RequestError("settings must be settled before they can be compared")
    first, last = f"{r.guidance.first:g}", f"{r.guidance.last:g}"
    return [
        Equivalent("motion", str(r.motion), *(f"motion_bucket_id={r.motion}",) * 3),
        Equivalent(
            "noise", f"{r.noise:g}", f"noise_aug_strength={r.noise:g}", f"cond_aug={r.noise:g}",
            # ComfyUI adds the noise to pixels in [0, 1], ours are in [-1, 1]: half the number is the same noise.
            f"augmentation_level={r.noise / 2:g} (same noise; the model is then told {r.noise / 2:g})",
        ),
        Equivalent("fps", str(r.fps), f"fps={r.fps}", f"fps_id={r.fps - 1}", f"fps={r.fps}"),
        Equivalent("play-fps", f"{r.play_fps:g}", f"export_to_video(fps={r.play_fps:g})", dash, f"frame_rate={r.play_fps:g}"),
        Equivalent("frames", str(r.frames), f"num_frames={r.frames}", f"num_frames={r.frames}", f"video_frames={r.frames}"),
        Equivalent("steps", str(r.steps), f"num_inference_steps={r.steps}", f"num_steps={r.steps}", f"steps={r.steps}"),
        Equivalent(
            "guidance", str(r.guidance), f"min_guidance_scale={first}, max_guidance_scale={last}",
            f"min_scale={first}, max_scale={last}", f"min_cfg={first}, cfg={last}",
        ),
        Equivalent("size", str(r.size or "auto"), *_size_names(r.size)),
        Equivalent("decode-chunk", str(r.decode_chunk or r.frames), f"decode_chunk_size={r.decode_chunk or r.frames}",
                   f"decoding_t={r.decode_chunk or r.frames}", dash),
        Equivalent("seed", str(r.seed), f"generator=torch.manual_seed({r.seed})", f"seed={r.seed}", f"seed={r.seed}"),
        Equivalent("dtype", r.dtype, f"torch_dtype={_torch_name(r.dtype)}", dash, dash),
    ]  # fmt: skip


def _size_names(size: Size | None) -> tuple[str, str, str]:
    if size is None:
        return ("height=576, width=1024", "the picture's own", "width=1024, height=576")
    return (f"height={size.height}, width={size.width}", "the picture's own", f"width={size.width}, height={size.height}")


def _torch_name(dtype: str) -> str:
    return {"fp16": "torch.float16", "bf16": "torch.bfloat16", "fp32": "torch.float32"}.get(dtype, "auto")
