"""Train the bundled model for some minutes: worlds are painted, the network learns, numbers are logged.

    python -m recipe.train --minutes 8 --out build/run            one process, on the GPU if there is one
    torchrun --nproc_per_node 4 -m recipe.train --minutes 8 ...   one process for each GPU

The learning rate follows the clock, so that a run ends well whatever the machine. `--resume` goes on from a folder.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from recipe import checkpoint
from recipe.lesson import Question, answer, ask, weigh
from recipe.pool import Pool
from recipe.textures import Bank
from unstill.model.field import FieldConfig, FieldNetwork

SHAPES = {(18, 32): 0.7, (24, 24): 0.15, (32, 18): 0.15}  # patches of a field, and how often it is the turn of each
BETAS, DECAY = (0.9, 0.98), 0.01
WARM_UP = 150  # steps
LOWEST = 0.02  # of the learning rate, at the end
AVERAGED = 0.999  # what the average keeps each step
PAINTED = 2  # steps between scenes: painting costs launches, a quarter of a step
EVERY = 8  # steps between looks at the clock
LOUDEST = 1.0  # norm of a gradient
SIGMAS = (0.3, 1.0, 3.0, 10.0, 30.0)  # at which the gap is measured
HEADER = ["step", "minutes", "clips", "loss", "velocity_loss", "order_loss", "gradient", "rate", "gap", *(
    f"{kind}_{sigma:g}" for sigma in SIGMAS for kind in ("right", "shuffled"))]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A run."""

    minutes: float
    out: Path
    batch: int
    rate: float
    pool: int
    paint: int
    fill: int
    bank: tuple[int, int]
    report_s: float
    save_s: float
    seed: int
    resume: Path | None
    small: bool


def read_settings() -> Settings:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=128, help="clips a step, on each device")
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--pool", type=int, default=16384, help="scenes kept of the most frequent shape")
    parser.add_argument("--paint", type=int, default=64, help="scenes painted each step")
    parser.add_argument("--fill", type=int, default=1024, help="scenes painted before the first step")
    parser.add_argument("--bank", type=int, nargs=2, default=(192, 512), help="textures, and pixels of a side")
    parser.add_argument("--report-s", type=float, default=20)
    parser.add_argument("--save-s", type=float, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--small", action="store_true", help="a network for rehearsals and tests")
    return Settings(**vars(parser.parse_args()))


SMALL = FieldConfig(eye_widths=(32, 32, 32), seen=8, word_width=4, context_width=32, widths=(32, 32), attention=(False, True),
                    told_width=32)  # fmt: skip


class Trainer:
    """A network that learns on one device, together with those of other processes."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.begun = settings, time.monotonic()
        self.rank, self.ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        has_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", self.rank % torch.cuda.device_count()) if has_gpu else torch.device("cpu")
        if has_gpu:
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True
            torch.backends.cuda.matmul.allow_tf32 = True
        if self.ranks > 1:
            dist.init_process_group("nccl" if has_gpu else "gloo")
        torch.manual_seed(settings.seed)
        self.network = FieldNetwork(SMALL if settings.small else FieldConfig()).to(self.device)
        nn.init.zeros_(self.network.unet.conv_out.weight)
        if has_gpu:
            normalise_in_half(self.network)
        self.parameters = list(self.network.parameters())
        self.gradient = share_gradient(self.parameters)
        self.averaged = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.rate, betas=BETAS, weight_decay=DECAY, fused=has_gpu, eps=1e-8
        )
        self.step, self.resumed, self.part = 0, False, 0.0
        if settings.resume:
            self.step, self.resumed = checkpoint.load(settings.resume, self.network, self.averaged, self.optimizer), True
        self.first = self.step
        own = settings.seed + 1_000_003 * self.rank
        self.bank = Bank(*settings.bank, seed=own, device=self.device)
        self.pools = [
            Pool(patches, max(settings.paint, round(settings.pool * share) // settings.paint * settings.paint),
                 settings.paint, own + 31 * number, self.device)
            for number, (patches, share) in enumerate(SHAPES.items())
        ]  # fmt: skip
        self.generator = torch.Generator(self.device).manual_seed(own + 1)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.begun) / 60

    def fill(self) -> list[Question]:
        """Paint the first scenes; keep questions about others, which are never learnt from."""
        settings = self.settings
        apart = Pool(next(iter(SHAPES)), settings.paint, settings.paint, 10**9 + 7, self.device)
        apart.add(Bank(*settings.bank, seed=settings.seed + 10**6, device=self.device))
        for pool, share in zip(self.pools, SHAPES.values(), strict=True):
            for _ in range(max(1, round(settings.fill * share / settings.paint))):
                pool.add(self.bank)
        generator = torch.Generator(self.device).manual_seed(17)
        asked = ask(apart.draw(min(settings.batch, settings.paint), mirror=False), generator)
        return [hold(asked, sigma) for sigma in SIGMAS]

    def learn(self) -> tuple[Tensor, Tensor]:
        """Take one step; give the error by channel and the norm of the gradient."""
        turn = (self.step * 0.618034) % 1  # visits shapes evenly, and alike in every process
        number = sum(turn >= sum(list(SHAPES.values())[: k + 1]) for k in range(len(SHAPES) - 1))
        if self.step % PAINTED == 0:
            self.pools[number].add(self.bank)
        asked = ask(self.pools[number].draw(self.settings.batch), self.generator)
        self.gradient.zero_()
        with self.cast():
            error_BC = answer(self.network, asked)
        weigh(error_BC).mean().backward()
        if self.ranks > 1:
            dist.all_reduce(self.gradient)
            self.gradient /= self.ranks
        size = self.gradient.norm()
        self.gradient *= (LOUDEST / (size + 1e-6)).clamp(max=1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        done = self.step - self.first
        keep = AVERAGED if self.resumed else min(AVERAGED, (1 + done) / (10 + done))
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - keep)
        self.step += 1
        return error_BC.detach().mean(0), size

    def rate(self) -> float:
        """Warm up by steps, then fall along a cosine by the clock."""
        fall = LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * self.part))
        return self.settings.rate * fall * min(1.0, (self.step - self.first + 1) / WARM_UP)

    def look_at_the_clock(self) -> None:
        """Agree on how much of the time is gone, now and then: every process must take the same steps at the same rate."""
        if self.step % EVERY:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize()  # the clock must not run ahead of the device
        part = torch.tensor([min(1.0, self.minutes / self.settings.minutes)], device=self.device)
        if self.ranks > 1:
            dist.broadcast(part, 0)
        self.part = part.item()

    def cast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    @torch.no_grad()
    def measure(self, questions: list[Question]) -> list[float]:
        """Give the error of the velocity on scenes set apart, for each noise level: with their picture, and with another."""
        found = []
        with self.swapped(), self.cast():
            for asked in questions:
                other = replace(asked, batch=asked.batch.shuffled())
                found += [answer(self.network, which)[:, :2].mean() for which in (asked, other)]
        return torch.stack(found).tolist()

    def swapped(self) -> checkpoint.Swapped:
        """Have the averaged weights in the network for a while."""
        return checkpoint.Swapped(self.parameters, self.averaged)


def hold(asked: Question, sigma: float) -> Question:
    """Ask the same with one noise level, no hints and all conditions."""
    ones = torch.ones_like(asked.sigma_B)
    return Question(
        **{**vars(asked), "sigma_B": sigma * ones, "told_B": ones, "hints_BCHW": torch.zeros_like(asked.hints_BCHW)}
    )


class HalfGroupNorm(nn.GroupNorm):
    """A group norm that autocast leaves in half precision: its sums are taken in float32 anyway."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cuda", enabled=False):
            return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def normalise_in_half(network: nn.Module) -> None:
    """Save the copies that autocast makes around norms: 292 to 266 ms a step of 128 clips on one H200."""
    for module in network.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = HalfGroupNorm


