"""Write what a run learnt as the files that the package carries.

python -m recipe.export build/run
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from safetensors.torch import save_file

from recipe import checkpoint
from unstill.catalog.bundled import FOLDER, hash_weights
from unstill.model.field import SIGMA_MAX, SIGMA_MIN, FieldConfig


def export(run: Path, folder: Path, config: FieldConfig) -> None:
    """Write weights in half precision, and the configuration."""
    folder.mkdir(exist_ok=True)
    tensors = {name: value for name, value in checkpoint.read(run).items() if not name.startswith("square.")}
    save_file(tensors, folder / "model.safetensors")
    scheduler = {"prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}
    configs = {
        "field": dataclasses.asdict(config),
        "scheduler": {**scheduler, "sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX},
    }
    (folder / "config.json").write_text(json.dumps(configs, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    export(parser.parse_args().run, FOLDER, FieldConfig())
    print(hash_weights())
