"""A run that is killed with SIGKILL and resumed ends as an undisturbed one: nothing lost, nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.evaluation.killing import TOTAL, command, finish, kill_and_resume, whole_lines, write_problems
from tests.evaluation.servers import serving


@pytest.mark.timeout(900)
def test_killed_runs_resume_to_the_result_of_an_undisturbed_one(tmp_path: Path) -> None:
    rng = Random(4)
    data = write_problems(tmp_path / "problems.jsonl")
    with serving(delay=0.004) as server:
        finish(command(server, data, tmp_path / "undisturbed"))
        undisturbed, _ = whole_lines(tmp_path / "undisturbed")
        assert len(undisturbed) == TOTAL
        outcomes = [kill_and_resume(server, data, tmp_path / str(i), rng, undisturbed) for i in range(5)]
    assert [(o.lost, o.duplicated, o.forgotten, o.identical) for o in outcomes] == [(0, 0, 0, True)] * len(outcomes)
    assert any(0 < outcome.kept < TOTAL for outcome in outcomes), "no run was killed in the middle"
