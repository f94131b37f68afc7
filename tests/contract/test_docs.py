"""What the documentation says, held against the code: the reference, the links, and every example, which is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from doc_examples import LANGUAGES, REASONS, SERVED_AT, SHOWN, Newcomer, read_blocks
from doc_figures import Book, change, find_figures, rename, replace_numbers
from doc_server import Desk, shrink_presets
from miniature import make_miniature
from server import Server
from unstill.request import KNOBS, PRESETS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import build_reference  # noqa: E402 - a script, not a package

PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]}
WRITTEN_BY_HAND = {name: text for name, text in PAGES.items() if not name.startswith("docs/reference/")}
BLOCKS = {name: read_blocks(text) for name, text in WRITTEN_BY_HAND.items()}
WITH_EXAMPLES = sorted(name for name, blocks in BLOCKS.items() if any(block.runs for block in blocks))
DIARY = "docs/log.md"  # what experiments of a day gave: sources are wanted only where there are rows
BOOK = Book(ROOT / "docs" / "figures.toml", ROOT / "bench" / "results.csv")
CACHE = ".cache/huggingface/hub"
FEWEST = 55  # examples that run; there were 60 when this was written


# ---- the reference ------------------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says():
    """`make docs` writes it again."""
    pages = build_reference.build_pages()
    assert {path.name for path in build_reference.REFERENCE.iterdir()} == set(pages)
    for name, text in pages.items():
        assert (build_reference.REFERENCE / name).read_text() == text, f"run: make docs ({name} differs)"


def test_every_knob_is_used_on_a_page_written_by_hand():
    prose = "\n".join(WRITTEN_BY_HAND.values())
    spellings = {name: ("--" + name.replace("_", "-"), f"--no-{name}") for name in KNOBS}
    assert [name for name, two in spellings.items() if not any(re.search(rf"{s}\b(?!-)", prose) for s in two)] == []


def test_every_command_is_in_the_readme_and_in_an_example():
    from unstill.cli.app import app

    examples = "\n".join(block.text for blocks in BLOCKS.values() for block in blocks if block.language == "bash")
    assert [name for name in app.commands if f"`unstill {name}" not in PAGES["README.md"]] == []
    assert [name for name in app.commands if f"unstill {name}" not in examples] == []


def test_the_claims_of_the_readme_name_tests_that_exist():
    named = re.findall(r"\b((?:tests|bench|docs)/[\w/]+\.py)", PAGES["README.md"])
    assert len(named) >= 8
    assert [path for path in named if not (ROOT / path).exists()] == []


# ---- links and figures ---------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """Make the anchor that GitHub makes of a heading."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return {anchor(found[1]) for found in re.finditer(r"^#+ (.+)$", text, re.M)}


def links(text: str) -> list[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href|srcset)="([^"]+)"', text)]


