"""cli/help.py and cli/completion.py: help in two columns, exit codes from the errors, scripts for shells."""

import click
import pytest

from unstill.cli import main
from unstill.cli.help import Command, Option, first_paragraph, list_exit_codes, write_rows
from unstill.errors import Cancelled, DiskFull, RequestError, UnstillError


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")


def test_names_stand_beside_what_they_mean():
    assert write_rows([("--one", "First."), ("--longer", "Second, which wraps.\nrange")], 28, 12) == (
        "  --one     First.\n  --longer  Second, which\n            wraps.\n            range"
    )


def test_without_room_names_stand_above():
    assert write_rows([("--one", "First, which wraps.")], 20, 0) == "  --one\n      First, which\n      wraps."


def test_a_name_without_meaning_is_still_there():
    assert write_rows([("--one", "")], 40, 10) == "  --one"


def test_help_has_usage_paragraphs_and_options_by_heading(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")

    @click.command(cls=Command)
    @click.argument("what", metavar="WHAT")
    @click.option("--out", "-o", metavar="FILE", help="Where.")
    @click.option("--deep/--no-deep", cls=Option, group="More", help="How.")
    @click.option("--secret", hidden=True, help="Not shown.")
    def command(**given):
        """Do one thing.

        Then
        another.
        """

    with pytest.raises(SystemExit):
        command.main(["--help"], prog_name="it")
    assert capsys.readouterr().out == (
        "Usage: it [OPTIONS] WHAT\n\nDo one thing.\n\nThen another.\n\n"
        "Options\n  -o, --out FILE  Where.\n  -h, --help      Show this message and exit.\n\n"
        "More\n  --[no-]deep     How.\n"
    )


def test_the_first_paragraph_is_the_sentence_in_the_list():
    assert first_paragraph(click.Command("x", help="Do one\n  thing.\n\nMore.")) == "Do one thing."


def test_exit_codes_come_from_the_errors():
    codes = list_exit_codes()
    assert codes[0] == "Done."
    assert codes[RequestError.exit_code] == RequestError.__doc__
    assert codes[Cancelled.exit_code] == Cancelled.__doc__
    assert DiskFull.__doc__ not in codes.values()  # shares the code of its parent
    assert codes[UnstillError.exit_code].startswith("A fault in unstill")
    assert list(codes) == sorted(codes)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_of_its_own(shell, capsys):
    assert main(["completion", shell]) == 0
    spoken = capsys.readouterr()
    assert f"_UNSTILL_COMPLETE={shell}_complete" in spoken.out
    assert spoken.err.startswith(f"to keep it: unstill completion {shell} > ")


def test_the_shell_in_use_is_the_default(monkeypatch, capsys):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert main(["completion"]) == 0
    assert "fish_complete" in capsys.readouterr().out


def test_another_shell_is_refused(capsys):
    assert main(["completion", "cmd\x1b"]) == 2
    assert "Completion is for bash, zsh, fish, not cmd\\x1b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "offered"),
    [("unstill ani", "plain,animate"), ("unstill animate --mot", "plain,--motion"), ("unstill animate --fit bl", "plain,blur"),
     ("unstill animate pho", "file,pho"), ("unstill pull svd-xt-", "plain,svd-xt-1.1")],
)  # fmt: skip
def test_a_shell_is_told_what_may_come_next(line, offered, monkeypatch, capsys):
    monkeypatch.setenv("_UNSTILL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == f"{offered}\n"
