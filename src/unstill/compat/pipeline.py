"""`StableVideoDiffusionPipeline` as scripts know it: loading, switches, and the call; carried out by the six verbs.

It does not know the names of a call's arguments (`call.py`), nor how a network is run (`engine`).
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from unstill.artifacts import Latents, ModelFiles, Plan, Report
from unstill.compat.bar import KNOWN, show_bar
from unstill.compat.call import (
    Arguments,
    StableVideoDiffusionPipelineOutput,
    complete,
    draw_clips,
    draw_seeded,
    list_problems,
    read_arguments,
    shape_frames,
    warn_of_crops,
)
from unstill.compat.loading import begin, find_device, find_or_pull, read_dtype, read_wishes
from unstill.compat.parts import OF_SVD, VAE, Config, Part, Scheduler, Settings, UNet, check_replacement, explain_absence, tell
from unstill.compat.pictures import list_pictures
from unstill.compat.run import CallBack, OneClip, decode_clips, join_latents, list_clips, sample_clips
from unstill.engine import Engine
from unstill.engine.memory_errors import annotate_memory
from unstill.errors import RequestError
from unstill.memory.machine import look_at_machine
from unstill.models import load_engine
from unstill.plan import make_plan
from unstill.prepare import prepare
from unstill.request import Request


class StableVideoDiffusionPipeline:
    """Animate pictures under the names that scripts written for diffusers use."""

    def __init__(self, files: ModelFiles, settings: Settings, name_or_path: str) -> None:
        configs = files.configs
        self.settings, self.name_or_path = settings, name_or_path
        self.unet: Any = UNet(configs.get("unet", {}), settings)  # or what torch.compile made of it
        self.vae = VAE("vae", configs.get("vae", {}), settings)
        self.image_encoder = Part("image_encoder", configs.get("image_encoder", {}), settings)
        self.scheduler = Scheduler(configs.get("scheduler", {}))
        self.feature_extractor = Config(**configs.get("feature_extractor", {}))
        self._files = files
        self._loaded: Any = None  # an engine whose UNet can be changed for a compiled one
        self._loaded_for: tuple[object, ...] = ()
        self._bar: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **keywords: Any) -> Self:
        """Find a model by its hub name, folder or short name; one that is not here is fetched."""
        wishes = read_wishes(keywords)
        name = os.fspath(pretrained_model_name_or_path)
        return cls(find_or_pull(name, wishes), begin(wishes), name)

    @classmethod
    def from_single_file(cls, pretrained_model_link_or_path: str | os.PathLike[str], **keywords: Any) -> Self:
        """Find a model in one .safetensors file, as ComfyUI users have it."""
        return cls.from_pretrained(pretrained_model_link_or_path, **keywords)

    # ---- switches ------------------------------------------------------------------------------------------

    def to(self, *where: Any, device: Any = None, dtype: Any = None, silence_dtype_warnings: bool = False) -> Self:
        """Choose device, dtype or both; the weights follow at the next call."""
        for given in where:
            if isinstance(given, torch.dtype):
                dtype = given
            elif given is not None:
                device = given
        before = replace(self.settings)
        if dtype is not None:
            self.settings.dtype = read_dtype(dtype)
        if device is not None:
            self.settings.device = find_device(device)
            if self.settings.offload and self.settings.device != "cpu":
                tell("offloading stays on: each part is on the device while it runs")
        if self.settings != before:
            self._unload()  # at once: a script that moves to the CPU wants the device's memory back
        return self

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Keep each part in host memory except while it runs."""
        self._offload(gpu_id, device)

    def enable_sequential_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Offload part by part: layer by layer would copy the UNet over at every step."""
        tell("parts are moved whole, not layer by layer: the UNet stays on the device for all steps (3.1 GB in fp16)")
        self._offload(gpu_id, device)

    def _offload(self, gpu_id: int | None, device: Any) -> None:
        index = None if gpu_id is None else f"cuda:{gpu_id}"
        self.settings.device = find_device(device or index or "auto")
        self.settings.offload = self.settings.device != "cpu"
        if not self.settings.offload:
            tell("there is no accelerator here, so nothing to offload from: it runs on the CPU", above=2)

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """Change nothing: attention never holds its matrix here."""
        tell("attention slicing is not needed: torch's attention kernels never hold the whole matrix")

    def enable_xformers_memory_efficient_attention(self, attention_op: Any = None) -> None:
        """Change nothing: torch's own attention does what xformers did."""
        tell("xformers is not needed: torch's own attention kernels do the same")

    def disable_attention_slicing(self) -> None:
        """Change nothing."""

    def disable_xformers_memory_efficient_attention(self) -> None:
        """Change nothing."""

    def enable_vae_slicing(self) -> None:
        """Change nothing: `decode_chunk_size` bounds the memory of decoding."""
        tell("VAE slicing is not needed: decode_chunk_size says how many frames are decoded at once")

    def enable_vae_tiling(self) -> None:
        """Change nothing: frames are decoded whole."""
        tell("VAE tiling is not carried out, it leaves seams: decode_chunk_size says how many frames are decoded at once")

    def disable_vae_slicing(self) -> None:
        """Change nothing."""

    def disable_vae_tiling(self) -> None:
        """Change nothing."""

    def set_progress_bar_config(self, **config: Any) -> None:
        """Set how the bar of steps looks: disable=True hides it, desc names it, leave=False clears it."""
        if other := sorted(config.keys() - {*KNOWN}):
            tell(f"the bar knows {', '.join(KNOWN)} of tqdm's settings, not {', '.join(other)}")
        self._bar = config

    # ---- what scripts look at ------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """The device that the networks are run on."""
        return torch.device(self.settings.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the networks are run in."""
        return self.settings.torch_dtype

    @property
    def num_timesteps(self) -> int:
        """How many steps the last call took; 25 before the first."""
        return len(self.scheduler.timesteps)

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name."""
        return {name: getattr(self, name) for name in OF_SVD}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OF_SVD and name in vars(self):
            check_replacement(name, vars(self)[name], value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        raise explain_absence(type(self), "pipeline", name)

    # ---- the call ------------------------------------------------------------------------------------------

    def __call__(self, *given: Any, **keywords: Any) -> Any:
        """Make the clips; takes every argument of diffusers' pipeline, and knobs of ours such as fit="pad"."""
        arguments, knobs = read_arguments(given, keywords)
        request = self._make_request(arguments, knobs)
        images = [prepare(picture, request) for picture in list_pictures(arguments.image)]
        machine = look_at_machine(request.device)
        plans = [make_plan(request, image, self._files, machine) for image in images]
        engine = self._load(plans[0])
        if request.seed is None:
            draws = draw_clips(arguments, plans[0], engine, len(images))
        else:
            draws = draw_seeded(arguments, plans[0], engine, len(images), request.seed)
        clips = list_clips(plans, images, draws)
        foreseen = [] if "fit" in knobs else warn_of_crops(images, plans[0].clip_size)
        foreseen = list(dict.fromkeys([*foreseen, *plans[0].warnings]))
        for message in foreseen:
            warnings.warn(message, stacklevel=2)
        latents = self._sample(clips, engine, arguments)
        frames, reports = self._finish(clips, latents, engine, arguments.output_type)
        for message in {message for report in reports for message in report.warnings}.difference(foreseen):
            warnings.warn(message, stacklevel=2)
        return StableVideoDiffusionPipelineOutput(frames, reports) if arguments.return_dict else frames

    def _make_request(self, arguments: Arguments, knobs: dict[str, Any]) -> Request:
        """Put call and switches together, and report everything that is wrong at once."""
        problems = list_problems(arguments, knobs)
        chosen = {"device": self.settings.device, "dtype": self.settings.dtype, "offload": self.settings.offload}
        chosen |= {"model": self.name_or_path, "forward_chunk": self.settings.forward_chunk, "engine": "reference"}
        chosen["memory"] = "fast"  # a script says itself what it wants of offloading and chunks
        try:
            request = Request.from_mapping({**chosen, **complete(arguments, knobs)})
        except RequestError as error:
            problems.extend(error.problems)
        if problems:
            raise RequestError(problems)
        return request

    def _load(self, plan: Plan) -> Engine:
        """Load the model where it is to run, or take what is there, and wire in what the script changed."""
        key = (plan.device, plan.dtype, plan.engine, plan.request.offload)
        unet: UNet = getattr(self.unet, "_orig_mod", self.unet)
        if self._loaded is None or self._loaded_for != key:
            self._unload()  # free the old one before the new one needs its memory
            with annotate_memory("load"):
                self._loaded, self._loaded_for = load_engine(plan), key
            unet.network = self._loaded.unet
        self._loaded.arrange(plan.rung)  # forward chunks
        compiled = unet.compiled if self.unet is unet else self.unet
        self._loaded.unet = unet.network if compiled is None else compiled
        engine: Engine = self._loaded
        return engine

    def _unload(self) -> None:
        self._loaded = getattr(self.unet, "_orig_mod", self.unet).network = None

    def _sample(self, clips: list[OneClip], engine: Engine, arguments: Arguments) -> list[Latents]:
        """Take all steps, with a bar and the script's callback."""
        steps, given = clips[0].plan.steps, arguments.sigmas
        sigmas = engine.schedule.sigmas(steps) if given is None else torch.tensor([float(s) for s in given])
        self.scheduler.use(sigmas)
        with show_bar("steps", len(sigmas) - 1, self._bar) as show:
            return sample_clips(clips, engine, sigmas, self._call_back(arguments), show)

    def _finish(
        self, clips: list[OneClip], latents: list[Latents], engine: Engine, kind: str
    ) -> tuple[Any, tuple[Report, ...]]:
        """Give the clips the form that was asked for, and report on those that were decoded."""
        if kind == "latent":
            return join_latents(latents, self.dtype), ()
        frames, reports = decode_clips(clips, latents, engine)
        return shape_frames(frames, kind, clips[0].plan.device), reports

    def _call_back(self, arguments: Arguments) -> CallBack | None:
        """Wrap the script's callback, which knows the pipeline, the time and a dictionary."""
        script = arguments.callback_on_step_end
        if script is None:
            return None

        def call(number: int, latents: Tensor) -> Tensor:
            time = self.scheduler.timesteps[number].to(latents.device)
            shown = dict.fromkeys(arguments.callback_on_step_end_tensor_inputs, latents)
            returned = script(self, number, time, shown)
            return latents if returned is None else returned.get("latents", latents)

        return call