@pytest.mark.parametrize("name", PAGES)
def test_no_link_is_dead(name):
    dead = []
    for link in links(PAGES[name]):
        if link.startswith(("https://", "http://")):
            continue
        path, _, part = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists() or (part and part not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_can_be_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting.extend((page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text()) if ":" not in link)
    assert {ROOT / name for name in PAGES} - seen == set()


@pytest.mark.parametrize("name", WRITTEN_BY_HAND)
def test_figures_have_a_source(name):
    """A figure in prose comes from a row of bench/results.csv or from a command, or docs/figures.toml says why not.

    Tables that bench/table.py makes and pages that are written from the code are held to them by tests of their own.
    """
    assert BOOK.check(name, PAGES[name], BOOK.of(name), may_be_open=name == DIARY) == []


def test_sources_are_those_of_pages_that_are_there():
    assert set(BOOK.pages) - set(WRITTEN_BY_HAND) == set()
    commands = [command.split() for sources in BOOK.pages.values() for command in sources.printed]
    assert [words for words in commands if words[0] != "python" or not (ROOT / words[1]).exists()] == []


@pytest.mark.parametrize("name", BOOK.pages)
def test_a_figure_that_is_changed_is_caught(name):
    """By the smallest change of each; what is computed also where its source is made to tell the same."""
    page, sources, may_be_open = PAGES[name], BOOK.of(name), name == DIARY
    figures, tied, computed = list(find_figures(page)), set(sources.list_all()), dict(sources.list_formulas())
    for figure in figures:
        number = change(figure.number)
        if figure.text in tied:
            assert BOOK.check(name, replace_numbers(page, [figure], number), sources, may_be_open=may_be_open), figure
        if figure.text in computed:
            forged = replace_numbers(page, [one for one in figures if one.text == figure.text], number)
            told = rename(sources, figure.text, number + figure.text.removeprefix(figure.number))
            wrong = BOOK.check(name, forged, told, may_be_open=may_be_open)
            assert any(f"should be {figure.number}," in one for one in wrong), figure


INVENTED = ("3.7 s", "41 ms", "12 min", "5.3 GB", "700 MiB", "1.4 times", "2.6×", "3x", "17 %", "30 percent", "0.4 ‰", "3.1 px/frame", "45 jobs/s",
            "45 jobs a second", "21.5 dB", "90 GB/s", "0.93", "1.2e-4", "37 of 40", "3 to 9 s", "1, 2 and 7 GB")  # fmt: skip


@pytest.mark.parametrize("figure", INVENTED)
def test_a_figure_that_is_invented_is_caught(figure):
    for name in set(WRITTEN_BY_HAND) - {DIARY}:
        assert BOOK.check(name, f"{PAGES[name]}\nThat takes or makes {figure} in all.\n", BOOK.of(name)) != [], name


@pytest.mark.slow
def test_the_work_of_a_clip_is_what_the_pages_say():
    """Counted on the published networks without any numbers in them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from unstill.memory.need import DOUBLING, TABLES
    from unstill.model.config import UNetConfig, VAEConfig
    from unstill.model.unet import UNet
    from unstill.model.vae import VAE

    def count(frames: int, rows: int, columns: int) -> tuple[int, int]:
        with torch.device("meta"), torch.no_grad():
            with FlopCounterMode(display=False) as step:
                unet(torch.zeros(2, frames, 8, rows, columns), torch.zeros(()), torch.zeros(2, 1, 1024), torch.zeros(2, 3))
            with FlopCounterMode(display=False) as decoding:
                vae.decode(torch.zeros(frames, 4, rows, columns), frames)
        return step.get_total_flops(), decoding.get_total_flops()

    with torch.device("meta"):
        unet, vae = UNet(UNetConfig()), VAE(VAEConfig())
    step, decoding = count(25, 72, 128)
    clip = 25 * step + decoding
    draft, smaller = (12 * of_step + of_decoding for of_step, of_decoding in (count(14, 40, 72), count(14, 24, 40)))
    work = (f"{step / 1e12:.1f}", f"{decoding / 1e12:.1f}", f"{clip / 1e12:,.0f}")
    slow, fast = 100e9 * 60, 500e9 * 60  # operations a minute
    sizes = [f"{sum(x.numel() for x in part.parameters()) / 1e6:,.0f} million" for part in (unet, vae)]
    tables, doubling = (
        sum(x.numel() for name, x in unet.named_parameters() if kind.search(name)) for kind in (TABLES, DOUBLING)
    )
    said = {
        "docs/quickstart.md": [
            *work,
            f"| {clip / slow / 60:.1f} h | {draft / slow:.0f} min | {smaller / slow:.0f} min |",
            f"| {clip / fast / 60:.1f} h | {draft / fast:.0f} min | {smaller / fast:.1f} min |",
        ],
        "docs/concepts/how-svd-works.md": [*work, *sizes],
        "docs/concepts/speed.md": [f"{(tables - doubling * 7 / 9) / 1e6:.0f} million"],  # 9 numbers of doubling become 16
    }
    assert [(name, figure) for name, figures in said.items() for figure in figures if figure not in PAGES[name]] == []


# ---- examples ------------------------------------------------------------------------------------------------


def test_every_block_is_an_example_or_says_why_not():
    blocks = [(name, block) for name, found in BLOCKS.items() for block in found]
    assert [(n, b.line, b.language) for n, b in blocks if b.language not in LANGUAGES | SHOWN | {"", "mermaid"}] == []
    assert [(n, b.line, b.reason) for n, b in blocks if b.reason and b.reason not in REASONS] == []
    bare = [(n, b.line) for n, b in blocks if b.language == "" and n not in ("docs/architecture.md",)]
    assert bare == []


def test_most_examples_run():
    """A page cannot pass by running none."""
    running = [block for blocks in BLOCKS.values() for block in blocks if block.runs]
    left_out = [block for blocks in BLOCKS.values() for block in blocks if block.reason]
    assert len(running) >= FEWEST
    assert len(left_out) <= len(running) / 3
    howtos = [name for name in PAGES if name.startswith("docs/howto/") or name in ("README.md", "docs/quickstart.md")]
    assert [name for name in howtos if name not in WITH_EXAMPLES] == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home folder with the models as `unstill pull` leaves them."""
    folder = tmp_path_factory.mktemp("docs") / "home"
    miniature = make_miniature(folder / "miniature", is_thin=True)
    for name in ("img2vid", "img2vid-xt", "img2vid-xt-1-1"):
        snapshots = folder / CACHE / f"models--stabilityai--stable-video-diffusion-{name}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / ("0123456789" * 4)).symlink_to(miniature)
    config = folder / ".config" / "unstill" / "config.toml"
    config.parent.mkdir(parents=True)
    # As with a GPU: the bundled model takes seconds where the miniature takes none.
    config.write_text('[animate]\nmodel = "svd-xt"\n')
    return folder


@pytest.fixture(scope="module")
def environment(home):
    """Return the environment of commands.

    Processes that they start have the small presets too, since Python imports `sitecustomize` by itself.
    """
    site = home / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"import sys\nsys.path[:0] = {[str(ROOT / 'src'), str(ROOT / 'tests')]}\n"
        "from unstill.request import PRESETS\nimport doc_server\ndoc_server.shrink_presets(PRESETS)\n"
    )
    kept = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8", "GOMP_SPINCOUNT": os.environ["GOMP_SPINCOUNT"]}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(site), **kept}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    found = Desk(tmp_path_factory.mktemp("desk"))
    yield found
    found.close()