def share_gradient(parameters: list[nn.Parameter]) -> Tensor:
    """Lay all gradients side by side in one tensor, to be zeroed, summed and measured at once."""
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
    log = Log(settings.out / "log.csv") if trainer.rank == 0 else None
    errors, sizes, reported_s, saved_s = [], [], time.monotonic(), time.monotonic()
    while True:
        trainer.look_at_the_clock()
        is_over, now = trainer.part >= 1 and trainer.step > trainer.first, time.monotonic()
        if log and errors and (is_over or now - reported_s > settings.report_s):
            log.write(
                trainer, torch.stack(errors).mean(0).tolist(), torch.stack(sizes).mean().item(), trainer.measure(questions)
            )
            errors, sizes, reported_s = [], [], now
        if log and trainer.step > trainer.first and (is_over or now - saved_s > settings.save_s):
            checkpoint.save(settings.out, trainer.network, trainer.averaged, trainer.optimizer, trainer.step)
            saved_s = now
        if is_over:
            break
        error, size = trainer.learn()
        errors.append(error)
        sizes.append(size)
    if trainer.ranks > 1:
        dist.destroy_process_group()


class Log:
    """Numbers of the run, a row for each report, on the screen too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(",".join(HEADER) + "\n")

    def write(self, trainer: Trainer, error_C: list[float], size: float, gaps: list[float]) -> None:
        clips = (trainer.step - trainer.first) * trainer.settings.batch * trainer.ranks
        velocity, loss = (error_C[0] + error_C[1]) / 2, weigh(torch.tensor([error_C])).item()
        right, shuffled = sum(gaps[0::2]), sum(gaps[1::2])
        row = [trainer.minutes, clips, loss, velocity, error_C[2], size, trainer.rate(), shuffled / right, *gaps]
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([trainer.step, *(f"{value:.5g}" for value in row)])
        shown = " ".join(f"{right:.3f}/{other:.3f}" for right, other in zip(gaps[0::2], gaps[1::2], strict=True))
        print(
            f"{trainer.step} steps {trainer.minutes:.2f} min {clips} clips loss {loss:.4f} gap {row[7]:.2f} [{shown}]",
            flush=True,
        )


if __name__ == "__main__":
    train(read_settings())
