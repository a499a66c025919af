"""docs/methods.md is what the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command import unsharpen

from unsharpen import get_method, list_methods
from unsharpen.cli.methods_page import COST, STAGES, cost_of, methods_page, stage_of

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text("utf-8") == methods_page(), "unsharpen methods --markdown > docs/methods.md"


def test_the_command_writes_it() -> None:
    done = unsharpen("methods", "--markdown")
    assert (done.code, done.out) == (0, methods_page())
    refused = unsharpen("methods", "grpo", "--markdown")
    assert refused.code == 2
    assert "found the name 'grpo' too" in refused.err


def test_every_method_has_one_entry_with_what_it_is() -> None:
    page = methods_page()
    for name in list_methods():
        method = get_method(name)
        assert page.count(f"\n### {name}\n") == 1
        entry = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for text in (method.summary, method.paper, method.notes, method.experimental):
            assert text in entry
        for key, value in method.coefficients.items():
            assert f"`{key}={value}`" in entry
        assert method.requires <= COST.keys(), "say in COST what it costs to supply"
        for line in method.equation.split("; "):
            assert line in entry


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("grpo", "baseline"),
        ("grpo-kl", "settings"),
        ("unlikeliness", "reward"),
        ("ds-grpo", "advantage"),
        ("pass-at-k", "replace"),
        ("ds-grpo-token", "token"),
    ],
)
def test_stages(name: str, stage: str) -> None:
    assert stage_of(get_method(name)) == stage
    assert stage in STAGES


def test_costs() -> None:
    assert cost_of(get_method("ds-grpo")) == "no additional pass"
    assert cost_of(get_method("grpo-kl")) == cost_of(get_method("mara")) == COST["reference_logprobs"]
    assert cost_of(get_method("evol-rl")) == "an embedding of every completion"
