"""The fenced blocks of the documentation: find them, and run them as a newcomer would.

A block whose info string says `norun REASON` is not run. Blocks of one page share a folder and are run from top to bottom.
It does not know which pages there are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import doc_server

LANGUAGES = {"bash", "python", "toml"}  # these are run
SHOWN = {"text", "json"}  # these show what a program says
SERVED_AT = "http://127.0.0.1:8000"  # where examples expect a server; in tests it has a port of its own
REASONS = {"needs-network", "needs-gpu", "changes-machine", "other-tool", "runs-long"}
FENCE = re.compile(r"^(```+)[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    reason: str  # why it is not run; empty if it is
    text: str
    said: str | None = None  # the block right below it, if that shows what it prints

    @property
    def runs(self) -> bool:
        """Tell whether the block is an example to be run."""
        return self.language in LANGUAGES and not self.reason


def read_blocks(page: str) -> list[Block]:
    """Find the blocks of a page."""
    blocks: list[Block] = []
    end = 0
    for found in FENCE.finditer(page):
        language, _, rest = found[2].partition(" ")
        word, _, reason = rest.strip().partition(" ")
        assert word in ("", "norun"), f"{found[2]!r}: only `norun REASON` may follow the language"
        if blocks and language in SHOWN and not page[end : found.start()].strip():
            blocks[-1] = replace(blocks[-1], said=found[3])
        blocks.append(Block(page[: found.start()].count("\n") + 1, language, reason if word else "", found[3]))
        end = found.end()
    return blocks


@dataclass(frozen=True)
class Newcomer:
    """Somebody with a folder of pictures, who has fetched the models and types what the page says."""

    folder: Path
    address: str
    environment: dict[str, str]
    served_at: str = SERVED_AT

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run one example in the folder; return its exit code and what it said."""
        block = replace(block, text=block.text.replace(SERVED_AT, self.served_at))
        if block.language == "toml":
            config = self.folder / "config.toml"
            config.write_text(block.text)
            return self._bash(f"UNSTILL_CONFIG={config} unstill explain", block)
        if block.language == "bash":
            return self._bash(block.text, block)
        said = self.folder.parent / "said.txt"
        with said.open("w+") as output, Path(os.devnull).open() as nothing:
            task = {"python": block.text, "folder": str(self.folder), "environment": self.environment}
            code = doc_server.ask(self.address, task, [nothing.fileno(), output.fileno(), output.fileno()])
        return subprocess.CompletedProcess(block.text, code, said.read_text())

    def _bash(self, text: str, block: Block) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=doc_server.PATIENCE_S,
            check=False,
        )


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run the server for as long as examples are run; give its address."""
    address = str(folder / "server")
    command = [sys.executable, doc_server.__file__, address]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None and server.stdin is not None
        assert server.stdout.readline() == b"ready\n"
        yield address
        server.stdin.close()


def install_client(bin_folder: Path, address: str) -> None:
    """Put the command `unstill` where a shell finds it."""
    bin_folder.mkdir()
    client = bin_folder / "unstill"
    client.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{doc_server.__file__}" "{address}" unstill "$@"\n')
    client.chmod(0o755)
