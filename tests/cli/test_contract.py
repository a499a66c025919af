"""What scripts of users rely on: commands, option names, exit codes, where words go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.cli.command import unsharpen

import unsharpen as package
from unsharpen import get_method, list_methods
from unsharpen.cli.app import app

# Removing or renaming one breaks scripts; adding one means adding it here.
OPTIONS = {
    (): {"--version"},
    ("train",): {
        *("--method", "--method-arg", "--task", "--data", "--eval-data", "--model", "--config", "--seed", "--output"),
        *("--resume", "--steps", "--set", "--lora", "--answer-format", "--problems", "--num-train", "--num-eval"),
        *("--eval-samples", "--eval-every", "--eval-set", "--problem-column", "--answer-column", "--format-bonus"),
        "--dry-run",
    },
    ("demo",): {"--output", "--steps", "--num-eval", "--seed"},
    ("metrics",): {
        *("--base", "--ks", "--format", "--task", "--answer-format", "--metric", "--filter", "--threshold"),
        *("--problem-column", "--completion-column", "--correct-column", "--answer-column", "--label", "--base-label"),
        *("--common", "--level", "--seed", "--json", "--csv", "--latex"),
    },
    ("regrade",): {
        *("--output", "--data", "--split", "--problem-column", "--answer-column", "--answer-format"),
        "--strip-thinking",
    },
    ("report",): {"--output", "--title", "--label", "--open"},
    ("diagnose",): {"--json"},
    ("eval",): {
        *("--task", "--num-samples", "-n", "--output", "--base", "--compare", "--data", "--split", "--limit"),
        *("--problem-column", "--answer-column", "--answer-format", "--temperature", "--top-p", "--top-k", "--min-p"),
        *("--max-new-tokens", "--stop", "--seed", "--system", "--chat", "--chat-template-arg", "--thinking-budget"),
        *("--strip-thinking", "--backend", "--base-url", "--api-key-env", "--concurrency", "--samples-per-request"),
        *("--timeout", "--attempts", "--logprobs", "--request", "--batch-size", "--device", "--dtype", "--engine"),
    },
    ("compare",): {
        *("--config", "--seeds", "--lr", "--method-arg", "--steps", "--minutes", "--model", "--data", "--eval-data"),
        *("--num-eval", "--eval-samples", "--eval-every", "--set", "--reference", "--tune", "--jobs", "--output"),
        *("--keep-models", "--retry-failed", "--import", "--report-only", "--dry-run"),
        *("--temperature", "--base-share", "--average-seeds"),
    },
    ("methods",): {"--markdown"},
    ("merge",): {"--output", "--delta", "--force"},
    ("theory",): set(),
    ("theory", "biases"): {"--correct", "--wrong", "--group-size", "--figure", "--json"},
    ("theory", "frontier"): {"--correct", "--wrong", "--gamma", "--beta", "--figure", "--json"},
    ("theory", "dominate"): {
        *("--correct", "--wrong", "--gamma", "--beta", "--proxy", "--tied", "--centered", "--figure", "--json"),
    },
    ("theory", "dynamics"): {
        *("--method", "--multiplicity", "--seeds", "--steps", "--learning-rate", "--group-size", "--figure", "--json"),
    },
    ("theory", "explore"): {"--output", "--open"},
    ("data",): set(),
    ("data", "presample"): {
        *("--output", "--model", "--data", "--num-train", "--problems", "--answer-format", "--samples", "--mastered"),
        *("--keep", "--temperature", "--max-new-tokens", "--batch-size", "--seed", "--force"),
    },
    ("data", "countdown"): {
        *("--output", "--num", "--size", "--numbers", "--targets", "--multiplicity", "--split", "--seed", "--force"),
        "--format",
    },
}
COMPLETION = {"--install-completion", "--show-completion"}


def commands() -> dict[tuple[str, ...], set[str]]:
    """(command, ...) -> its options."""
    found = {}

    def visit(path: tuple[str, ...], command: object) -> None:
        options = {name for parameter in command.params for name in parameter.opts if name.startswith("-")}  # type: ignore[attr-defined]
        found[path] = options - COMPLETION
        for name, inner in getattr(command, "commands", {}).items():
            visit((*path, name), inner)

    visit((), typer.main.get_command(app))
    return found


def test_commands_and_options_are_the_frozen_ones() -> None:
    assert commands() == OPTIONS


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: " ".join(path) or "unsharpen")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_option(path: tuple[str, ...], flag: str) -> None:
    done = unsharpen(*path, flag)
    assert done.code == 0
    assert not done.err
    missing = {option for option in OPTIONS[path] if option not in done.out}
    assert not missing
    for command in OPTIONS:
        if command[:-1] == path and command:
            assert command[-1] in done.out


def test_version() -> None:
    done = unsharpen("--version")
    assert (done.code, done.out, done.err) == (0, f"unsharpen {package.__version__}\n", "")


def test_both_entries_of_the_installed_package_work() -> None:
    for command in ([sys.executable, "-m", "unsharpen"], [Path(sys.executable).with_name("unsharpen")]):
        done = subprocess.run([*command, "methods", "grop"], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: unknown method 'grop'")
        assert "grpo" in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout


def test_methods_shows_the_whole_catalogue() -> None:
    done = unsharpen("methods")
    assert done.code == 0
    shown = " ".join(done.out.split())
    for name in list_methods():
        method = get_method(name)
        assert name in shown
        assert method.summary in shown
        assert (f"{method.summary} (experimental)" in shown) == bool(method.experimental)
        assert method.paper in shown
        for key, value in method.coefficients.items():
            assert f"{key}={value}" in shown
        for field in method.requires:
            assert field in shown


@pytest.mark.parametrize("name", list_methods())
def test_one_method_in_full(name: str) -> None:
    method = get_method(name)
    done = unsharpen("methods", name)
    assert done.code == 0
    shown = " ".join(done.out.split())
    for text in (method.name, method.summary, method.equation, method.paper, method.experimental):
        assert " ".join(text.split()) in shown
    for key, value in {**method.coefficients, **method.recipe.settings}.items():
        assert f"{key}={value}" in shown


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_no_command_shows_the_help(arguments: list[str]) -> None:
    done = unsharpen(*arguments)
    assert "Usage" in done.out + done.err


@pytest.mark.parametrize(
    "arguments",
    [
        *(["tain"], ["train", "--stepz", "3"], ["train", "--steps", "many"], ["train", "--seed"]),
        *(["data", "countdown"], ["data", "countdown", "--output", "x.jsonl", "--seed", "-1"]),
        *(["metrics", "x.jsonl", "--seed", "-1"], ["eval", "x", "--task", "countdown", "--seed", "-1"]),
    ],
)
def test_wrong_usage_is_exit_code_2_without_a_traceback(arguments: list[str]) -> None:
    done = unsharpen(*arguments)
    assert done.code == 2
    assert not done.out
    assert "Error" in done.err
    assert "Traceback" not in done.err
