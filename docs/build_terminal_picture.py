"""Record a real run in a terminal and write it as docs/pictures/terminal.gif, the moving picture of the README.

The commands are run as shown, in a pseudo-terminal, on a picture of examples/ with the random-weight miniature; what they
print is replayed at a stated speed, nothing is drawn by hand. It knows no command's output.

Use: python docs/build_terminal_picture.py      (Linux or macOS, with the DejaVu fonts and unstill beside Python)
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unstill.artifacts import Clip, Report
from unstill.errors import RequestError
from unstill.request import Request
from unstill.values import Size
from unstill.write import write

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "pictures" / "terminal.gif"
COLUMNS, ROWS = 96, 28
FONT_PX, LINE_PX, MARGIN_PX = 14, 19, 20
FONTS = ("DejaVuSansMono.ttf", "DejaVuSans.ttf")  # the second has the dots of the spinner
FRAMES_PER_S = 10
SPEED = 4.0  # times as fast as it was; the README says so
TYPING_S, READING_S, LAST_S = 0.03, 2.0, 5.0
COMMANDS = (
    "unstill animate harbour.jpg -o clip.mp4 --model miniature --preset draft --motion 180",
    "unstill inspect clip.mp4 | head -n 8",
    "unstill animate harbour.jpg --motion 300 --noise 7",
    "unstill animate harbour.jpg --model miniature --size 576x576 --focus left --dry-run",
)
BACKGROUND, FOREGROUND, FAINT, PROMPT = "#0f172a", "#e2e8f0", "#94a3b8", "#34d399"
COLOURS = ("#475569", "#f87171", "#4ade80", "#facc15", "#60a5fa", "#e879f9", "#22d3ee", "#f1f5f9")

Cell = tuple[str, str]  # a letter and its colour


@dataclass
class Screen:
    """What a terminal shows: the part of its language that the command line speaks."""

    rows: list[list[Cell]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    colour: str = FOREGROUND

    def write(self, text: str) -> None:
        """Take in what a program prints."""
        for escape, letter in re.findall(r"(\x1b\[[0-9;?]*[A-Za-z])|(.)", text, re.S):
            if escape:
                self._obey(escape[2:-1], escape[-1])
            elif letter == "\n":
                self.row += 1
            elif letter == "\r":
                self.column = 0
            elif letter.isprintable():
                self._put(letter)
            while len(self.rows) <= self.row:
                self.rows.append([])

    def visible(self) -> list[list[Cell]]:
        """Return the rows at the bottom that fit."""
        used = max((number + 1 for number, row in enumerate(self.rows) if row), default=0)
        return self.rows[max(0, used - ROWS) : used]

    def _put(self, letter: str) -> None:
        if self.column >= COLUMNS:
            self.row, self.column = self.row + 1, 0
            self.rows.append([])
        row = self.rows[self.row]
        row.extend([(" ", FOREGROUND)] * (self.column + 1 - len(row)))
        row[self.column] = (letter, self.colour)
        self.column += 1

    def _obey(self, numbers: str, command: str) -> None:
        first = int(numbers) if numbers.isdigit() else 0
        if command == "A":
            self.row = max(0, self.row - max(1, first))
        elif command == "K":
            row = self.rows[self.row]
            row[:] = [] if first == 2 else row[: self.column]
        elif command == "m":
            self._paint([int(number or 0) for number in numbers.split(";")])

    def _paint(self, codes: list[int]) -> None:
        if codes[:2] == [38, 5]:
            self.colour = find_colour(codes[2])
            return
        for code in codes:
            if code in (0, 39):
                self.colour = FOREGROUND
            elif code == 2:
                self.colour = FAINT
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.colour = COLOURS[code % 10]


def find_colour(number: int) -> str:
    """Find a colour among the 256 of a terminal: 16 named, a cube of 6×6×6, 24 greys."""
    if number < 16:
        return COLOURS[number % 8]
    if number >= 232:
        return f"#{(8 + 10 * (number - 232)):02x}" + f"{(8 + 10 * (number - 232)):02x}" * 2
    parts = ((number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6)
    return "#" + "".join(f"{(55 + 40 * part if part else 0):02x}" for part in parts)


def record(command: str, folder: Path) -> list[tuple[float, str]]:
    """Run a command in a terminal of its own; return what it printed and when."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS), PATH=path)
        os.execvp("bash", ["bash", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    printed, start = [], time.monotonic()
    while select.select([terminal], [], [], 600)[0]:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the program has ended
            break
        if not chunk:
            break
        printed.append((time.monotonic() - start, chunk))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, RequestError.exit_code):  # one of the commands shows how a mistake is told
        raise SystemExit(f"{command}\nended with {code}:\n{b''.join(part for _, part in printed).decode()[-500:]}")
    return [(moment, part.decode(errors="replace")) for moment, part in printed]


def play(commands: tuple[str, ...], folder: Path) -> list[list[list[Cell]]]:
    """Run the commands one after the other; return the screen at every frame of the picture."""
    screen, shown = Screen(), []

    def hold(seconds: float) -> None:
        shown.extend([[list(row) for row in screen.visible()]] * max(1, round(seconds * FRAMES_PER_S)))

    for command in commands:
        screen.colour = PROMPT
        screen.write("$ ")
        screen.colour = FOREGROUND
        hold(0.5)
        for end in range(0, len(command), round(1 / TYPING_S / FRAMES_PER_S)):
            screen.write(command[end : end + round(1 / TYPING_S / FRAMES_PER_S)])
            hold(0)
        screen.write("\r\n")
        now = 0.0
        for moment, text in record(command, folder):
            if (moment - now) / SPEED >= 1 / FRAMES_PER_S:
                hold((moment - now) / SPEED)
                now = moment
            screen.write(text)
        screen.write("\r\n")
        hold(READING_S)
    hold(LAST_S - READING_S)
    last = round(LAST_S * FRAMES_PER_S)
    return shown[-last:] + shown[:-last]  # it loops; where it stands still, the finished screen is what is seen


def draw(rows: list[list[Cell]], fonts: list[ImageFont.FreeTypeFont]) -> Image.Image:
    """Draw a screen."""
    advance = fonts[0].getlength("m")
    size = (2 * round((2 * MARGIN_PX + COLUMNS * advance) / 2), 2 * MARGIN_PX + ROWS * LINE_PX)
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        for column, (letter, colour) in enumerate(row):
            if letter != " ":
                font = fonts["\u2800" <= letter <= "\u28ff"]
                pen.text((MARGIN_PX + column * advance, MARGIN_PX + number * LINE_PX), letter, colour, font)
    return image


def save(screens: list[list[list[Cell]]]) -> Path:
    """Write the screens with our own GIF writer."""
    fonts = [ImageFont.truetype(name, FONT_PX) for name in FONTS]
    drawn: dict[int, np.ndarray] = {}
    for screen in screens:
        if id(screen) not in drawn:
            drawn[id(screen)] = np.asarray(draw(screen, fonts))
    frames = np.stack([drawn[id(screen)] for screen in screens])
    report = Report(len(frames), Size(frames.shape[2], frames.shape[1]), 0.0, 0.0)
    knobs = Request(play_fps=FRAMES_PER_S, dither="none", colors=64, recipe=False)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.unlink(missing_ok=True)
    return Clip(frames, report, {}, knobs, write).save(TARGET)


def main() -> None:
    """Make the miniature, record, and say how large the picture became."""
    sys.path.insert(0, str(ROOT / "tests"))
    from miniature import make_miniature

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_miniature(folder / "miniature")
        (folder / "harbour.jpg").write_bytes((ROOT / "examples" / "harbour.jpg").read_bytes())
        screens = play(COMMANDS, folder)
    path = save(screens)
    print(f"{path.relative_to(ROOT)}: {len(screens)} frames, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