@pytest.fixture
def served_at(request, environment, tmp_path_factory):
    """Yield the address of a server, for the page whose examples speak to one."""
    name = request.node.callspec.params["name"]
    if not any(SERVED_AT in block.text for block in BLOCKS[name] if block.runs):
        yield SERVED_AT
        return
    server = Server(tmp_path_factory.mktemp("serve"), PYTHONPATH=environment["PYTHONPATH"])
    yield server.url
    server.stop()


@pytest.fixture
def newcomer(home, environment, desk, served_at, tmp_path, monkeypatch):
    """Return somebody with pictures and models, whose commands run in this process."""
    draw_pictures(tmp_path)
    small = dict(PRESETS)
    shrink_presets(small)
    for name, preset in small.items():
        monkeypatch.setitem(PRESETS, name, preset)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / CACHE))  # made from HOME when it was imported
    return Newcomer(tmp_path, desk, desk.put_first(environment), served_at)


def draw_pictures(folder: Path) -> None:
    """Draw the pictures that the examples speak of."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (6, 10, 4), np.uint8)
    landscape = Image.fromarray(noise[..., :3]).resize((480, 270), Image.Resampling.BICUBIC)
    landscape.save(folder / "photo.jpg")
    landscape.crop((0, 0, 160, 240)).save(folder / "portrait.jpg")
    Image.fromarray(noise).resize((200, 120), Image.Resampling.BICUBIC).save(folder / "logo.png")
    (folder / "photos").mkdir()
    for name in ("one", "two"):
        landscape.resize((320, 180)).save(folder / "photos" / f"{name}.jpg")


@pytest.mark.slow  # a minute of processor time together
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_every_example_runs(name, newcomer):
    """Blocks of a page share a folder and run from top to bottom, as a reader would type them.

    A block of text right below an example is what it prints, to the letter.
    """
    running = [block for block in BLOCKS[name] if block.runs]
    assert running
    for block in running:
        done = newcomer.run(block)
        assert done.code == 0, f"{name}, line {block.line}:\n{block.text}\nsaid:\n{done.said}"
        assert block.said in (None, done.said), f"{name}, line {block.line} says something else"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["docs/howto/choose-a-model.md"])
def test_an_example_says_the_same_as_a_process_of_its_own(name, newcomer, environment):
    """Run as installed: what examples start in the process of the tests is what a reader starts."""
    first = next(block for block in BLOCKS[name] if block.runs)
    installed = {**environment, "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    said = subprocess.run(
        ["bash", "-c", first.text], cwd=newcomer.folder, env=installed, capture_output=True, text=True, check=True
    )
    assert "svd-xt" in said.stdout
    assert said.stdout == newcomer.run(first).said


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("speed", "README.md"),
        ("rungs", "docs/concepts/speed.md"),
        ("memory", "docs/howto/save-memory.md"),
        ("costs", "docs/howto/ray.md"),
    ],
)
def test_tables_of_measurements_are_those_of_the_rows(name, page):
    """After new rows: python bench/table.py --write"""
    made = subprocess.run([sys.executable, "bench/table.py", name], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.strip() in (ROOT / page).read_text()
