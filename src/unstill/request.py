"""Every knob, once: its name, default, range, and one sentence about it.

The command line, the Python call, HTTP fields, manifests, recipes and the reference page are all derived
from the fields of `Request`. It also holds the presets.
It does not know how a knob is carried out.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unstill import cameras, values
from unstill.errors import RequestError
from unstill.values import Arrows, Focus, Guidance, Reader, Size

BUNDLED = "pocket"  # the model that comes with the package
NATIVE = Size(1024, 576)  # what every SVD checkpoint was finished on


@dataclass(frozen=True)
class Knob:
    """One setting: how it is read, what it means, what else it is called."""

    read: Reader
    help: str
    group: str
    range: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


def _knob(default: Any, read: Reader, help: str, group: str, range: str = "", **more: Any) -> Any:
    return field(default=default, metadata={"knob": Knob(read, help, group, range, **more)})


def _choice(default: Any, choices: tuple[str, ...], help: str, group: str, **more: Any) -> Any:
    read = values.one_of(*choices, spellings=more.pop("spellings", None))
    return _knob(default, read, help, group, " | ".join(choices), choices=choices, **more)


DTYPE_SPELLINGS = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32"}
DTYPE_SPELLINGS |= {f"torch.{name}": short for name, short in DTYPE_SPELLINGS.items()}

CAMERAS = (cameras.AUTO, *cameras.WORDS)
LOOPS = ("none", "ping-pong", "cross-fade", "seamless")
FLAGS = ("ping_pong",)  # aliases that are written without a value


def _read_loop(value: Any) -> str:
    """Read how a clip closes; true and false are those of the flag `ping_pong`."""
    word = str(value).strip().lower()
    if word.isdecimal():  # what `loop` was before it was called `plays`
        raise ValueError(f"must be one of {', '.join(LOOPS)}, not {values.show(value)}; how often a file plays is `plays`")
    spellings = {"true": "ping-pong", "false": "none"}
    return str(values.one_of(*LOOPS, spellings=spellings)(word.replace("_", "-") if isinstance(value, (str, bool)) else value))


@dataclass(frozen=True)
class Request:
    """What a clip should be: every knob. None means that the preset or the model decides."""

    model: str = _knob(
        "auto", values.text, "Which model: auto, a name that `unstill models` lists, or a path.", "model", "name or path"
    )
    preset: str = _choice(
        "default", ("default", "stability", "draft"), "Settings to start from: as diffusers, as Stability, or quick.", "model"
    )
    motion: int | None = _knob(
        None, values.whole(0, 255), "How much motion: under 100 is subtle, over 180 dramatic.", "motion", "0–255",
        aliases=("motion_bucket_id",),
    )  # fmt: skip
    noise: float | None = _knob(
        None, values.number(0, 1), "Noise put on the picture: more frees the motion and drifts from the picture.", "motion",
        "0–1", aliases=("noise_aug_strength", "cond_aug"),
    )  # fmt: skip
    fps: int | None = _knob(
        None, values.whole(1, 120), "Frame rate that the model imagines: lower moves more between frames.", "motion", "1–120"
    )
    camera: str = _knob(
        "auto", cameras.camera, "How the camera moves: one word, or a path of several. Not for SVD.", "motion",
        f"{' | '.join(CAMERAS)}, or \"push 60%, left 40%\"", choices=CAMERAS,
    )  # fmt: skip
    scene: int | None = _knob(
        None, values.whole(0, 100), "How much water, clouds and leaves move by themselves; 100 is as fast as the camera. "
        "Not for SVD.", "motion", "0–100",
    )  # fmt: skip
    move: Arrows | None = _knob(
        None, values.arrows, "Drag things: each arrow moves what it starts on, by the last frame. Not for SVD.", "motion",
        "X,Y>DX,DY as fractions; several with ;",
    )  # fmt: skip
    frames: int | None = _knob(
        None, values.whole(2, 128), "How many frames the clip has.", "motion", "2–128", aliases=("num_frames", "video_frames")
    )
    seed: int | None = _knob(
        None, values.whole(0, 2**63 - 1), "Which of the possible clips; drawn at random and reported if unset.", "motion",
        "0–2⁶³−1",
    )  # fmt: skip
    want_motion: float | None = _knob(
        None, values.motion_px, "Motion that is wanted, measured: drafts find the setting of `motion` that gives it.", "takes",
        "still | subtle | natural | strong, or pixels a frame at 1024x576",
    )  # fmt: skip
    takes: int = _knob(
        1, values.whole(1, 32), "Clips to make, each with the next seed: the best is given, and the others with it.", "takes",
        "1–32",
    )  # fmt: skip
    fix_still: bool = _knob(
        False, values.flag, "Make a clip that stands still again: more motion, more noise, other seeds.", "takes",
        "true | false",
    )  # fmt: skip
    steps: int | None = _knob(
        None, values.whole(1, 200), "Denoising steps: under 20 is visibly worse, over 30 rarely better.", "sampling", "1–200",
        aliases=("num_inference_steps", "num_steps"),
    )  # fmt: skip
    steps_schedule: str = _choice(
        "karras", ("karras", "ays"), "Noise levels of the steps: ays, made for ten steps, is lossy and quick; SVD only.",
        "sampling",
    )  # fmt: skip
    guidance: Guidance | None = _knob(
        None, values.guidance(0, 20), "How closely the frames keep to the picture, at the first and the last frame.",
        "sampling", "FIRST:LAST, 0–20", aliases=("min_guidance_scale", "max_guidance_scale"),
    )  # fmt: skip
    guidance_shape: str = _choice(
        "linear", ("linear", "triangle", "flat"), "How guidance runs over the frames; flat holds LAST throughout.", "sampling"
    )
    size: Size | None = _knob(
        None, values.size(64, 4096), "Width and height; unset takes the model's own area in the picture's shape.", "picture",
        "WIDTHxHEIGHT", aliases=("width", "height"),
    )  # fmt: skip
    fit: str = _choice(
        "crop", ("crop", "pad", "blur", "stretch"), "What to do when the picture's shape is not the clip's.", "picture"
    )
    focus: Focus = _knob(
        Focus(0.5, 0.5), values.focus, "The point that a crop keeps in the middle, as far as it can.", "picture",
        "X,Y as fractions, or center | left | right | top | bottom",
    )  # fmt: skip
    look: bool = _knob(
        True, values.flag, "Look for faces, text and the like in the picture first, and say what to expect.", "picture",
        "true | false",
    )  # fmt: skip
    ground: str = _knob(
        "#ffffff", values.colour, "The colour behind transparent parts.", "picture", "#rrggbb | black | grey | white",
    )  # fmt: skip
    device: str = _knob("auto", values.device, "Where to run.", "machine", "auto | cpu | mps | cuda | cuda:N")
    dtype: str = _choice(
        "auto", ("auto", "fp16", "bf16", "fp32"), "Arithmetic: auto is fp16 on a GPU, fp32 on a CPU.", "machine",
        aliases=("torch_dtype",), spellings=DTYPE_SPELLINGS,
    )  # fmt: skip
    engine: str = _choice(
        "auto", ("auto", "fast", "reference"), "How the networks are run: the fast engine makes the same frames in less time.",
        "machine",
    )  # fmt: skip
    memory: str = _choice(
        "auto", ("auto", "fast", "lean", "tiny"),
        "How the model is held in memory, every way with the same frames: auto is the fastest that fits.", "machine",
    )  # fmt: skip
    max_memory: int | None = _knob(
        None, values.byte_count(10**8, 2**42), "Device memory that may be used; unset is what is free.", "machine", "6GB"
    )
    measure: bool = _knob(
        True, values.flag, "Measure how the finished clip moves, flickers and drifts, and say what is wrong.", "machine",
        "true | false",
    )  # fmt: skip
    decode_chunk: int | None = _knob(
        None, values.whole(1, 128), "Frames decoded at once: fewer need less memory and make the same frames.", "machine",
        "1–128", aliases=("decode_chunk_size", "decoding_t"),
    )  # fmt: skip
    forward_chunk: int | None = _knob(
        None, values.whole(1, 4096), "Run feed-forwards so many frames at a time: same frames, less memory.", "machine",
        "1–4096",
    )  # fmt: skip
    offload: bool = _knob(
        False, values.flag, "Keep each part of the model on the device only while it runs.", "machine", "true | false"
    )
    format: str = _choice(
        "auto", ("auto", "mp4", "webm", "gif", "webp", "apng", "png"), "File format; auto goes by the name of the file.", "file"
    )
    codec: str = _choice("auto", ("auto", "h264", "vp9", "av1"), "Video codec; auto is h264 in mp4, vp9 in webm.", "file")
    play_fps: float | None = _knob(
        None, values.number(0.1, 240), "Frame rate of the clip's own frames in the file; unset plays at fps.", "file", "0.1–240"
    )
    quality: int = _knob(80, values.whole(1, 100), "Picture quality against file size.", "file", "1–100")
    speed: float = _knob(1.0, values.number(0.1, 10), "How fast the clip plays: 2 is twice as fast.", "file", "0.1–10")
    smooth: float | None = _knob(
        None,
        values.number(1, 240),
        "Frame rate that frames are made between the clip's for; unset makes none.",
        "file",
        "1–240",
    )
    loop: str = _knob(
        "none", _read_loop, "How the end meets the start: played backward, faded into it, or seamless (not for SVD).", "file",
        " | ".join(LOOPS),
        aliases=("ping_pong",), choices=LOOPS,
    )  # fmt: skip
    plays: int = _knob(0, values.whole(0, 65535), "How often a GIF, WebP or APNG plays; 0 is for ever.", "file", "0–65535")
    colors: int = _knob(256, values.whole(2, 256), "Colours in a GIF.", "file", "2–256")
    dither: str = _choice("sierra", ("sierra", "bayer", "none"), "How a GIF mixes colours: best, steady, or not.", "file")
    max_bytes: int | None = _knob(
        None,
        values.byte_count(10_000, 2**40),
        "Largest file allowed: quality, colours, then size give way.",
        "file",
        "5MB",
    )
    recipe: bool = _knob(True, values.flag, "Write into the file how it was made.", "file", "true | false")

    def __post_init__(self) -> None:
        problems = []
        for name, knob in KNOBS.items():
            value = getattr(self, name)
            if value is None and DEFAULTS[name] is None:
                continue
            try:
                object.__setattr__(self, name, knob.read(value))
            except ValueError as error:
                problems.append(f"{name} {error}")
        if problems:
            raise RequestError(problems)

    @property
    def file_fps(self) -> float:
        """The rate of a clip's own frames: play_fps, else the fps that the model imagines, else diffusers' own."""
        return float(self.play_fps or self.fps or PRESETS["default"].knobs["fps"])

    def replace(self, **knobs: Any) -> Request:
        """Return a copy with some knobs changed."""
        return dataclasses.replace(self, **knobs)

    def for_file(self, mapping: Mapping[str, Any]) -> Request:
        """Return a copy with some knobs of the file changed; the others have shaped the frames already."""
        knobs, problems = _rename(mapping)
        for name in knobs:
            if KNOBS[name].group != "file":
                instead = "; play_fps is the rate of the file" if name == "fps" else ""
                problems.append(f"{name} shapes the frames, and these are made{instead}")
        if knobs.get("loop") == "seamless" and self.loop != "seamless":
            problems.append("loop seamless shapes the frames, and these are made; ping-pong and cross-fade close any clip")
        if problems:
            raise RequestError(problems)
        return self.replace(**knobs)

    def to_dict(self) -> dict[str, Any]:
        """Give every knob that is set, as JSON values that `from_mapping` reads back."""
        plain = {name: getattr(self, name) for name in KNOBS}
        return {
            name: str(value) if isinstance(value, (Arrows, Size, Guidance, Focus)) else value
            for name, value in plain.items()
            if value is not None
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Request:
        """Build a request from names and values as people write them: our names, SVD's, texts or numbers."""
        knobs, problems = _rename(mapping)
        try:
            request = cls(**knobs)
        except RequestError as error:
            problems.extend(error.problems)
        if problems:
            raise RequestError(problems)
        return request


