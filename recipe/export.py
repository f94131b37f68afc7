"""Write what a run learnt as the files that the package carries.

python -m recipe.export build/run
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

from safetensors.torch import save_file

from recipe import checkpoint
from unstill.models.pocket.network import SIGMA_MAX, SIGMA_MIN, WEIGHTS, PocketConfig


def export(run: Path, folder: Path, config: PocketConfig) -> str:
    """Write weights in half precision and the configuration; return the weights' sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value for name, value in checkpoint.read(run).items() if not name.startswith("square.")}
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
    settings = parser.parse_args()
    print(export(settings.run, settings.out, PocketConfig()))
