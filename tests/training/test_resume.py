"""A run that was stopped, by whatever means, ends as if it had not been."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.cli.command import SMALL, in_a_process, lines, train, unsharpen

from unsharpen.cli.progress import TrainingProgress
from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.training.evaluate import make_evaluate

STEPS = 5


def settings(data: Path) -> tuple[object, ...]:
    """16 problems of which 8 are for evaluation, 4 a step: an epoch is 2 steps. A checkpoint after every step."""
    fields = ("save_steps=1", "save_total_limit=9", "learning_rate=1e-3")
    options = [part for field in fields for part in ("--set", field)]
    return ("--data", data, "--num-train", 16, "--steps", STEPS, "--eval-every", 2, *options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """The uninterrupted run."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("resume") / "whole"
    train(output, *settings(data))
    return output


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def resume(output: Path, data: Path) -> str:
    done = unsharpen("train", "--output", output, *SMALL, *settings(data), "--resume")
    assert done.code == 0, done.err
    return done.out


def same_weights(one: Path, two: Path, name: str = "model.safetensors") -> bool:
    a, b = (load_file(path / "model" / name) for path in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def assert_same_run(whole: Path, resumed: Path) -> None:
    """Weights bit for bit, and every step and evaluation written once, with the same numbers."""
    assert same_weights(whole, resumed)
    without_time = [[{**row, "step_time": 0} for row in lines(run / "metrics.jsonl")] for run in (whole, resumed)]
    assert without_time[0] == without_time[1]
    assert [row["step"] for row in without_time[1]] == list(range(1, STEPS + 1))
    assert lines(whole / "evaluation.jsonl") == lines(resumed / "evaluation.jsonl")
    for path in (whole / "samples").iterdir():
        assert path.read_bytes() == (resumed / "samples" / path.name).read_bytes()
    assert (resumed / "report.html").exists()
    leftovers = [path.name for path in resumed.iterdir() if "tmp" in path.name or "partial" in path.name]
    assert not leftovers


def forget_after(run: Path, step: int) -> None:
    """Leave the folder as a crash right after the checkpoint of ``step`` leaves it."""
    for name in ("model",):
        shutil.rmtree(run / name)
    (run / "report.html").unlink()
    for later in range(step + 1, STEPS + 1):
        shutil.rmtree(run / f"checkpoint-{later}", ignore_errors=True)
    for name in ("metrics.jsonl", "evaluation.jsonl"):
        kept = [row for row in lines(run / name) if row["step"] <= step]
        if step == STEPS and name == "evaluation.jsonl":
            kept = [row for row in kept if row["step"] < step]  # the last evaluation comes after the last checkpoint
        (run / name).write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")


@pytest.mark.parametrize("step", range(STEPS + 1))
def test_a_crash_after_any_checkpoint(whole: Path, copy: Path, data: Path, step: int) -> None:
    forget_after(copy, step)
    resume(copy, data)
    assert_same_run(whole, copy)


def lines_of_the_next_step(copy: Path, whole: Path) -> None:
    """Step 4 and its evaluation were written, but not its checkpoint."""
    for name in ("metrics.jsonl", "evaluation.jsonl"):
        rows = [row for row in lines(whole / name) if row["step"] <= 4]
        (copy / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def torn_lines(copy: Path, whole: Path) -> None:
    for name in ("metrics.jsonl", "evaluation.jsonl"):
        with (copy / name).open("a", encoding="utf-8") as file:
            file.write('{"step": 4, "rew')


def checkpoint_without_its_last_file(copy: Path, whole: Path) -> None:
    shutil.copytree(whole / "checkpoint-4", copy / "checkpoint-4")
    (copy / "checkpoint-4" / "trainer_state.json").unlink()
    (copy / "checkpoint-4" / "optimizer.pt").unlink()


def checkpoint_with_a_torn_last_file(copy: Path, whole: Path) -> None:
    shutil.copytree(whole / "checkpoint-4", copy / "checkpoint-4")
    (copy / "checkpoint-4" / "trainer_state.json").write_text('{"global_st', "utf-8")


def half_a_result(copy: Path, whole: Path) -> None:
    (copy / "model.partial").mkdir()
    (copy / "model.partial" / "config.json").write_text("{}", "utf-8")


def half_a_text_file(copy: Path, whole: Path) -> None:
    (copy / "metrics.jsonl.tmp").write_text('{"st', "utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lines_of_the_next_step,
        torn_lines,
        checkpoint_without_its_last_file,
        checkpoint_with_a_torn_last_file,
        half_a_result,
        half_a_text_file,
    ],
)
def test_what_a_crash_leaves_behind(whole: Path, copy: Path, data: Path, damage: Callable[[Path, Path], None]) -> None:
    forget_after(copy, 3)
    damage(copy, whole)
    resume(copy, data)
    assert_same_run(whole, copy)


def test_a_crash_between_the_last_evaluation_and_the_result(whole: Path, copy: Path, data: Path) -> None:
    shutil.rmtree(copy / "model")
    resume(copy, data)
    assert_same_run(whole, copy)


def test_a_crash_between_the_result_and_the_report(whole: Path, copy: Path, data: Path) -> None:
    (copy / "report.html").unlink()
    resume(copy, data)
    assert_same_run(whole, copy)


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Ctrl-C (a real SIGINT) while the numbers of a step are shown, once or several times."""
    show = TrainingProgress.report

    def arm(step: int, times: int = 1) -> None:
        def interrupted(self: Any, now: int, total: int, metrics: dict[str, float]) -> None:
            show(self, now, total, metrics)
            if now == step:
                monkeypatch.setattr(TrainingProgress, "report", show)
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(TrainingProgress, "report", interrupted)

    before = signal.getsignal(signal.SIGINT)
    yield arm
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_leaves_a_resumable_run(
    whole: Path, tmp_path: Path, data: Path, interrupt_after: Callable[..., None]
) -> None:
    output = tmp_path / "run"
    interrupt_after(2)
    done = unsharpen("train", "--output", output, *SMALL, *settings(data), "--set", "save_steps=1")
    assert done.code == 130
    assert "--resume" in done.out
    assert "Traceback" not in done.err
    assert not (output / "model").exists()
    assert (output / "report.html").exists()  # of what there is
    reached = [row["step"] for row in lines(output / "metrics.jsonl")]
    assert reached == list(range(1, reached[-1] + 1))
    assert reached[-1] < STEPS
    assert (output / f"checkpoint-{reached[-1]}" / "trainer_state.json").exists()
    resume(output, data)
    assert_same_run(whole, output)


def test_a_second_ctrl_c_stops_at_once(
    whole: Path, tmp_path: Path, data: Path, interrupt_after: Callable[..., None]
) -> None:
    output = tmp_path / "run"
    interrupt_after(3, times=2)
    done = unsharpen("train", "--output", output, *SMALL, *settings(data))
    assert done.code == 130
    assert "interrupted" in done.out
    assert "Traceback" not in done.err
    resume(output, data)
    assert_same_run(whole, output)


def test_ctrl_c_in_the_last_step_is_too_late(
    whole: Path, tmp_path: Path, data: Path, interrupt_after: Callable[..., None]
) -> None:
    output = tmp_path / "run"
    interrupt_after(STEPS)
    assert unsharpen("train", "--output", output, *SMALL, *settings(data)).code == 0
    assert_same_run(whole, output)


KILL = """
import os, signal, sys
from unsharpen.cli import main
from unsharpen.cli.progress import TrainingProgress

def report(self, step, total, metrics):
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

TrainingProgress.report = report
sys.argv[0] = "unsharpen"
main()
"""


def test_kill_9(whole: Path, tmp_path: Path, data: Path) -> None:
    output = tmp_path / "run"
    done = in_a_process(["-c", KILL, "train", "--output", output, *SMALL, *settings(data)])
    assert done.returncode == -signal.SIGKILL
    assert [row["step"] for row in lines(output / "metrics.jsonl")] == [1, 2, 3, 4]
    resume(output, data)
    assert_same_run(whole, output)


def test_a_lora_run_resumes_to_the_bit(tmp_path: Path, data: Path, interrupt_after: Callable[..., None]) -> None:
    arguments = (*SMALL, *settings(data), "--lora", "r=2")
    assert unsharpen("train", "--output", tmp_path / "whole", *arguments).code == 0
    interrupt_after(2)
    assert unsharpen("train", "--output", tmp_path / "cut", *arguments).code == 130
    assert unsharpen("train", "--output", tmp_path / "cut", *arguments, "--resume").code == 0
    assert same_weights(tmp_path / "whole", tmp_path / "cut", "adapter_model.safetensors")
    assert lines(tmp_path / "whole" / "evaluation.jsonl") == lines(tmp_path / "cut" / "evaluation.jsonl")


def test_a_run_that_reuses_its_completions_stops_between_batches_of_them(
    tmp_path: Path, data: Path, interrupt_after: Callable[..., None]
) -> None:
    arguments = (*SMALL, *settings(data), "--set", "num_iterations=2")
    assert unsharpen("train", "--output", tmp_path / "whole", *arguments).code == 0
    interrupt_after(3)  # in the middle of the second batch of completions, which serves steps 3 and 4
    assert unsharpen("train", "--output", tmp_path / "cut", *arguments).code == 130
    assert sorted(path.name for path in (tmp_path / "cut").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert unsharpen("train", "--output", tmp_path / "cut", *arguments, "--resume").code == 0
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


# ---------------------------------------------------------------------------------- whose folder it is


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_resuming_a_finished_run_trains_nothing(
    whole: Path, copy: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiverseGRPOTrainer, "__init__", lambda *_, **__: pytest.fail("trained again"))
    out = resume(copy, data)
    assert "Pass@1" in out
    assert f"report: {copy / 'report.html'}" in out
    assert_same_run(whole, copy)


def test_resuming_where_nothing_is_starts(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "new", "--data", data, "--steps", 1, "--resume")
    assert [row["step"] for row in lines(tmp_path / "new" / "metrics.jsonl")] == [1]


def test_a_used_folder_needs_resume(copy: Path, data: Path) -> None:
    before = contents(copy)
    done = unsharpen("train", "--output", copy, *SMALL, *settings(data))
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "--resume" in done.err
    assert contents(copy) == before


@pytest.mark.parametrize("flag", [[], ["--resume"]])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "5"], ["seed: 0 -> 5"]),
        (["--set", "learning_rate=2e-3"], ["learning_rate", "0.001", "0.002"]),
        (["--method-arg", "kappa=0.4"], ["method_args", "kappa", "0.2", "0.4"]),
        (["--method", "grpo", "--num-eval", "7"], ["method: 'ds-grpo-centered' -> 'grpo'", "num_eval: 8 -> 7"]),
    ],
)
def test_another_run_is_refused_and_says_how_it_differs(
    copy: Path, data: Path, arguments: list[str], words: list[str], flag: list[str]
) -> None:
    before = contents(copy)
    done = unsharpen("train", "--output", copy, *SMALL, *settings(data), *arguments, *flag)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "holds another run" in done.err
    for word in words:
        assert word in done.err
    assert contents(copy) == before


def test_spelling_out_a_default_is_the_same_run(copy: Path, data: Path) -> None:
    arguments = ("--method", "ds-grpo-centered", "--method-arg", "kappa=0.2", "--seed", 0, "--resume")
    assert unsharpen("train", "--output", copy, *SMALL, *settings(data), *arguments).code == 0


def test_damage_that_no_crash_explains_is_reported(copy: Path, data: Path) -> None:
    shutil.rmtree(copy / "model")
    (copy / "metrics.jsonl").write_text('{"step": 1}\nscribble\n{"step": 2}\n', "utf-8")
    before = contents(copy)
    done = unsharpen("train", "--output", copy, *SMALL, *settings(data), "--resume")
    assert done.code == 2
    assert "metrics.jsonl, line 2" in done.err
    assert contents(copy) == before


def test_a_scribbled_configuration_is_reported(copy: Path, data: Path) -> None:
    (copy / "config.json").write_text("{", "utf-8")
    before = contents(copy)
    done = unsharpen("train", "--output", copy, *SMALL, *settings(data), "--resume")
    assert done.code == 2
    assert "config.json can't be read" in done.err
    assert contents(copy) == before


# --------------------------------------------------------------------------- looking does not disturb


def test_evaluating_during_training_does_not_change_it(tmp_path: Path, data: Path) -> None:
    for every in (0, 1):
        train(tmp_path / f"every-{every}", "--data", data, "--eval-every", every, "--set", "learning_rate=1e-3")
    one, two = tmp_path / "every-0", tmp_path / "every-1"
    assert len(lines(one / "evaluation.jsonl")) == 2
    assert [row["step"] for row in lines(two / "evaluation.jsonl")] == [0, 1, 2]
    assert same_weights(one, two)
    ends = [[lines(run / "evaluation.jsonl")[i] for i in (0, -1)] for run in (one, two)]
    assert ends[0] == ends[1]


def test_the_share_of_the_base_is_in_what_is_evaluated_and_in_what_is_saved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[tuple[int, torch.Tensor]] = []

    def remembering(trainer: Any, *rest: Any) -> Callable[[int, int], None]:
        evaluate = make_evaluate(trainer, *rest)

        def remember(step: int, num_samples: int) -> None:
            evaluated.append((step, trainer.model.model.norm.weight.detach().clone()))
            evaluate(step, num_samples)

        return remember

    monkeypatch.setattr("unsharpen.training.run.make_evaluate", remembering)
    output, method = tmp_path / "run", ("--method", "wise-ft", "--method-arg", "base_share=0.5")
    train(output, *settings(data), *method)
    saved = load_file(output / "model" / "model.safetensors")["model.norm.weight"]
    forget_after(output, STEPS)
    assert unsharpen("train", "--output", output, *SMALL, *settings(data), *method, "--resume").code == 0
    assert [step for step, _ in evaluated] == [0, 2, 4, STEPS, STEPS]
    assert torch.equal(evaluated[3][1], saved)
    assert torch.equal(evaluated[4][1], saved)  # from the checkpoint of the last step, which has none of the base
    last = load_file(output / f"checkpoint-{STEPS}" / "model.safetensors")["model.norm.weight"]
    torch.testing.assert_close(saved, (evaluated[0][1] + last) / 2)
