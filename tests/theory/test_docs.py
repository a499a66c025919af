"""The examples of docs/theory.md run, and the tests that it names exist."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "theory.md").read_text("utf-8")


def test_examples_run() -> None:
    """All blocks in order, in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) >= 15
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/theory.md", None, 0)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)
    assert results.failed == 0, "".join(report)
    assert results.attempted > 40


def test_every_claim_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", TEXT, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    for number, cell in rows:
        names = cell.split(", ")
        for name in names:
            file, _, function = name.partition("::")
            tree = ast.parse((ROOT / "tests" / "theory" / f"test_{file}.py").read_text("utf-8"))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert function in functions, f"claim {number}: {name}"


def test_every_status_is_one_of_three() -> None:
    statuses = re.findall(r"^\| \d+ \|[^|]*\| ([^|]*) \|", TEXT, flags=re.MULTILINE)
    assert set(statuses) == {"holds", "holds when", "**fails**"}
