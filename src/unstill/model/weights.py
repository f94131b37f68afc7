"""Files become networks: read strictly, or refused before a device is touched.

Only safetensors is read: the other formats run code when opened. Every tensor must be there, in the right shape
and as floating-point numbers, and nothing may be left over but what `names.UNNEEDED` lists. It does not know
where files come from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from unstill.artifacts import ModelFiles
from unstill.errors import WeightsError
from unstill.model.clip import ImageTower
from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig
from unstill.model.names import CONDITIONER, LOST_CONDITIONER, UNNEEDED, Config, Stored, list_stored
from unstill.model.unet import UNet
from unstill.model.vae import VAE
from unstill.values import show

Header = dict[str, tuple[str, tuple[int, ...]]]


class Found(NamedTuple):
    """A tensor that is in a file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]


class Wanted(NamedTuple):
    """A tensor that must be in a file."""

    stored: Stored
    shape: tuple[int, ...]


KINDS: dict[str, type[UNetConfig] | type[VAEConfig] | type[CLIPConfig]] = {
    "unet": UNetConfig,
    "vae": VAEConfig,
    "image_encoder": CLIPConfig,
}

LARGEST_HEADER_BYTES = 16 << 20  # the single file's 2,600 names take 0.4 MB
NAMED = 5  # tensors named in one error
FLOATS = ("F16", "BF16", "F32", "F64")
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
DOWNLOAD_AGAIN = "download the file again; the copy is broken"
OTHER_MODEL = "check that weights and config.json belong together and are Stable Video Diffusion's"


def load_unet(files: ModelFiles, dtype: torch.dtype, device: str, *, mapped: bool = False) -> UNet:
    """Load the UNet onto a device."""
    unet: UNet = _load("unet", files, dtype, device, mapped=mapped)
    return unet


def load_vae(files: ModelFiles, dtype: torch.dtype, device: str, *, mapped: bool = False) -> VAE:
    """Load the VAE onto a device."""
    vae: VAE = _load("vae", files, dtype, device, mapped=mapped)
    return vae


def load_image_tower(files: ModelFiles, dtype: torch.dtype, device: str, *, mapped: bool = False) -> ImageTower:
    """Load CLIP's image tower onto a device."""
    tower: ImageTower = _load("image_encoder", files, dtype, device, mapped=mapped)
    return tower


def read_header(path: Path) -> Header:
    """Return the dtype and shape of every tensor, having checked that the file is whole; tensors are not read."""
    if not path.is_file():
        found = "is not a regular file" if path.exists() else "is missing"
        raise WeightsError(f"{path.name} {found}", hint="download the model again, or check the path")
    try:
        with path.open("rb") as file:
            size_bytes, first = path.stat().st_size, file.read(64)
            length = _check_start(path, first, size_bytes)
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read: {error.strerror}", hint="check its permissions") from error
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, "its header is not JSON") from error
    return _check_entries(path, entries, size_bytes - 8 - length)


# ---- headers -------------------------------------------------------------------------------------------------


def _broken(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path.name} is not a whole safetensors file: {why}", hint=DOWNLOAD_AGAIN)


def _check_start(path: Path, first: bytes, size_bytes: int) -> int:
    """Return the length of the header, if it can be one."""
    # A header of 128 bytes also begins with a pickle's first byte; after its length comes a brace.
    if first.startswith((b"\x80", b"PK\x03\x04")) and first[8:9] != b"{":
        raise WeightsError(
            f"{path.name} is a pickle, which may run code when it is opened; only .safetensors files are read",
            hint="the published repositories hold the same weights as .safetensors",
        )
    if first.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path.name} is a git-lfs pointer, not the file itself", hint="git lfs pull fetches the file")
    length = int.from_bytes(first[:8], "little")
    if len(first) < 8 or length > min(LARGEST_HEADER_BYTES, size_bytes - 8):
        raise _broken(path, f"it announces a header of {length:,} bytes, in a file of {size_bytes:,}")
    return length


def _check_entries(path: Path, entries: Any, data_bytes: int) -> Header:
    if not isinstance(entries, dict):
        raise _broken(path, "its header is not a table")
    entries.pop("__metadata__", None)
    spans: list[tuple[int, int]] = []
    header: Header = {}
    for name, entry in entries.items():
        header[name], span = _check_entry(path, name, entry)
        spans.append(span)
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise _broken(path, f"its tensors overlap or leave a gap at byte {end:,}")
        end = stop
    if end != data_bytes:
        raise _broken(path, f"{data_bytes:,} bytes of tensors found, {end:,} announced")
    return header


def _check_entry(path: Path, name: str, entry: Any) -> tuple[tuple[str, tuple[int, ...]], tuple[int, int]]:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, shape, span = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _broken(path, f"{show(name)} is of the unknown type {show(dtype)}")
    if not _are_sizes(shape) or not _are_sizes(span) or len(span) != 2:
        raise _broken(path, f"the header's entry for {show(name)} is {show(entry)}")
    if span[1] - span[0] != math.prod(shape) * BITS[dtype] // 8:
        raise _broken(path, f"{show(name)} is said to be {dtype} {shape} in {span[1] - span[0]:,} bytes")
    return (dtype, tuple(shape)), (span[0], span[1])


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 1 << 48 for v in values)


# ---- networks ------------------------------------------------------------------------------------------------


