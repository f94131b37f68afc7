"""The fenced blocks of the documentation: find them, and run them as a newcomer would.

A block whose info string says `norun REASON` is not run. Blocks of one page share a folder and are run from top to bottom.
It does not know which pages there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from doc_server import Desk, Done, run_python

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
    desk: Desk
    environment: dict[str, str]
    served_at: str = SERVED_AT

    def run(self, block: Block) -> Done:
        """Run one example in the folder."""
        text = block.text.replace(SERVED_AT, self.served_at)
        if block.language == "python":
            return run_python(text, self.folder, self.environment)
        if block.language == "toml":
            config = self.folder / "config.toml"
            config.write_text(text)
            text = f"UNSTILL_CONFIG={config} unstill explain"
        return self.desk.run_script(text, self.folder, self.environment)
