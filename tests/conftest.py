"""What many tests need: the miniature, a picture, and quiet surroundings."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from miniature import make_miniature
from unstill.jobs.files import Folder
from unstill.jobs.store import Store

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # for processes that tests start: spinning threads fight for two cores


@pytest.fixture(scope="session", autouse=True)
def one_thread_each():
    """Two workers on two cores: more threads only fight. It also makes sums run in one order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C as a terminal leaves it, for us and the processes we start; a shell's background jobs have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch, tmp_path_factory):
    """Tests do not see this user's configuration, models or token."""
    empty = tmp_path_factory.getbasetemp() / "home"
    empty.mkdir(exist_ok=True)
    monkeypatch.setenv("UNSTILL_CONFIG", str(empty / "none.toml"))
    monkeypatch.setenv("UNSTILL_RUNS", str(tmp_path_factory.mktemp("runs")))
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """A 14-frame SVD with random weights, in the diffusers layout."""
    return make_miniature(tmp_path_factory.mktemp("svd-miniature"), frames=14)


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A small 16:9 picture with soft shapes."""
    y, x = np.mgrid[0:144, 0:256] / 144
    pixels = np.stack([x / 2, y, 0.5 + 0.5 * np.sin(8 * (x + y))], axis=-1)
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Folder:
    """The folder of a server, empty."""
    return Folder(tmp_path / "data").make()


@pytest.fixture
def store(folder) -> Iterator[Store]:
    """Its jobs; none yet."""
    found = Store(folder.store)
    yield found
    found.close()


def pytest_make_parametrize_id(val, argname):
    """Name cases by type where their repr is long or holds an address, which differs between workers."""
    shown = repr(val)
    return f"{argname}-{type(val).__name__}" if len(shown) > 80 or " at 0x" in shown else None


LONGEST = ("test_serve_on_ray.py", "test_ray.py")  # tests of half a minute: at the end, the other worker would wait for them


def pytest_collection_modifyitems(items):
    """Put the longest tests first; refuse one that is left out of `make test` without a reason."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    silent = [item.nodeid for item in items for mark in item.iter_markers("thorough") if not mark.args]
    if silent:
        raise pytest.UsageError(f'these need a reason, @pytest.mark.thorough("why"): {", ".join(silent)}')