def _load(part: str, files: ModelFiles, dtype: torch.dtype, device: str, *, mapped: bool) -> Any:
    config = read_config(part, files)
    found = _read_headers(_list_paths(part, files))
    wanted = list_wanted(files.layout, config)
    _check_tensors(part, files, wanted, found)
    network = _build(config)  # on no device yet
    network.load_state_dict(_read_tensors(wanted, found, dtype, device, mapped=mapped), assign=True)
    return network.requires_grad_(False).eval()


def read_config(part: str, files: ModelFiles) -> Config:
    """Read the part's config; a single file that comes without is taken for the published model."""
    config = files.configs.get(part)
    if config is not None:
        return KINDS[part].from_dict(config)
    if files.layout == "diffusers":
        raise WeightsError(f"{part}/config.json is missing", hint="download the model again, with its config files")
    return KINDS[part]()


def _list_paths(part: str, files: ModelFiles) -> Sequence[Path]:
    return files.weights["checkpoint" if files.layout == "single-file" else part]


def _build(config: Config) -> nn.Module:
    with torch.device("meta"):  # nothing is allocated and initialised, only to be overwritten
        if isinstance(config, UNetConfig):
            return UNet(config)
        return VAE(config) if isinstance(config, VAEConfig) else ImageTower(config)


@lru_cache(maxsize=16)
def list_wanted(layout: str, config: Config) -> Mapping[str, Wanted]:
    """Say for each of our tensors where it is and what shape the file must hold."""
    shapes = {name: tuple(tensor.shape) for name, tensor in _build(config).state_dict().items()}
    places = list_stored(layout, config, shapes)
    return {name: Wanted(stored, stored.shape_for(shapes[name])) for name, stored in places.items()}


def _list_allowed(files: ModelFiles) -> set[str]:
    """Name what else may be in the file: in a single file, the other parts."""
    if files.layout == "diffusers":
        return set()
    parts = (list_wanted(files.layout, read_config(part, files)) for part in KINDS)
    return {wanted.stored.name for part in parts for wanted in part.values()}


def _read_headers(paths: Sequence[Path]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for path in paths:
        for name, (dtype, shape) in read_header(path).items():
            if name in found:
                raise WeightsError(f"{show(name)} is in both {found[name].path.name} and {path.name}", hint=DOWNLOAD_AGAIN)
            found[name] = Found(path, dtype, shape)
    return found


def _check_tensors(part: str, files: ModelFiles, wanted: Mapping[str, Wanted], found: Mapping[str, Found]) -> None:
    """Refuse files that hold less, more or other than the part's tensors."""
    shapes = {w.stored.name: w.shape for w in wanted.values()}
    allowed, tolerated = _list_allowed(files), UNNEEDED[files.layout]
    here = {name: (found[name], shape) for name, shape in shapes.items() if name in found}
    wrong = {
        "missing": [name for name in shapes if name not in found],
        "left over": [n for n in found if n not in shapes and n not in allowed and not tolerated.fullmatch(n)],
        "of another shape": [
            f"{name}: {list(got.shape)} in place of {list(shape)}" for name, (got, shape) in here.items() if got.shape != shape
        ],
        f"not of {', '.join(FLOATS)}": [f"{name}: {got.dtype}" for name, (got, _) in here.items() if got.dtype not in FLOATS],
    }
    if any(wrong.values()):
        names = ", ".join(path.name for path in _list_paths(part, files))
        is_lost = any(name.startswith(CONDITIONER) for name in wrong["missing"])
        hint = LOST_CONDITIONER if is_lost else OTHER_MODEL
        raise WeightsError(f"{names} does not hold the {part} of this model: {_describe(wrong)}", hint=hint)


def _describe(wrong: Mapping[str, Sequence[str]]) -> str:
    """Count each kind of defect and name the first few tensors."""
    left, said = NAMED, []
    for kind, names in wrong.items():
        if names:
            shown = "; ".join(names[: max(left, 1)])
            more = "; …" if len(names) > max(left, 1) else ""
            said.append(f"{len(names)} {kind} ({shown}{more})")
            left -= len(names)
    return ", ".join(said)


def _read_tensors(
    wanted: Mapping[str, Wanted], found: Mapping[str, Found], dtype: torch.dtype, device: str, *, mapped: bool
) -> dict[str, Tensor]:
    """Read, cast and move one tensor after the other: the host never holds the part twice, and mapped not even once."""
    state: dict[str, Tensor] = {}
    for path in {found[w.stored.name].path: None for w in wanted.values()}:
        with _open(path) as opened:
            for name, (stored, shape) in wanted.items():
                if found[stored.name].path == path:
                    tensor = _take(opened, stored, shape)
                    # A copy even where nothing changes: the file may be replaced while the network lives.
                    state[name] = tensor.to(device, dtype, copy=not mapped, memory_format=torch.contiguous_format)
    return state


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise _broken(path, str(error)) from error


def _take(opened: Any, stored: Stored, shape: tuple[int, ...]) -> Tensor:
    if stored.third is not None:
        rows = shape[0] // 3
        third: Tensor = opened.get_slice(stored.name)[stored.third * rows : (stored.third + 1) * rows]
        return third
    tensor: Tensor = opened.get_tensor(stored.name)
    if stored.transposed:
        return tensor.T
    return tensor.reshape(shape[:2]) if stored.as_conv else tensor
