"""Settings: how text becomes values, and which problems follow from them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import EngineError, InputError, UnsharpenError
from unsharpen.methods import get_method
from unsharpen.tasks import CountDown
from unsharpen.tasks.countdown.standard import POOL
from unsharpen.training import checks
from unsharpen.training.build import provenance
from unsharpen.training.config import RunConfig, differences, load_yaml, parse_pairs
from unsharpen.training.folder import append_jsonl, read_jsonl
from unsharpen.training.problems import Problems, load_problems
from unsharpen.training.trl_arguments import generation_period, grpo_config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("3e-5", 3e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("none", None),
        ("null", None),
        ("[3,4]", [3, 4]),
        ('{"a": [1]}', {"a": [1]}),
        ("cosine", "cosine"),
        ("a=b", "a=b"),
        ("", ""),
        ('"1"', "1"),
    ],
)
def test_values_of_pairs(text: str, value: Any) -> None:
    parsed = parse_pairs([f"key = {text}"], option="--set")
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


def test_the_last_of_equal_names_counts() -> None:
    assert parse_pairs(["a=1", "a=2"], option="--set") == {"a": 2}
    assert parse_pairs(None, option="--set") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-5", 3e-5), ("1E+3", 1e3), ("-2e6", -2e6), ("3.0e-5", 3e-5), ("30", 30), ("e5", "e5"), ("3e", "3e")],
)
def test_numbers_in_yaml(tmp_path: Path, text: str, value: Any) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"learning_rate: {text}", "utf-8")
    found = load_yaml(path)["learning_rate"]
    assert (found, type(found)) == (value, type(value))


def test_the_shipped_model_has_coefficients_of_its_own() -> None:
    published = get_method("ds-grpo").coefficients
    assert RunConfig(method="ds-grpo").resolve_method().coefficients == {**published, "gamma_p": 1.0, "gamma_n": 0.0}
    assert RunConfig(method="ds-grpo", model="some/model").resolve_method().coefficients == published
    given = RunConfig(method="ds-grpo", method_args={"gamma_p": 0.3}).resolve_method().coefficients
    assert (given["gamma_p"], given["gamma_n"]) == (0.3, 0.0)


def test_the_coefficients_of_the_shipped_model_are_those_that_the_search_chose() -> None:
    choices = json.loads((Path(__file__).parents[2] / "runs" / "countdown" / "choices.json").read_text("utf-8"))
    for method, setting in choices["settings"].items():
        used = RunConfig(method=method).resolve_method().coefficients
        assert {name: used[name] for name in setting} == setting
    assert RunConfig().method == choices["demo"]


def test_a_configuration_survives_json() -> None:
    config = RunConfig(method="ds-grpo", method_args={"gamma_p": 0.1}, trl={"max_steps": 3}, lora={"r": 2})
    plain = json.loads(json.dumps(config.as_dict()))
    assert differences(plain, config.as_dict()) == []
    assert RunConfig.from_dict(plain).as_dict() == config.as_dict()


def test_differences_name_old_and_new() -> None:
    old, new = RunConfig().as_dict(), RunConfig(seed=3, trl={"beta": 0.1}).as_dict()
    assert differences(old, new) == ["seed: 0 -> 3", "trl: {} -> {'beta': 0.1}"]


def test_an_unknown_setting_offers_names() -> None:
    with pytest.raises(InputError, match="did you mean num_eval") as caught:
        RunConfig.from_dict({"num_evals": 3})
    assert "eval_samples" in str(caught.value)


def test_every_unknown_setting_is_named_and_those_of_trl_have_a_place() -> None:
    with pytest.raises(InputError, match="no setting 'learning_rate', 'num_evals', 'zzz'; it has") as caught:
        RunConfig.from_dict({"learning_rate": 1e-6, "num_evals": 3, "zzz": 1})
    assert caught.value.hint == "learning_rate: under `trl:`; num_evals: did you mean num_eval?"


@pytest.mark.parametrize("eval_set", ["test", "validation"])
def test_generated_evaluation_problems_depend_on_no_seed(eval_set: str) -> None:
    easy = {"sizes": [3], "numbers": [1, 15], "multiplicity": [1, None]}  # quick to generate
    settings: dict[str, Any] = {"num_train": 8, "num_eval": 20, "eval_set": eval_set, "problems": easy}
    one, two = (load_problems(RunConfig(seed=seed, **settings), chat=False) for seed in (0, 1))
    assert one.evaluation == two.evaluation
    assert one.train != two.train
    assert len(one.train) == 8
    assert not {p.key for p in one.evaluation} & {p.key for p in (*one.train, *two.train)}
    if eval_set == "validation":
        test = load_problems(RunConfig(num_train=8, num_eval=POOL, problems=easy), chat=False)
        assert not {p.key for p in one.evaluation} & {p.key for p in test.evaluation}


def test_generated_training_problems_avoid_the_evaluation_file(tmp_path: Path) -> None:
    options = {"sizes": [2], "numbers": [1, 4], "targets": [2, 12], "multiplicity": [1, None]}
    pool = load_problems(RunConfig(num_train=6, num_eval=1, eval_data=None, problems={}), chat=False).train
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps({"nums": list(p.nums), "target": p.target}) + "\n" for p in pool), "utf-8")
    problems = load_problems(RunConfig(num_train=6, eval_data=str(path)), chat=False)
    assert problems.evaluation == pool
    assert not {p.key for p in problems.train} & {p.key for p in pool}
    small = load_problems(RunConfig(num_train=3, eval_data=str(path), problems=options), chat=False)
    assert all(len(p.nums) == 2 for p in small.train)


def test_the_page_has_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "running.md").read_text("utf-8")
    defaults = {name: getattr(RunConfig(), name) for name in (f.name for f in dataclasses.fields(RunConfig))}
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in defaults.items()}
    assert re.findall(r"^\| `(\w+)` \| `(.+?)` \|", page, re.MULTILINE) == list(shown.items())


def test_steps_are_at_least_1_or_trls_word_for_epochs() -> None:
    for steps in (0, -5):
        with pytest.raises(InputError, match=f"max_steps must be at least 1, or -1 .* found {steps}"):
            RunConfig(trl={"max_steps": steps})
    assert RunConfig(trl={"max_steps": -1}).trl["max_steps"] == -1


def test_jsonl_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_jsonl(path) == []
    for i in range(3):
        append_jsonl(path, {"step": i, "text": "a\u2028b"})
    assert [row["step"] for row in read_jsonl(path)] == [0, 1, 2]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"st')
    assert len(read_jsonl(path)) == 3


def test_the_example_file_is_a_run(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "run.yaml"
    config = RunConfig.from_dict(load_yaml(example))
    arguments = grpo_config(config, tmp_path)
    assert arguments.learning_rate == 1e-6
    assert config.resolve_method().coefficients["gamma_p"] == 0.05


@pytest.mark.parametrize(
    ("given", "steps", "schedule"),
    [
        ({}, 200, "constant"),
        ({"num_train_epochs": 2}, -1, "constant"),
        ({"num_train_epochs": 2, "max_steps": 7}, 7, "constant"),  # as TRL has it
        ({"warmup_steps": 5}, 200, "constant_with_warmup"),
        ({"warmup_steps": 0.1}, 200, "constant_with_warmup"),  # a share of the steps
        ({"warmup_steps": 0}, 200, "constant"),
        ({"warmup_steps": 5, "lr_scheduler_type": "cosine"}, 200, "cosine"),
    ],
)
@pytest.mark.parametrize("tiny", [True, False])
def test_no_default_of_ours_makes_a_setting_void(
    tmp_path: Path, given: dict[str, Any], steps: int, schedule: str, tiny: bool
) -> None:
    config = RunConfig(trl=given) if tiny else RunConfig(model="some/model", trl=given)
    arguments = grpo_config(config, tmp_path)
    assert arguments.max_steps == (300 if steps == 200 and not tiny else steps)
    assert arguments.lr_scheduler_type == schedule


def test_none_is_a_word_where_trl_has_one(tmp_path: Path) -> None:
    for words in (parse_pairs(["report_to=none"], option="--set"), {"report_to": "none"}, {"report_to": []}):
        assert grpo_config(RunConfig(trl=words), tmp_path).report_to == []
    with pytest.raises(EngineError, match="found scale_rewards='none'"):
        grpo_config(RunConfig(trl={"scale_rewards": None}), tmp_path)
    assert grpo_config(RunConfig(trl={"epsilon_high": None, "min_p": None}), tmp_path).min_p is None


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("learning_rate", (-1e-6, math.nan, math.inf)),
        ("beta", (-0.1, math.nan)),
        ("epsilon", (-1,)),
        ("epsilon_high", (-0.2,)),
        ("temperature", (0, -1, math.nan)),
        ("top_k", (-5,)),
        ("top_p", (0, 1.1)),
        ("min_p", (-0.1, 2)),
        ("repetition_penalty", (0,)),
        ("steps_per_generation", (0, -4)),
        ("generation_batch_size", (0, -32)),
        ("num_generations", (0, -8)),
        ("num_train_epochs", (0, -1)),
        ("logging_steps", (-1,)),
        ("weight_decay", (-1,)),
        ("adam_beta1", (-0.1, 1)),
        ("adam_epsilon", (-1e-8,)),
        ("max_grad_norm", (-1, math.nan, -math.inf)),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, key: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(InputError, match=f"^--set {key} needs .*, found {value}$"):
            grpo_config(RunConfig(trl={key: value}), tmp_path)


def test_an_upper_bound_may_be_infinite(tmp_path: Path) -> None:
    for key in ("delta", "vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap"):
        checks.check_value(key, math.inf, float | None)
    assert grpo_config(RunConfig(trl={"max_grad_norm": math.inf}), tmp_path).max_grad_norm == math.inf


@pytest.mark.parametrize(
    ("steps_per_generation", "num_iterations", "accumulation", "period"),
    [(4, 1, 4, 1), (4, 2, 4, 2), (8, 1, 4, 2), (6, 1, 4, 3), (3, 1, 4, 3), (1, 1, 1, 1)],
)
def test_generation_period(
    tmp_path: Path, steps_per_generation: int, num_iterations: int, accumulation: int, period: int
) -> None:
    fields = {
        "steps_per_generation": steps_per_generation,
        "num_iterations": num_iterations,
        "gradient_accumulation_steps": accumulation,
        "per_device_train_batch_size": 16,
        "save_steps": 4,
    }
    arguments = grpo_config(RunConfig(trl=fields), tmp_path)
    assert generation_period(arguments) == period
    assert arguments.save_steps % period == 0
    assert 4 <= arguments.save_steps < 4 + period


def test_a_methods_own_setting_is_not_for_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`beta` belongs to the method grpo-kl"):
        grpo_config(RunConfig(method="grpo-kl", trl={"beta": 0.1}), tmp_path)
    assert grpo_config(RunConfig(method="grpo-low-lr", trl={"learning_rate": 0.1}), tmp_path).learning_rate == 0.1


def test_the_record_holds_the_settings_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig(method="grpo-low-lr", method_args={"learning_rate_scale": 0.5}, trl={"learning_rate": 0.1})
    problems = Problems(CountDown(), [], [], chat=False)
    monkeypatch.setenv("PATH", "")  # a machine without git
    record = provenance(config, grpo_config(config, tmp_path), problems)
    assert record["grpo_config"]["learning_rate"] == 0.05
    assert record["source_revision"] is None
    assert "max_grad_norm" not in record["grpo_config"]  # as TRL has it


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "pass-at-k", "method_args": {"k": 64}}, "at least 64 of them; found num_generations=16"),
        ({"method": "dph"}, "found no pool"),
        ({"method": "dph", "method_args": {"pool": "nowhere.jsonl"}}, "can't read the pool nowhere.jsonl"),
        (
            {"method": "maxrl", "task": "math", "model": "m", "data": "d.jsonl", "format_bonus": 0.1},
            "exactly 0 or 1; found format_bonus 0.1",
        ),
        ({"method": "wise-ft", "lora": {"r": 4}}, "only an adapter is trained"),
        ({"method": "ds-grpo", "method_args": {"reference": "base"}}, "needs reference_logprobs, but beta is 0"),
        ({"method": "mara", "trl": {"mask_truncated_completions": True}}, "mask_truncated_completions masks"),
        ({"method": "dra-grpo"}, "found no `embed`"),
        ({"method": "edge-grpo", "trl": {"use_vllm": True}}, "not to be had with use_vllm"),
        ({"method": "edge-grpo", "method_args": {"guided": 0.5}}, "needs reference solutions"),
        ({"method": "simko", "trl": {"importance_sampling_level": "sequence"}}, "the ratio of each token"),
        ({"method": "simko", "trl": {"loss_type": "vespo"}}, "counts on the clip of PPO"),
        ({"method": "gapo", "task": "math", "model": "m", "data": "d.jsonl"}, "the task math can't say"),
        ({"trl": {"use_transformers_continuous_batching": True}}, "continuous batching does not return them"),
        ({"trl": {"use_vllm": True, "vllm_importance_sampling_correction": False}}, "vLLM may leave holes"),
        ({"trl": {"scale_rewards": "batch"}}, "found scale_rewards='batch'"),
        ({"trl": {"report_to": "foo"}}, "none, all, or of .*tensorboard.* found 'foo'"),
        ({"trl": {"report_to": ["tensorboard", "wandb"]}}, "needs the tracker wandb, which is not installed"),
    ],
)
def test_what_can_not_be_trained_is_refused_before_a_model_is_loaded(
    given: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "get_available_reporting_integrations", lambda: ["tensorboard"])
    with pytest.raises(UnsharpenError, match=words):
        grpo_config(RunConfig(**given), Path("out"))