KNOBS: dict[str, Knob] = {f.name: f.metadata["knob"] for f in dataclasses.fields(Request)}
DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Request)}
ALIASES: dict[str, str] = {alias: name for name, knob in KNOBS.items() for alias in knob.aliases}
_PARTS = {  # two names of other tools that make one knob of ours
    "guidance": ("min_guidance_scale", "max_guidance_scale"),
    "size": ("width", "height"),
}


def name_knobs(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Give what people wrote by our names, its values not yet read."""
    knobs, problems = _rename(mapping)
    if problems:
        raise RequestError(problems)
    return knobs


def _rename(mapping: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate aliases; return knobs by our names and what was wrong with the names."""
    knobs: dict[str, Any] = {}
    problems: list[str] = []
    given: dict[str, str] = {}
    spelled = {str(written).replace("-", "_"): value for written, value in mapping.items() if value is not None}
    for key, value in spelled.items():
        name = ALIASES.get(key, key)
        if name not in KNOBS:
            problems.append(f"{values.show(key)} is not a knob{_suggestion(key)}")
        elif key in _PARTS.get(name, ()):
            continue
        elif name in given:
            problems.append(f"{name} is given twice: as {given[name]} and as {key}")
        else:
            given[name] = key
            knobs[name] = value
    for name, parts in _PARTS.items():
        _join(name, parts, spelled, knobs, problems)
    return knobs, problems


def _join(name: str, parts: tuple[str, str], mapping: Mapping[str, Any], knobs: dict[str, Any], problems: list[str]) -> None:
    """Make one knob of two aliases such as width and height."""
    found = [mapping.get(part) for part in parts]
    if found == [None, None]:
        return
    if name in knobs:
        problems.append(f"{name} is given twice: as {name} and as {' and '.join(parts)}")
    elif name == "guidance":
        standard = PRESETS["default"].knobs["guidance"]
        first, last = (default if value is None else value for value, default in zip(found, standard.split(":"), strict=True))
        knobs[name] = f"{first}:{last}"
    elif None in found:
        problems.append(f"{parts[0]} and {parts[1]} must be given together")
    else:
        knobs[name] = f"{found[0]}x{found[1]}"


def _suggestion(written: str) -> str:
    near = difflib.get_close_matches(written, [*KNOBS, *ALIASES], n=1)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True)
