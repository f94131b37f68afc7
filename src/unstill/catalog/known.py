"""The models that unstill knows by name, and how a written name is understood.

It does not know where their files are, nor how they are fetched.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from unstill.request import BUNDLED

PARAMETERS = 1_524_623_082 + 97_742_847 + 632_076_800  # UNet, VAE and CLIP's image tower, the same in all of them


@dataclass(frozen=True)
class KnownModel:
    """One checkpoint that people know: what it is called, where it comes from, what to expect."""

    name: str
    repository: str
    family: str
    frames: int
    about: str
    single_files: tuple[str, ...]  # as in the repository and on the disks of people who use ComfyUI
    gated: bool = False

    def expected_bytes(self, variant: str) -> int:
        """Say how large the weights are, within a thousandth: the headers of the files come on top."""
        return PARAMETERS * (2 if variant == "fp16" else 4)


_MODELS = (
    KnownModel(
        "svd",
        "stabilityai/stable-video-diffusion-img2vid",
        "svd",
        14,
        "14 frames, 2 s at 7 fps: the first one, and the quickest.",
        ("svd.safetensors", "svd_image_decoder.safetensors"),
    ),
    KnownModel(
        "svd-xt",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "svd-xt",
        25,
        "25 frames, 3.6 s at 7 fps: what most people use.",
        ("svd_xt.safetensors", "svd_xt_image_decoder.safetensors"),
    ),
    KnownModel(
        "svd-xt-1.1",
        "stabilityai/stable-video-diffusion-img2vid-xt-1-1",
        "svd-xt-1.1",
        25,
        "25 frames, tuned at 6 fps and motion 127 for steadier clips; its licence must be accepted first.",
        ("svd_xt_1_1.safetensors",),
        gated=True,
    ),
)
CATALOG: Mapping[str, KnownModel] = MappingProxyType({model.name: model for model in _MODELS})


def look_up(name: str) -> KnownModel | None:
    """Find a known model by its short name or by its repository, however it is capitalised or hyphenated."""
    wanted = _plain(name)
    return next((model for model in _MODELS if wanted in (_plain(model.name), _plain(model.repository))), None)


def _plain(name: str) -> str:
    return re.sub(r"[_.]", "-", name.strip().lower())


def is_repository(name: str) -> bool:
    """Say whether a name can be a repository of the hub, OWNER/NAME."""
    part = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
    # The hub forbids -- and .. itself; they would also be ambiguous or harmful in the names of the cache's folders.
    return re.fullmatch(f"{part}/{part}", name) is not None and "--" not in name and ".." not in name


def suggest(name: str) -> str | None:
    """Return the known name that is nearest to a misspelt one."""
    names = {_plain(spelling): model.name for model in _MODELS for spelling in (model.name, model.repository)}
    names[BUNDLED] = BUNDLED
    near = difflib.get_close_matches(_plain(name), names, n=1)
    return names[near[0]] if near else None
