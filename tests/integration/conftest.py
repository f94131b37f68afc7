"""Processes to fork from, and servers that are forked."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import paint
from forks import Forks, Keeper
from served import Served


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[Forks]:
    """The process to fork from, which the processes of a test run share; forks have the miniature as svd."""
    base = tmp_path_factory.getbasetemp()
    with Keeper(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as found:
        yield found


@pytest.fixture
def serve(forks, tmp_path):
    """Serve a folder, as often as asked; at the end all of them leave."""
    served = []

    def start(*options: str, **more) -> Served:
        served.append(
            Served(forks, tmp_path / "data", *(["--keep-free", "0"] if "--keep-free" not in options else []), *options, **more)
        )
        return served[-1]

    yield start
    for server in served:
        server.stop()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory, with a picture in it: no configuration, an empty cache."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("UNSTILL_CONFIG", "HF_TOKEN", "HF_HUB_OFFLINE", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    paint(folder / "photo.png", 3)
    monkeypatch.chdir(folder)
    return folder
