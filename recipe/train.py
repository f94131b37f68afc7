"""Train the bundled model for some minutes: worlds are painted, the network learns, numbers are logged.

    python -m recipe.train --minutes 8 --out build/run --trunk OLD.safetensors

The learning rate follows the clock, so that a run ends well whatever the machine. `--resume` goes on from a folder,
`--trunk` takes over what fits from other weights.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from recipe import checkpoint
from recipe.labelled import APART, LEARNT, Labelled
from recipe.lesson import Question, answer, ask, hold, lay_weights, refill, weigh
from recipe.photographs import Photographs
from recipe.pool import Pool
from recipe.textures import Bank
from unstill.models.pocket.field import CHANNELS, PATCH
from unstill.models.pocket.network import PocketConfig, PocketNetwork

SHAPES = {(18, 32): 0.7, (24, 24): 0.15, (32, 18): 0.15}  # patches of a field, and how often it is the turn of each
BETAS, DECAY = (0.9, 0.98), 0.01
WARM_UP = 150  # steps
LOWEST = 0.02  # of the learning rate, at the end
AVERAGED = 0.999  # what the average keeps each step
EVERY = 8  # steps between looks at the clock
LOUDEST = 1.0  # norm of a gradient
LEVELS = (None, 30.0, 3.0, 0.3)  # noise levels at which the error is measured; None is the direct question
HEADER = ["step", "minutes", "scenes", "loss", "gradient", "rate", "gap", "nearness", "flows", "sways", *(
    f"motion_{sigma or 'direct'}" for sigma in LEVELS), "labelled_flows", "labelled_sways"]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A run."""

    minutes: float
    out: Path
    batch: int
    rate: float
    pool: int
    paint: int
    every: int
    fill: int
    bank: tuple[int, int]
    photographs: Path | None
    labelled: Path | None
    labelled_share: float
    report_s: float
    save_s: float
    seed: int
    resume: Path | None
    trunk: Path | None
    small: bool
    eager: bool


