"""What tests of the command line share: small clips, a picture, and names of files."""

from pathlib import Path

from PIL import Image

SMALL = ["--size", "64x64", "--frames", "3", "--steps", "2"]


def paint(path: Path, seed: int) -> None:
    """Write a picture that is not flat."""
    Image.frombytes("RGB", (96, 48), bytes((seed * x * x + x // 7) % 256 for x in range(96 * 48 * 3))).save(path)


def list_names(folder: Path) -> list[str]:
    """List what is in a folder."""
    return sorted(path.name for path in folder.iterdir())
