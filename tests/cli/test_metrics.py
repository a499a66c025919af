"""`unsharpen metrics`: as a user calls it, with good and with wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.command import unsharpen

from unsharpen.evaluation.imports import load_samples
from unsharpen.metrics import compare, summarise


def write(path: Path, right: dict[str, int], n: int = 8, **more: object) -> Path:
    rows = [
        {"problem": p, "completion": f"so {i % 3}", "correct": i < c, "answer": str(i % 3), **more}
        for p, c in right.items()
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    base = write(tmp_path / "base.jsonl", {f"p{i}": 2 for i in range(12)})
    return write(tmp_path / "sharp.jsonl", {f"p{i}": 7 * (i % 2) for i in range(12)}), base


def test_one_file(files: tuple[Path, Path]) -> None:
    done = unsharpen("metrics", files[0])
    assert (done.code, done.err) == (0, "")
    for words in ("Pass@8", "maj@4", "effective solutions", "sharp: 12 problems, 8 samples each, 42 correct."):
        assert words in done.out


def test_json_is_what_the_library_gives(files: tuple[Path, Path]) -> None:
    done = unsharpen("metrics", files[0], "--base", files[1], "--ks", "1,4", "--level", "0.9", "--seed", "5", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    table, base = load_samples(files[0]), load_samples(files[1])
    expected = [summarise(t, ks=[1, 4], level=0.9, seed=5).as_dict() for t in (base, table)]
    assert found["summaries"] == json.loads(json.dumps(expected))
    comparison = compare(table, base, ks=[1, 4], level=0.9, seed=5).as_dict()
    assert found["comparison"] == json.loads(json.dumps(comparison))
    assert json.loads(unsharpen("metrics", files[0], "--json").out)["comparison"] is None


def test_tables_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = unsharpen(
        *("metrics", files[0], "--base", files[1], "--label", "ours", "--base-label", "theirs"),
        *("--csv", tmp_path / "t.csv", "--latex", tmp_path / "t.tex"),
    )
    assert done.code == 0
    assert "theirs catches up at k =" in done.out
    assert (
        (tmp_path / "t.csv").read_text("utf-8").startswith("model,measure,value,low,high,problems,undefined\ntheirs,")
    )
    assert "\\toprule" in (tmp_path / "t.tex").read_text("utf-8")


def test_two_files_of_one_name_are_told_apart(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = write(tmp_path / "b" / "sharp.jsonl", {f"p{i}": 2 for i in range(12)})
    done = unsharpen("metrics", files[0], "--base", other)
    assert "sharp (base) catches up" in done.out


def test_models_with_different_numbers_of_samples_share_their_ks(tmp_path: Path) -> None:
    few, many = (
        write(tmp_path / "few.jsonl", {"a": 1, "b": 2}, n=4),
        write(tmp_path / "many.jsonl", {"a": 3, "b": 1}, n=9),
    )
    for pair in ((few, many), (many, few)):
        found = json.loads(unsharpen("metrics", pair[0], "--base", pair[1], "--json").out)
        assert [s["ks"] for s in found["summaries"]] == [[1, 2, 4]] * 2
        done = unsharpen("metrics", pair[0], "--base", pair[1])
        assert done.code == 0
        assert "note (difference): 2 of 2 problems have different numbers of samples" in done.out
        assert "effective_solutions" not in found["comparison"]["differences"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ks", "1,9"], "12 of 12 problems of 'sharp' have fewer than 9"),
        (["--ks", "1;2"], "--ks must be integers with commas between; found '1;2'"),
        (["--format", "helm"], "format must be one of unsharpen, lm-eval"),
        (["--filter", "x"], "the format plain has no use for filter"),
        (["--task", "chess"], "graded anew for the task countdown; found 'chess'"),
        (["--task", "countdown"], "line 1: CountDown needs the numbers and the target"),
        (["--level", "1"], "level must lie between 0 and 1"),
        (["--correct-column", "right"], "line 1: has no column 'right'"),
        (["--csv", "/nowhere/x.csv"], "/nowhere/x.csv can't be written"),
        (["--base", "none.jsonl"], "none.jsonl: expected a file or folder of samples; there is none"),
    ],
)
def test_wrong_input_is_a_message(files: tuple[Path, Path], arguments: list[str], message: str) -> None:
    done = unsharpen("metrics", files[0], *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_the_folder_of_a_training_run_is_for_report(tmp_path: Path) -> None:
    for name in ("config.json", "evaluation.jsonl"):
        (tmp_path / name).write_text("{}\n", "utf-8")
    done = unsharpen("metrics", tmp_path)
    assert done.code == 2
    assert f"hint: this is the folder of a training run: unsharpen report {tmp_path}" in done.err


def test_other_problems_than_the_base(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", {f"p{i}": 2 for i in range(10)})
    done = unsharpen("metrics", files[0], "--base", other)
    assert done.code == 2
    assert "10 are in both, 2 only in 'sharp', 0 only in 'other' (first: 'p10')" in done.err
    done = unsharpen("metrics", files[0], "--base", other, "--common")
    assert done.code == 0
    assert "Compared on 10 common problems; left out: 2 only in sharp" in done.out


def test_common_problems_are_those_of_every_column(tmp_path: Path) -> None:
    rows = [(p, {"multiplicity": p + 1}) for p in range(30)]

    def written(name: str, first: int) -> Path:
        path = tmp_path / name
        lines = [
            {"problem_id": f"p{p}", "correct": i <= p % 3, "canonical": f"s{i % 2}", **about}
            for p, about in rows[first:]
            for i in range(4)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return path

    base, ours = written("base.jsonl", 0), written("ours.jsonl", 20)
    done = unsharpen("metrics", ours, "--base", base, "--common")
    assert "few, 21 to 24 (4)" in " ".join(done.out.split())
    assert "1 to 10" not in done.out
    found = json.loads(unsharpen("metrics", ours, "--base", base, "--common", "--json").out)
    theirs, own = found["summaries"]
    assert [theirs["num_problems"], own["num_problems"]] == [10, 10]
    change = found["comparison"]["differences"]["pass@1"]["value"]
    assert change == pytest.approx(own["measures"]["pass@1"]["value"] - theirs["measures"]["pass@1"]["value"])
