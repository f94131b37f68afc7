"""Write what a run learnt, or a mixture of two runs, as the files that the package carries.

python -m recipe.export build/run
python -m recipe.export build/a --other build/b --share 0.3
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from recipe import checkpoint
from unstill.models.pocket.network import SIGMA_MAX, SIGMA_MIN, WEIGHTS, PocketConfig


def export(run: Path, folder: Path, config: PocketConfig, other: Path | None = None, share: float = 0.0) -> str:
    """Write weights in half precision and the configuration; return the weights' sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value for name, value in checkpoint.read(run).items() if not name.startswith("square.")}
    if other is not None:
        second = checkpoint.read(other)
        tensors = {name: torch.lerp(value.float(), second[name].float(), share).half() for name, value in tensors.items()}
    save_file(tensors, folder / "model.safetensors")
    scheduler = {"prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}
    configs = {
        "field": dataclasses.asdict(config),
        "scheduler": {**scheduler, "sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX},
    }
    (folder / "config.json").write_text(json.dumps(configs, indent=2) + "\n")
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--other", type=Path, help="a run that went on from the first")
    parser.add_argument("--share", type=float, default=0.0, help="of the other's weights")
    settings = parser.parse_args()
    print(export(settings.run, settings.out, PocketConfig(), settings.other, settings.share))