class Preset:
    """Values for the knobs that a request leaves open; `per_model` overrides `knobs` for one checkpoint."""

    help: str
    knobs: dict[str, Any]
    per_model: dict[str, dict[str, Any]] = field(default_factory=dict)
    area: Size = NATIVE

    def for_model(self, family: str) -> dict[str, Any]:
        """Return the values for one checkpoint."""
        return {**self.knobs, **self.per_model.get(family, {})}


# The bundled model's own. Its motion is the camera's exact speed, where SVD's is a hint: 80 is 1.9 pixels a frame.
_POCKET = {"motion": 80, "steps": 8, "guidance": "1.0:1.0", "scene": 50}
_DIFFUSERS = {"motion": 127, "noise": 0.02, "fps": 7, "steps": 25, "guidance": "1.0:3.0"}
PRESETS = {
    "default": Preset("what the diffusers pipeline does when nothing is said", _DIFFUSERS, {BUNDLED: _POCKET}),
    # Stability's scripts say fps_id 6 and motion 127 for all three, and 1.1 was tuned at exactly these: our fps 7.
    "stability": Preset(
        "what Stability's own sampling configuration does, for each checkpoint",
        _DIFFUSERS,
        {
            "svd": {"steps": 25, "guidance": "1.0:2.5"},
            "svd-xt": {"steps": 30, "guidance": "1.5:3.0"},
            "svd-xt-1.1": {"steps": 30, "guidance": "1.5:3.0"},
            BUNDLED: _POCKET,
        },
    ),
    "draft": Preset(
        "a look at the motion: few steps, 14 frames, a third of the area; worse than a clip for keeps",
        {**_DIFFUSERS, "steps": 12, "frames": 14},
        {BUNDLED: {**_POCKET, "steps": 4}},
        area=Size(576, 320),
    ),
}


AYS_STEPS = 10  # that its levels were made for


def settle(request: Request, family: str, frames: int) -> Request:
    """Fill every open knob of sampling and motion from the preset and the model; size and seed stay open."""
    standard = {"frames": frames, **PRESETS[request.preset].for_model(family)}
    if request.steps_schedule == "ays":
        standard["steps"] = AYS_STEPS
    missing = {name: value for name, value in standard.items() if getattr(request, name) is None}
    settled = request.replace(**missing)
    return settled.replace(play_fps=settled.file_fps)