def read_settings() -> Settings:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=256, help="scenes a step")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--pool", type=int, default=49152, help="scenes kept")
    parser.add_argument("--paint", type=int, default=96, help="scenes painted at once")
    parser.add_argument("--every", type=int, default=2, help="steps between paintings")
    parser.add_argument("--fill", type=int, default=4096, help="scenes painted before the first step")
    parser.add_argument("--bank", type=int, nargs=2, default=(192, 512), help="textures, and pixels of a side")
    parser.add_argument("--photographs", type=Path, help="a folder that recipe.photographs has written")
    parser.add_argument("--labelled", type=Path, help="a folder that recipe.labelled has written")
    parser.add_argument("--labelled-share", type=float, default=0.25, help="of a batch")
    parser.add_argument("--report-s", type=float, default=20)
    parser.add_argument("--save-s", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--trunk", type=Path)
    parser.add_argument("--small", action="store_true", help="a network for rehearsals and tests")
    parser.add_argument("--eager", action="store_true", help="launch kernels one by one, for comparison")
    return Settings(**vars(parser.parse_args()))


Descent = Callable[[Question], tuple[Tensor, Tensor]]
SMALL = PocketConfig(eye_widths=(32, 32, 32), seen=8, context_width=32, widths=(32, 32), attention=(False, True),
                     told_width=32)  # fmt: skip


class Trainer:
    """A network that learns on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.begun = settings, time.monotonic()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device.type == "cuda"
        torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = True
        torch.manual_seed(settings.seed)
        self.network = PocketNetwork(SMALL if settings.small else PocketConfig()).to(self.device)
        nn.init.zeros_(self.network.unet.conv_out.weight)
        if settings.trunk:
            transplant(self.network, settings.trunk)
        if self.on_gpu:
            normalise_in_half(self.network)
        self.parameters = list(self.network.parameters())
        self.gradient = share_gradient(self.parameters)
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.rate, betas=BETAS, weight_decay=DECAY, fused=self.on_gpu, eps=1e-8
        )
        self.step, self.part = 0, 0.0
        if settings.resume:
            self.step = checkpoint.load(settings.resume, self.network, self.averaged, self.optimizer)
        self.first = self.step
        self.bank = Bank(*settings.bank, seed=settings.seed, device=self.device)
        self.photos = Photographs(settings.photographs, self.device)
        self.labelled = Labelled(settings.labelled / LEARNT, self.device) if settings.labelled else None
        self.count_labelled = round(settings.batch * settings.labelled_share) if settings.labelled else 0
        self.pools = [
            Pool(patches, max(settings.paint, round(settings.pool * share) // settings.paint * settings.paint),
                 settings.paint, settings.seed + 31 * number, self.device)
            for number, (patches, share) in enumerate(SHAPES.items())
        ]  # fmt: skip
        self.generator = torch.Generator(self.device).manual_seed(settings.seed + 1)
        self.weights = lay_weights(self.device)
        self.recorded: dict[int, Recorded] = {}

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.begun) / 60

    def fill(self) -> list[Question]:
        """Paint the first scenes; keep questions about others, which are never learnt from."""
        settings = self.settings
        bank = Bank(*settings.bank, seed=settings.seed + 10**6, device=self.device)
        apart = Pool(next(iter(SHAPES)), 16 * settings.paint, settings.paint, 10**9 + 7, self.device)
        for _ in range(16 if self.on_gpu else 1):
            apart.add(bank, self.photos)
        for pool, share in zip(self.pools, SHAPES.values(), strict=True):
            for _ in range(max(1, round(settings.fill * share / settings.paint))):
                pool.add(self.bank, self.photos)
        generator = torch.Generator(self.device).manual_seed(17)
        asked = ask(apart.draw(settings.batch, mirror=False), generator)
        questions = [hold(asked, sigma) for sigma in LEVELS]
        if settings.labelled:
            photographs = Labelled(settings.labelled / APART, self.device)
            questions.append(ask(photographs.draw(settings.batch, next(iter(SHAPES)), generator), generator))
        return questions

    def learn(self) -> tuple[Tensor, Tensor]:
        """Take one step; return the loss and the norm of the gradient."""
        turn = (self.step * 0.618034) % 1  # visits shapes evenly
        number = sum(turn >= sum(list(SHAPES.values())[: k + 1]) for k in range(len(SHAPES) - 1))
        if self.step % self.settings.every == 0:
            self.pools[number].add(self.bank, self.photos)
        batch = self.pools[number].draw(self.settings.batch - self.count_labelled)
        if self.labelled:
            batch = batch.joined(self.labelled.draw(self.count_labelled, self.pools[number].patches, self.generator))
        asked = ask(batch, self.generator)
        if self.on_gpu and not self.settings.eager:
            if number not in self.recorded:
                self.recorded[number] = Recorded(self.descend, asked, self.recorded)
            loss, size = self.recorded[number].replay(asked)
        else:
            loss, size = self.descend(asked)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        done = self.step - self.first
        keep = min(AVERAGED, (1 + done) / (10 + done))
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - keep)
        self.step += 1
        return loss, size

    def descend(self, asked: Question) -> tuple[Tensor, Tensor]:
        """Compute the gradient; return the loss and the gradient's norm."""
        self.gradient.zero_()
        with self.cast():
            error_BC = answer(self.network, asked)
        loss = weigh(error_BC.float(), asked.direct_B, self.weights).mean()
        loss.backward()
        size = self.gradient.norm()
        self.gradient *= (LOUDEST / (size + 1e-6)).clamp(max=1)
        return loss.detach(), size

    def rate(self) -> float:
        """Warm up by steps, then fall along a cosine by the clock."""
        fall = LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * self.part))
        return self.settings.rate * fall * min(1.0, (self.step - self.first + 1) / WARM_UP)

    def look_at_the_clock(self) -> None:
        """Update how much of the time is gone, now and then."""
        if self.step % EVERY:
            return
        if self.on_gpu:
            torch.cuda.synchronize()  # the clock must not run ahead of the device
        self.part = min(1.0, self.minutes / self.settings.minutes)

    def cast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=False) if self.on_gpu else nullcontext()

    @torch.no_grad()
    def measure(self, questions: list[Question]) -> tuple[list[list[float]], float]:
        """Return the error on scenes set apart, by level and channel, and that of the first with others' pictures."""
        with checkpoint.Swapped(self.parameters, self.averaged), self.cast():
            errors = [answer(self.network, asked).mean(0).tolist() for asked in questions]
            first = replace(questions[0], batch=questions[0].batch.shuffled())
            other = answer(self.network, first)[:, :3].mean().item()
        return errors, other


