"""What goes wrong in diffusers 0.42, shown to go wrong there, and shown to be right here."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline as Theirs
from diffusers.utils import export_to_gif as their_export_to_gif
from PIL import Image, ImageSequence

from miniature import make_miniature
from unstill.compat import StableVideoDiffusionPipeline as Ours
from unstill.compat import export_to_gif, export_to_video
from unstill.errors import ResultError, UnstillError

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {"height": 64, "width": 64, "num_frames": 3, "num_inference_steps": 1, "output_type": "np"}


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    return make_miniature(tmp_path_factory.mktemp("thin"), is_thin=True)


@pytest.fixture(scope="module")
def theirs(thin):
    pipe = Theirs.from_pretrained(thin)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def ours(thin):
    pipe = Ours.from_pretrained(thin)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(seed: int = 0, width: int = 64, height: int = 64) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def latents(clips: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(clips, 3, 4, 8, 8, generator=torch.manual_seed(seed))


def difference(a, b) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


# ---- batches ---------------------------------------------------------------------------------------------------


def test_two_clips_of_two_pictures_mix_the_pictures_up(theirs, ours):
    """diffusers pairs encoded pictures a, b, a, b with embeddings a, a, b, b; here both go a, a, b, b."""
    a, b, start = picture(1), picture(2), latents(4)
    call = {**SMALL, "noise_aug_strength": 0.0}

    def mixed(pipe) -> list[float]:
        together = pipe([a, b], num_videos_per_prompt=2, latents=start, **call).frames
        alone = [pipe(one, latents=start[i : i + 1], **call).frames[0] for i, one in enumerate((a, a, b, b))]
        return [difference(x, y) for x, y in zip(together, alone, strict=True)]

    wrong = mixed(theirs)
    assert max(wrong[0], wrong[3]) < 1e-4, "the outer two happen to be paired rightly"
    assert min(wrong[1], wrong[2]) > 0.01
    assert mixed(ours) == [0.0] * 4


def test_a_clip_depends_on_its_neighbours(theirs, ours):
    """With one generator for all, where b's noise lies in the stream depends on how many pictures come before it.

    `generator` must mean here what it means there; `seed`, and a list of generators, give each clip its own.
    """
    a, b = picture(1), picture(2)

    def b_alone_and_after_a(pipe, **draw) -> float:
        alone = pipe(b, **{name: make() for name, make in draw.items()}, **SMALL).frames[0]
        return difference(alone, pipe([a, b], **{name: make() for name, make in draw.items()}, **SMALL).frames[1])

    assert b_alone_and_after_a(theirs, generator=lambda: torch.manual_seed(0)) > 0.01
    assert b_alone_and_after_a(ours, seed=lambda: 0) == 0.0


def test_a_decode_chunk_reaches_over_two_clips(theirs, ours):
    """diffusers lays all clips end to end and decodes chunk by chunk: two frames of three, then one of each clip."""
    pictures, start = [picture(1), picture(2)], latents(2)
    call = {**SMALL, "noise_aug_strength": 0.0, "decode_chunk_size": 2}

    def second_alone_and_after_first(pipe) -> float:
        alone = pipe(pictures[1], latents=start[1:], **call).frames[0]
        return difference(alone, pipe(pictures, latents=start, **call).frames[1])

    assert second_alone_and_after_first(theirs) > 0.001
    assert second_alone_and_after_first(ours) == 0.0


# ---- pictures --------------------------------------------------------------------------------------------------

TENSOR = torch.from_numpy(np.asarray(picture(3, 96, 96)).copy()).permute(2, 0, 1) / 255
INPUTS = {
    "greyscale": (picture(3).convert("L"), picture(3).convert("L").convert("RGB")),
    "with transparency": (picture(3).convert("RGBA"), picture(3)),
    "a palette": (picture(3).quantize(16), picture(3).quantize(16).convert("RGB")),
    "a full-size tensor": (TENSOR[None], picture(3, 96, 96)),
    "a tensor of one picture": (TENSOR, picture(3, 96, 96)),
    "an array": (np.asarray(picture(3)) / np.float32(255), picture(3)),
    "an array of bytes": (np.asarray(picture(3)), picture(3)),
}


@pytest.mark.parametrize(("given", "meant"), INPUTS.values(), ids=INPUTS)
def test_pictures_that_are_not_rgb_images_break(theirs, ours, given, meant):
    """diffusers raises, from inside numpy, torch or transformers; here each is the picture that it shows."""
    with pytest.raises(Exception) as raised:
        theirs(given, **SMALL)
    assert not isinstance(raised.value, UnstillError)
    frames, wanted = (ours(one, generator=torch.manual_seed(0), **SMALL).frames for one in (given, meant))
    assert difference(frames, wanted) == 0.0


def test_pictures_of_different_sizes_break(theirs, ours):
    mixed = [picture(1), picture(2, 96, 64)]
    with pytest.raises(ValueError):
        theirs(mixed, **SMALL)
    assert ours(mixed, **SMALL).frames.shape == (2, 3, 64, 64, 3)


def test_pictures_are_stretched(theirs, ours):
    """A picture of twice the width is squeezed in diffusers; here it is cropped, and told is how to get the old clip."""
    wide, call = picture(1, 128, 64), {**SMALL, "latents": latents(1)}
    call["noise_aug_strength"] = 0.0
    stretched = theirs(wide, **call).frames
    with pytest.warns(UserWarning, match='fit="stretch" gives the old result'):
        cropped = ours(wide, **call).frames
    assert difference(cropped, ours(wide.crop((32, 0, 96, 64)), **call).frames) == 0.0
    assert difference(ours(wide, fit="stretch", **call).frames, stretched) < 1e-4  # test_compat.py holds that it is exact
    assert difference(cropped, stretched) > 0.01


def test_sides_that_are_not_multiples_of_8_are_refused(theirs, ours):
    with pytest.raises(ValueError, match="divisible by 8"):
        theirs(picture(), **{**SMALL, "height": 70})
    assert ours(picture(), **{**SMALL, "height": 70}).frames.shape == (1, 3, 70, 64, 3)


# ---- arithmetic ------------------------------------------------------------------------------------------------


def test_guidance_that_falls_to_1_crashes(theirs, ours):
    """diffusers decides by the maximum whether to guide, and later by the largest of all frames."""
    call = {**SMALL, "min_guidance_scale": 3.0, "max_guidance_scale": 1.0}
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        theirs(picture(), **call)
    assert np.isfinite(ours(picture(), **call).frames).all()


def test_the_vae_stays_in_float32_after_an_error_while_encoding(thin):
    """So every later call fails with a dtype error; here the VAE is in its own dtype again.

    Of two frames, as decoding one in float16 takes a CPU a second.
    """
    call = {**SMALL, "num_frames": 2}

    def fail(module, inputs):
        raise MemoryError("as when the device is full")

    def call_after_error(pipe, encoder):
        hook = encoder.register_forward_pre_hook(fail)
        with pytest.raises(MemoryError):
            pipe(picture(), **call)
        hook.remove()
        return pipe(picture(), generator=torch.manual_seed(0), **call).frames

    theirs = Theirs.from_pretrained(thin, torch_dtype=torch.float16)
    with pytest.raises(RuntimeError, match="should be the same"):
        call_after_error(theirs, theirs.vae.encoder)

    ours = Ours.from_pretrained(thin, torch_dtype=torch.float16)
    before = ours(picture(), generator=torch.manual_seed(0), **call).frames
    after = call_after_error(ours, ours._loaded.vae.encoder)
    assert difference(before, after) == 0.0


def test_forward_chunking_wants_a_divisor(thin, ours):
    theirs = Theirs.from_pretrained(thin)
    theirs.unet.enable_forward_chunking(chunk_size=2, dim=1)
    with pytest.raises(ValueError, match="has to be divisible by chunk size"):
        theirs(picture(), **SMALL)
    ours.unet.enable_forward_chunking(chunk_size=2, dim=1)
    chunked = ours(picture(), generator=torch.manual_seed(0), **SMALL).frames
    ours.unet.disable_forward_chunking()
    assert difference(chunked, ours(picture(), generator=torch.manual_seed(0), **SMALL).frames) <= 1e-4


def test_forward_chunking_cannot_be_switched_off(theirs, ours):
    with pytest.raises(AttributeError):
        theirs.unet.disable_forward_chunking()
    ours.unet.enable_forward_chunking()
    ours.unet.disable_forward_chunking()
    assert ours.settings.forward_chunk is None


def test_a_channels_last_unet_is_an_error(theirs, ours):
    """torch has no such order for the five-dimensional weights of temporal convolutions."""
    with pytest.raises(RuntimeError, match="rank 4"):
        theirs.unet.to(memory_format=torch.channels_last)
    with pytest.warns(UserWarning, match="not needed"):
        ours.unet.to(memory_format=torch.channels_last)


def test_a_callback_that_returns_nothing_crashes(theirs, ours):
    with pytest.raises(AttributeError, match="NoneType"):
        theirs(picture(), callback_on_step_end=lambda *_: None, **SMALL)
    assert ours(picture(), callback_on_step_end=lambda *_: None, **SMALL).frames.shape == (1, 3, 64, 64, 3)


# ---- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["np", "pil", "latent"])
def test_what_is_not_a_number_becomes_a_black_frame(theirs, ours, kind):
    """diffusers turns NaN into 0 where it rounds to bytes; here the call says that the clip is broken."""
    broken = latents(1)
    broken[0, 1] = torch.nan
    frames = theirs(picture(), latents=broken, **{**SMALL, "output_type": "pil"}).frames[0]
    assert min(np.asarray(frame).max() for frame in frames) == 0
    with pytest.raises(ResultError, match="not finite"):
        ours(picture(), latents=broken, **{**SMALL, "output_type": kind})


@pytest.mark.parametrize("export", [export_to_video, export_to_gif])
def test_a_frame_that_is_not_finite_is_never_written(tmp_path, export):
    """diffusers writes it black: `export_to_video` casts NaN to a byte. That export needs imageio or OpenCV and is not run."""
    frames = np.full((3, 64, 64, 3), 0.5, np.float32)
    assert (frames[0] * np.nan * 255).astype(np.uint8).max() == 0, "what the export of diffusers does to each frame"
    frames[1, 5, 5] = np.nan
    with pytest.raises(ResultError, match="1 of 3 frames are not finite, the first is frame 2"):
        export(frames, str(tmp_path / "clip.gif"))
    assert list(tmp_path.iterdir()) == []


def test_frames_of_bytes_are_written_as_they_are(tmp_path):
    """diffusers multiplies bytes by 255 once more, which wraps around: 1 becomes 255, 2 becomes 254."""
    assert (np.array([1, 2], np.uint8) * 255).astype(np.uint8).tolist() == [255, 254], "what its export does to an array"
    grey = np.full((3, 64, 64, 3), 200, np.uint8)
    path = export_to_video(grey, str(tmp_path / "clip.mp4"))
    assert abs(int(read_video(path)[0].mean()) - 200) <= 2


def read_video(path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("size", [(1000, 568), (70, 50), (64, 42)])
def test_sizes_are_rescaled_in_a_file(tmp_path, size):
    """imageio makes 1008x576 of 1000x568 unless told otherwise; it is not installed here, so that is not run."""
    frames = [picture(i, *size) for i in range(3)]
    video = read_video(export_to_video(frames, str(tmp_path / "clip.mp4"), fps=7))
    assert video.shape == (3, size[1], size[0], 3)


def test_an_mp4_cannot_play_before_all_of_it_has_come(tmp_path):
    """imageio leaves the index at the end of the file (not run: not installed); here it comes before the frames."""
    content = (tmp_path / "clip.mp4", export_to_video([picture(i) for i in range(3)], str(tmp_path / "clip.mp4")))[
        0
    ].read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def seconds(path) -> float:
    with Image.open(path) as image:
        return sum(frame.info["duration"] for frame in ImageSequence.Iterator(image)) / 1000


@pytest.mark.parametrize(("fps", "their_fps"), [(30, 100 / 3), (60, 100)])
def test_a_gif_plays_too_fast(tmp_path, fps, their_fps):
    """GIF counts in hundredths of a second: 1000 // 30 = 33 ms is stored as 3 hundredths, 16 ms as 1."""
    frames = [picture(i) for i in range(60)]
    assert seconds(their_export_to_gif(frames, str(tmp_path / "theirs.gif"), fps=fps)) == pytest.approx(60 / their_fps)
    ours = seconds(export_to_gif(frames, str(tmp_path / "ours.gif"), fps=fps))
    assert ours == pytest.approx(60 / fps, abs=0.011)


def test_a_gif_of_a_still_clip_has_one_frame(tmp_path):
    """Pillow merges identical frames into one."""
    still = [picture()] * 5

    def count(path) -> int:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1)

    assert count(their_export_to_gif(still, str(tmp_path / "theirs.gif"), fps=10)) == 1
    assert count(export_to_gif(still, str(tmp_path / "ours.gif"), fps=10)) == 5
