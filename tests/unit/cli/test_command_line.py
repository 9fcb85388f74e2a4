"""`beacon` itself: its list of commands, its exit codes, and the one sentence that wrong use gets."""

import importlib
import inspect

import pytest
from tests.places import ROOT

from beacon_cli.app import COMMANDS, app, main
from beacon_cli.errors import CommandError, ExitCode, FailedError, RefusedError, not_among
from beacon_cli.options import RUNNING_LAB, with_lab_value

FOLDER = ROOT / "cli/src/beacon_cli/commands"


def test_every_module_of_the_folder_is_a_command() -> None:
    """And every command has its module."""
    assert {path.stem for path in FOLDER.glob("[a-z]*.py")} == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_says_what_it_does_and_gives_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example is understood by the parser; the list says what the function says of itself."""
    command = COMMANDS[name]
    module, _, function = command.where.partition(":")
    documented = inspect.getdoc(getattr(importlib.import_module(module), function))
    assert documented
    assert documented.split("\n")[0] == command.what
    assert main([name, "--help"]) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: {command.example}" in shown
    assert "Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused." in shown
    program, *words = command.example.split()
    assert program == "beacon"
    app.parse_args(with_lab_value(words), exit_on_error=False, print_error=False)


def test_the_list_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it does."""
    assert main(["--help"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert name in shown


@pytest.mark.parametrize(
    ("words", "says", "helps"),
    [
        (["stauts"], 'Did you mean "status"?', "beacon --help"),
        (["status", "--wach"], "Unknown option: --wach", "beacon status --help"),
        (["status", "--config-file"], "requires an argument", "beacon status --help"),
    ],
)
def test_wrong_use_is_one_sentence_and_the_command_that_helps(
    words: list[str], says: str, helps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error alone; the exit code is 2."""
    assert main(words) == ExitCode.WRONG_USE
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first.startswith("beacon: ")
    assert says in first
    assert second == f"  try: {helps}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FailedError("it failed", "beacon status"), ExitCode.FAILED),
        (RefusedError("no Region would be left"), ExitCode.REFUSED),
        (not_among("Region", "us-est-1", ["us-east-1", "eu-west-1"], "shop-test"), ExitCode.WRONG_USE),
    ],
)
def test_a_command_that_ends_early_has_its_exit_code(
    error: CommandError,
    code: ExitCode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the command."""

    def ends(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("beacon_cli.looking.look_for", ends)
    assert main(["status"]) == code
    assert capsys.readouterr().err == "".join(f"{line}\n" for line in error.lines())


def test_an_unknown_name_gets_the_known_ones_and_the_nearest() -> None:
    """So the operator need not look them up."""
    error = not_among("Region", "us-est-1", ["us-east-1", "eu-west-1"], "shop-test")
    assert error.sentence == (
        "there is no Region 'us-est-1' in shop-test: it has us-east-1, eu-west-1. Did you mean us-east-1?"
    )
    assert "Did you mean" not in not_among("Region", "moon", ["us-east-1"], "shop-test").sentence


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["status", "--lab"], ["status", f"--lab={RUNNING_LAB}"]),
        (["explain", "--lab", "us-east-1"], ["explain", f"--lab={RUNNING_LAB}", "us-east-1"]),
        (["--lab", "--json"], [f"--lab={RUNNING_LAB}", "--json"]),
        (["--lab", "ready.json", "--json"], ["--lab", "ready.json", "--json"]),
        (["--lab", "./ready"], ["--lab", "./ready"]),
        (["--lab=x"], ["--lab=x"]),
        (["--", "--lab"], ["--", "--lab"]),
    ],
)
def test_a_bare_lab_is_the_one_that_is_up(given: list[str], read: list[str]) -> None:
    """A word that follows is its file only if it looks like one."""
    assert with_lab_value(given) == read


def test_completion_knows_every_command() -> None:
    """For the three shells."""
    for shell in ("bash", "zsh", "fish"):
        script = app.generate_completion(shell=shell)
        assert all(name in script for name in COMMANDS), shell