class Recorded:
    """A descent recorded as a CUDA graph: kernel by kernel, launching takes longer than running."""

    def __init__(self, descend: Descent, asked: Question, others: dict[int, Recorded]) -> None:
        self.asked = asked
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # warm-up, as PyTorch's notes on CUDA graphs ask for
            for _ in range(3):
                descend(asked)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        shared = next((other.graph.pool() for other in others.values()), None)
        with torch.cuda.graph(self.graph, pool=shared):
            self.result = descend(asked)

    def replay(self, asked: Question) -> tuple[Tensor, Tensor]:
        """Run the descent on another question."""
        if asked is not self.asked:
            refill(self.asked, asked)
        self.graph.replay()
        loss, size = self.result
        return loss.clone(), size.clone()


def transplant(network: nn.Module, path: Path) -> None:
    """Take over what has the same shape, and of the UNet's first layer what looks at the picture."""
    old, own = load_file(path), network.state_dict()
    kept = {name: value.float() for name, value in old.items() if name in own and own[name].shape == value.shape}
    if "unet.conv_in.weight" in kept:
        network.load_state_dict(kept)
        return
    seen, latents = old["eye.seen.weight"].shape[0], CHANNELS * PATCH**2
    before = old["unet.conv_out.weight"].shape[0]
    first = own["unet.conv_in.weight"].clone()
    first[:, latents:] = old["unet.conv_in.weight"][:, before : before + seen].float()
    network.load_state_dict(kept | {"unet.conv_in.weight": first}, strict=False)
    print(f"took over {len(kept) + 1} of {len(own)} tensors", flush=True)


class HalfGroupNorm(nn.GroupNorm):
    """A group norm that autocast leaves in half precision: its sums are taken in float32 anyway."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cuda", enabled=False):
            return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def normalise_in_half(network: nn.Module) -> None:
    """Save the copies that autocast makes around norms: a tenth of a step on one H200."""
    for module in network.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = HalfGroupNorm


def share_gradient(parameters: list[nn.Parameter]) -> Tensor:
    """Lay all gradients side by side in one tensor, to be zeroed and measured at once."""
    whole = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    start = 0
    for p in parameters:
        p.grad = whole[start : start + p.numel()].view_as(p)
        start += p.numel()
    return whole


def train(settings: Settings) -> None:
    """Learn until the time is up, one step at least; log and save on the way."""
    trainer = Trainer(settings)
    questions = trainer.fill()
    settings.out.mkdir(parents=True, exist_ok=True)
    log = Log(settings.out / "log.csv")
    print(f"filled after {trainer.minutes:.2f} min", flush=True)
    trainer.begun = time.monotonic()  # however long painting took, some steps follow
    losses, sizes, reported_s, saved_s = [], [], time.monotonic(), time.monotonic()
    while True:
        trainer.look_at_the_clock()
        is_over, now = trainer.part >= 1 and trainer.step > trainer.first, time.monotonic()
        if losses and (is_over or now - reported_s > settings.report_s):
            log.write(trainer, torch.stack(losses).mean().item(), torch.stack(sizes).mean().item(), questions)
            losses, sizes, reported_s = [], [], now
        if trainer.step > trainer.first and (is_over or now - saved_s > settings.save_s):
            checkpoint.save(settings.out, trainer.network, trainer.averaged, trainer.optimizer, trainer.step)
            saved_s = now
        if is_over:
            break
        loss, size = trainer.learn()
        losses.append(loss)
        sizes.append(size)


class Log:
    """Numbers of the run, a row for each report, on the screen too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(",".join(HEADER) + "\n")

    def write(self, trainer: Trainer, loss: float, size: float, questions: list[Question]) -> None:
        errors, other = trainer.measure(questions)
        scenes = (trainer.step - trainer.first) * trainer.settings.batch
        gap = other * 3 / sum(errors[0][:3])
        motion = [sum(error[3:]) / 4 for error in errors[: len(LEVELS)]]
        labelled = errors[len(LEVELS)][1:3] if len(errors) > len(LEVELS) else (0.0, 0.0)
        row = [trainer.minutes, scenes, loss, size, trainer.rate(), gap, *errors[0][:3], *motion, *labelled]
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([trainer.step, *(f"{value:.5g}" for value in row)])
        shown = " ".join(f"{value:.3f}" for value in (*errors[0][:3], *motion, *labelled))
        print(
            f"{trainer.step} steps {trainer.minutes:.2f} min {scenes} scenes loss {loss:.4f} gap {gap:.2f} [{shown}]",
            flush=True,
        )


if __name__ == "__main__":
    train(read_settings())
