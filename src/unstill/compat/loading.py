"""From what a script gives to `from_pretrained` to the model's files and the settings to begin with.

It does not load weights: the engine does, at the first call, when it is known where they belong.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from unstill.artifacts import ModelFiles
from unstill.catalog.find import find_model
from unstill.catalog.hub import Hub
from unstill.catalog.pull import carry_out, plan_pull
from unstill.compat.bar import show_bar
from unstill.compat.parts import Settings, tell
from unstill.errors import ModelMissing, RequestError
from unstill.memory.machine import look_at_machine
from unstill.request import KNOBS

# How files are read and checked is not for the caller to say here: always safetensors, mapped, verified.
NOT_NEEDED = {"use_safetensors", "low_cpu_mem_usage", "disable_mmap", "offload_state_dict", "offload_folder", "max_memory"}
NOT_NEEDED |= {"force_download"}
SPREAD = ("auto", "balanced")  # device maps that leave the choice


@dataclass(frozen=True)
class Wishes:
    """The arguments of `from_pretrained` that are carried out."""

    torch_dtype: Any = None
    dtype: Any = None  # the newer name of the same
    variant: str | None = None
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool | None = None
    token: str | Literal[False] | None = None
    device_map: str | None = None

    @property
    def cache(self) -> Path | None:
        """The folder of the cache, if another than the usual one."""
        return None if self.cache_dir is None else Path(self.cache_dir)

    @property
    def prefer(self) -> Literal["fp16", "fp32"]:
        """Which weights: those of the variant, else those that are enough for the dtype."""
        return "fp16" if self.variant == "fp16" or self.settle_dtype() != "fp32" else "fp32"

    def settle_dtype(self) -> str:
        """Return the dtype by our name; diffusers takes float32 when nothing is said."""
        given = self.torch_dtype if self.torch_dtype is not None else self.dtype
        return "fp32" if given is None else read_dtype(given)


def read_dtype(given: Any) -> str:
    """Read a torch dtype, or its name."""
    try:
        name: str = KNOBS["dtype"].read(str(given))
    except ValueError as error:
        raise RequestError(f"torch_dtype {error}") from error
    return name


def read_wishes(keywords: Mapping[str, Any]) -> Wishes:
    """Read the keywords of `from_pretrained`."""
    names = [field.name for field in fields(Wishes)]
    for name in keywords.keys() - NOT_NEEDED - {*names}:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"unstill knows {', '.join(names)}"
        raise TypeError(f"from_pretrained() got an unexpected keyword argument {name!r}; {hint}")
    wishes = Wishes(**{name: value for name, value in keywords.items() if name in names})
    if keywords.get("token") is True:  # "the login that is stored", in huggingface_hub's words
        wishes = replace(wishes, token=None)
    if wishes.variant not in (None, "fp16", "fp32"):
        raise RequestError(f"variant must be fp16 or None, not {wishes.variant!a}")
    return wishes


def begin(wishes: Wishes) -> Settings:
    """Settle where and in which dtype the model is to run."""
    where = "auto" if wishes.device_map in SPREAD else wishes.device_map or "cpu"
    return Settings(device=find_device(where), dtype=wishes.settle_dtype())


def find_device(given: Any) -> str:
    """Return the name of a device that is here."""
    try:
        name: str = KNOBS["device"].read(f"cuda:{given}" if type(given) is int else str(given))
    except ValueError as error:
        raise RequestError(f"device {error}") from error
    return look_at_machine(name).device


def find_or_pull(name: str, wishes: Wishes) -> ModelFiles:
    """Find the model's files here, or fetch them as diffusers does."""
    try:
        files = _find(name, wishes)
    except ModelMissing:
        if wishes.local_files_only or is_offline():
            raise
        _pull(name, wishes)
        files = _find(name, wishes)
    if wishes.prefer == "fp32" and any(".fp16" in path.name for paths in files.weights.values() for path in paths):
        tell("float32 was asked for, but the weights that are here are rounded to fp16; they are used", above=2)
    return files


def _find(name: str, wishes: Wishes) -> ModelFiles:
    files = find_model(name, prefer=wishes.prefer, revision=wishes.revision, cache=wishes.cache)
    if files.layout == "bundled":
        text = f"{files.name} is not Stable Video Diffusion, which this pipeline runs"
        raise ModelMissing(text, hint="unstill.animate runs it")
    return files


def is_offline() -> bool:
    """Say whether the hub's own setting keeps us off the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _pull(name: str, wishes: Wishes) -> None:
    """Fetch a model, with a bar on standard error and the terms that it came with."""
    standard = Hub.standard()
    hub = replace(standard, cache=wishes.cache or standard.cache, token=wishes.token)
    plan = plan_pull(name, full_precision=wishes.prefer == "fp32", revision=wishes.revision, hub=hub)
    print(f"{plan.name}: licence {plan.licence} {plan.licence.link or ''}".rstrip(), file=sys.stderr)
    with show_bar(plan.name, plan.total_bytes, {}, is_bytes=True) as show:
        carry_out(plan, lambda progress: show(progress.done_bytes))
