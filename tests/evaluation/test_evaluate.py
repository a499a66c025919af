"""One evaluation from beginning to end, through a server of our own: nothing here needs torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.servers import Body, Handler, ModelServer, Sequenced, completion, serving, status

from unsharpen.errors import DataError, InputError, SamplerError, UnknownNameError, UnsharpenWarning
from unsharpen.evaluation import evaluate as module
from unsharpen.evaluation.evaluate import Evaluation, evaluate, judged
from unsharpen.evaluation.folder import read_problems, read_settings
from unsharpen.evaluation.models import Model, default_length, find_model
from unsharpen.evaluation.problems import ProblemSet, load_problems, strip_thinking
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, runs, sample_seed
from unsharpen.evaluation.samplers.server import Retry, Server
from unsharpen.evaluation.store import load_evaluation
from unsharpen.tasks import CountDown, Verdict
from unsharpen.training.config import RunConfig
from unsharpen.training.problems import load_problems as load_training_problems

TINY = Model("countdown-tiny", "", tiny=True)


def config(server: ModelServer, data: Path, n: int = 4, **other: Any) -> Evaluation:
    where = Server(base_url=server.url, concurrency=2, retry=Retry(attempts=2, base_delay=0.01))
    common = {"model": "good-model", "task": "countdown", "data": str(data), "limit": 5, "answer_format": "bare"}
    return Evaluation(**{**common, "sampling": Sampling(), "num_samples": n, "server": where, **other})


def read(folder: Path) -> list[dict[str, Any]]:
    return sorted(map(json.loads, (folder / "samples.jsonl").read_text("utf-8").split("\n")[:-1]), key=str)


def test_the_folder_holds_what_was_asked_and_what_came(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    with serving() as server:
        evaluate(config(server, data), tmp_path, progress=lambda *numbers: told.append(numbers))
    rows = read(tmp_path)
    problems = read_problems(tmp_path)
    task = CountDown(answer_format="bare")
    asked = {p.key: p for p in task.load(str(data), limit=5)}
    assert [p["problem_id"] for p in problems] == list(asked)
    assert sorted((row["problem_id"], row["sample_id"]) for row in rows) == sorted(
        (k, i) for k in asked for i in range(4)
    )
    for row in rows:
        problem = asked[row["problem_id"]]
        verdict = task.verify(problem, row["completion"])
        assert row["completion"] == completion(str(task.prompt(problem)), row["seed"])
        assert (row["correct"], row["reason"], row["canonical"]) == (verdict.correct, verdict.reason, verdict.canonical)
        assert row["seed"] == sample_seed(0, row["problem_id"], row["sample_id"])
    assert problems[0]["multiplicity"] == len(task.solutions(asked[problems[0]["problem_id"]]))
    assert told[0] == (0, 20, 0)
    assert told[-1] == (20, 20, sum(row["correct"] for row in rows))
    settings = read_settings(tmp_path)
    assert settings is not None
    wanted = {"task": "countdown", "model": "good-model", "backend": "openai", "num_samples": 4, "num_problems": 5}
    assert wanted.items() <= settings.items()
    assert "weights" not in settings, "nobody here knows those of a server"
    assert settings["versions"]["python"]
    assert load_evaluation(tmp_path).num_samples.tolist() == [4] * 5


def test_a_failure_keeps_what_is_finished_and_the_same_call_continues(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        evaluate(config(server, data), tmp_path / "undisturbed")
        server.behaviour = Sequenced(*[lambda *_: False] * 7, *[status(500)] * 6)
        with pytest.raises(SamplerError, match="HTTP 500"):
            evaluate(config(server, data), tmp_path / "disturbed")
        kept = read(tmp_path / "disturbed")
        assert 5 <= len(kept) < 20
        server.behaviour = None
        server.bodies.clear()
        evaluate(config(server, data), tmp_path / "disturbed")
        assert len(server.bodies) == 20 - len(kept)
    assert read(tmp_path / "disturbed") == read(tmp_path / "undisturbed")


def test_more_samples_are_added_and_a_complete_folder_asks_for_none(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        evaluate(config(server, data, 2), tmp_path / "a")
        evaluate(config(server, data, 4), tmp_path / "a")
        assert len(server.bodies) == 20
        evaluate(config(server, data, 4), tmp_path / "a")
        assert len(server.bodies) == 20
        evaluate(config(server, data, 4), tmp_path / "b")
        assert read(tmp_path / "a") == read(tmp_path / "b")
        with pytest.raises(InputError, match="differs in temperature"):
            evaluate(config(server, data, 4, sampling=Sampling(temperature=0.5)), tmp_path / "a")
        with pytest.raises(InputError, match="differs in num_problems: 5 there, 4 here"):
            evaluate(config(server, data, 4, limit=4), tmp_path / "a")


def test_a_failed_start_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        bad = config(server, tmp_path / "missing.jsonl")
        with pytest.raises(DataError):
            evaluate(bad, tmp_path / "a")
    with pytest.raises(SamplerError, match="can't reach"):
        evaluate(config(server, data), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_torn_line_is_reported(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        evaluate(config(server, data), tmp_path)
        whole = read(tmp_path)
        path = tmp_path / "samples.jsonl"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.warns(
            UnsharpenWarning, match=r"the last line was cut short; its \d+ bytes are now in samples\.torn"
        ):
            evaluate(config(server, data), tmp_path)
    assert read(tmp_path) == whole


class Lazy:
    """A sampler that gives some of what is asked for."""

    chat = False

    def __init__(self, most: int) -> None:
        self.most = most

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        yield [Sample(r.problem_id, i, "1") for r in requests for i in r.missing][: self.most]

    def close(self) -> None: ...


def test_a_sampler_that_gives_too_little(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "make_sampler", lambda *_: Lazy(3))
    with serving() as server, pytest.raises(SamplerError, match="must give all samples; 17 of 20 are missing"):
        evaluate(config(server, data), tmp_path)
    assert len(read(tmp_path)) == 3


# ------------------------------------------------------------------------------------------------ grading


class Counting:
    """A task that judges many at once."""

    name = "counting"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def verify_many(self, problems: Sequence[Any], completions: Sequence[str]) -> list[Verdict]:
        self.calls.append(list(completions))
        return [Verdict(text == problem, "x", text) for problem, text in zip(problems, completions, strict=True)]


@pytest.mark.parametrize(
    ("strip", "final", "graded"),
    [(False, None, "<think>7</think>8"), (True, None, "8"), (False, "8", "8"), (True, "<think>x", "")],
)
def test_what_is_graded(strip: bool, final: str | None, graded: str) -> None:
    task = Counting()
    settings = Evaluation(model="m", task="counting", sampling=Sampling(), strip_thinking=strip)
    samples = [Sample("p", 0, "<think>7</think>8", final=final), Sample("p", 1, "8")]
    rows = judged(settings, ProblemSet(task, {"p": "8"}, "", ""), samples)
    assert task.calls == [[graded, "8"]]
    assert [row["completion"] for row in rows] == ["<think>7</think>8", "8"], "all of the text is kept"
    assert [row["correct"] for row in rows] == [graded == "8", True]


@pytest.mark.parametrize("reasoning", [None, "1 and 2"])
def test_the_settings_say_whether_reasoning_was_set_apart(data: Path, tmp_path: Path, reasoning: str | None) -> None:
    """And it makes no other evaluation of it: a second call continues the first."""

    def answer(handler: Handler, body: Body) -> bool:
        message = {"content": "1+2", "reasoning_content": reasoning}
        handler.reply(200, {"choices": [{"message": message, "finish_reason": "stop"}]})
        return True

    with serving(answer) as server:
        for n in (1, 2):
            evaluate(config(server, data, n, limit=2, chat=True), tmp_path)
    settings = read_settings(tmp_path)
    assert settings is not None
    assert settings.get("reasoning_apart", False) == (reasoning is not None)
    assert settings["num_samples"] == 2


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("8", "8"),
        ("", ""),
        ("<think>7</think>8", "8"),
        ("7</think>8", "8"),
        ("<think>1</think>7<think>2</think>8", "8"),
        ("<think>7", ""),
        ("8<think>7", "8"),
        ("<think>1</think>8<think>7", "8"),
        ("</think>" * 100_000 + "8", "8"),
    ],
)
def test_thinking_is_stripped(text: str, rest: str) -> None:
    assert strip_thinking(text) == rest


# ----------------------------------------------------------------------------------------------- problems


def test_generated_problems_are_those_of_training() -> None:
    training = load_training_problems(RunConfig(num_train=8, num_eval=20), chat=False)
    assert list(load_problems(TINY, "countdown", limit=20).problems) == [p.key for p in training.evaluation]
    assert len(load_problems(TINY, "countdown").problems) == RunConfig().num_eval


@pytest.mark.parametrize(
    ("task", "options", "error", "expected"),
    [
        ("countdwn", {}, UnknownNameError, "found 'countdwn'"),
        ("countdown", {"limit": 0}, InputError, "at least 1; found 0"),
        ("countdown", {"limit": 257}, InputError, "at most 256 for generated problems; found 257"),
        ("countdown", {"split": "test"}, InputError, "a split is for a data set; found 'test'"),
        ("countdown", {"problem_column": "q"}, InputError, "the columns nums and target; found problem_column"),
        ("countdown", {"answer_format": "box"}, InputError, "answer_format must be one of"),
        ("countdown", {"data": "nothing.jsonl"}, DataError, "nothing.jsonl"),
    ],
)
def test_problems_that_cannot_be_had(task: str, options: Any, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        load_problems(TINY, task, **options)


def test_a_problem_that_comes_twice_is_asked_once_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"nums": [1, 2], "target": 3}\n{"nums": [2, 1], "target": 3}\n{"nums": [1, 3], "target": 4}\n')
    with pytest.warns(UnsharpenWarning, match="1 of 3 problems come a second time"):
        found = load_problems(TINY, "countdown", data=str(path))
    assert list(found.problems) == ["1,2=3", "1,3=4"]
    assert (found.source, found.split) == (str(path), "all of it")


def test_six_numbers_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"nums": [1, 2, 3, 4, 5, 6], "target": 21}\n')
    (row,) = load_problems(TINY, "countdown", data=str(path)).rows()
    assert row == {
        "problem_id": "1,2,3,4,5,6=21",
        "text": "Reach 21 from 1, 2, 3, 4, 5, 6",
        "answer": "21",
        "multiplicity": None,
    }


def test_a_system_prompt_needs_a_conversation() -> None:
    problems = load_problems(Model("m", "m"), "countdown", limit=1)
    (name,) = problems.problems
    prompt = problems.prompt(name, chat=True, system="Be brief.")
    assert [message["role"] for message in prompt] == ["system", "user"]  # type: ignore[index]
    with pytest.raises(InputError, match="a system prompt needs chat"):
        problems.prompt(name, chat=False, system="Be brief.")


# ---------------------------------------------------------------------------------- models and settings


def test_a_training_run_is_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    assert find_model(str(run)) == Model(str(run), str(run))
    settings = {"method": "grpo", "task": "countdown", "model": "countdown-tiny", "answer_format": None}
    (run / "config.json").write_text(json.dumps({**settings, "problems": {"sizes": [3]}}))
    for name in (run, run / "model"):
        assert find_model(str(name)) == Model(str(name), str(run / "model"), tiny=True, problems={"sizes": [3]})
    (run / "config.json").write_text('{"architectures": ["X"]}')
    assert find_model(str(run)) == Model(str(run), str(run))
    assert Path(find_model("countdown-tiny").path, "model.safetensors").exists()
    assert find_model("owner/name") == Model("owner/name", "owner/name")


def test_default_lengths() -> None:
    other = Model("m", "m")
    assert [default_length(m, t) for m, t in ((TINY, "countdown"), (other, "countdown"), (other, "aime24"))] == [
        *(24, 1024, 4096),
    ]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"num_samples": 0}, "num_samples must be 1 to"),
        ({"backend": "tgi"}, "backend must be one of transformers, vllm, openai; found 'tgi'"),
        ({"backend": "openai"}, "needs the address of a server"),
        ({"backend": "vllm", "server": Server(base_url="http://h/v1")}, "a base URL is for the backend openai"),
    ],
)
def test_settings_are_checked(bad: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Evaluation(**{"model": "m", "task": "countdown", "sampling": Sampling(), **bad})


def test_seeds_differ_between_samples_problems_and_seeds() -> None:
    seeds = {sample_seed(s, p, i) for s in (0, 1) for p in ("a", "b", "\ud800") for i in range(100)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_runs_of_nothing() -> None:
    assert list(runs([])) == []


LIGHT = """
import sys
from pathlib import Path
from unsharpen.cli import main
sys.argv = ["unsharpen", "eval", "m", "--base-url", sys.argv[1], "--data", sys.argv[2], "--output", sys.argv[3],
            "--answer-format", "bare", "-n", "2", "--limit", "2"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "transformers", "datasets", "vllm"}))
"""


def test_a_server_needs_no_torch(data: Path, tmp_path: Path) -> None:
    with serving() as server:
        arguments = [server.url, str(data), str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, timeout=240, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
