"""`unsharpen eval` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command import Outcome, lines, unsharpen
from tests.evaluation.servers import ModelServer, says, serving, status


def run(server: ModelServer, data: Path, output: Path, *more: object) -> Outcome:
    where = ("--base-url", server.url, "--attempts", 1, "--answer-format", "bare")
    return unsharpen("eval", "good-model", *where, "--data", data, "--output", output, *more)


def test_an_evaluation_ends_with_a_table_and_where_things_are(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        done = run(server, data, tmp_path / "a", "-n", 8)
        assert done.code == 0, done.err
        assert not done.err
        for text in ("good-model", "Pass@1", "Pass@8", "distinct", "effective", "samples.jsonl"):
            assert text in done.out
        assert len(lines(tmp_path / "a" / "samples.jsonl")) == 40 * 8
        again = run(server, data, tmp_path / "a", "-n", 8)
        assert "320 of 320 samples are there" in again.out
        both = run(server, data, tmp_path / "b", "-n", 4, "--seed", 1, "--base", tmp_path / "a")
        assert both.code == 0, both.err
        assert both.out.count("good-model") > again.out.count("good-model")
    compared = unsharpen("eval", "--compare", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "c")
    assert compared.code == 0, compared.err
    assert "Pass@4" in compared.out
    assert "8" in compared.out


def test_the_default_folder_names_task_and_model(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        done = unsharpen(
            *("eval", "org/good model", "--base-url", server.url, "--data", data, "--limit", 1, "-n", 1),
            *("--answer-format", "bare"),
        )
    assert done.code == 0, done.err
    assert (tmp_path / "evaluations" / "countdown-org-good-model" / "samples.jsonl").exists()


def test_equal_samples_are_pointed_out(data: Path, tmp_path: Path) -> None:
    with serving(says({"choices": [{"text": "1 + 1"}]})) as server:
        done = run(server, data, tmp_path, "-n", 3)
    assert "warning: good-model: all samples of a problem are the same" in done.err


def test_an_incomplete_evaluation_is_pointed_out(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        assert run(server, data, tmp_path, "-n", 3).code == 0
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")
    done = unsharpen("eval", "--compare", tmp_path, tmp_path, "--output", tmp_path / "c")
    assert "warning: good-model: not complete; 119 of 120 samples" in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected a MODEL"),
        (["m", "--task", "countdwn"], "found 'countdwn'"),
        (["m", "-n", "0"], "num_samples must be 1 to"),
        (["m", "--temperature", "0"], "temperature must be above 0"),
        (["m", "--base-url", "nowhere"], "a base URL must look like"),
        (["m", "--base-url", "http://127.0.0.1:9", "--backend", "vllm"], "a base URL is for the backend openai"),
        (["m", "--backend", "openai"], "needs the address of a server"),
        (["m", "--backend", "magic"], "backend must be one of"),
        (["m", "--base-url", "http://127.0.0.1:9", "--request", "x"], "--request takes name=value"),
        (["m", "--base-url", "http://127.0.0.1:9", "--timeout", "0"], "time-out above 0"),
        (["m", "--base-url", "http://127.0.0.1:1/v1"], "can't reach the server at http://127.0.0.1:1/v1"),
        (["m", "--base-url", "http://127.0.0.1:1/v1", "--data", "none.jsonl"], "none.jsonl"),
        (["m", "--compare", "a", "b"], "leave MODEL and --base out"),
        (["--compare", "a", "b"], "a must be a folder with samples.jsonl"),
    ],
)
def test_wrong_usage_is_one_message(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = unsharpen("eval", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert expected in done.err
    assert not done.out
    assert not list(tmp_path.iterdir())


def test_a_refusing_server_is_one_message(data: Path, tmp_path: Path) -> None:
    with serving(status(404, "no such model")) as server:
        done = run(server, data, tmp_path)
    assert done.code == 2
    assert "refuses: HTTP 404" in done.err
    assert "no such model" in done.err
