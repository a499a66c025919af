"""What a comparison may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unsharpen.comparison.cells import result_cells, train_command, tuning_cells
from unsharpen.comparison.spec import DEFAULT_STEPS, Budget, Rate, read_study
from unsharpen.errors import InputError, UnknownNameError
from unsharpen.training.config import RunConfig, load_yaml


def cells_of(**values: Any) -> list[str]:
    return [str(cell) for cell in result_cells(read_study(values))]


def test_methods_times_seeds_seed_by_seed() -> None:
    assert cells_of(methods={"grpo": None, "ds-grpo": None}, seeds=2) == [
        *("results/grpo/seed-0", "results/ds-grpo/seed-0", "results/grpo/seed-1", "results/ds-grpo/seed-1"),
    ]


def test_an_arm_may_have_its_own_seeds() -> None:
    named = cells_of(methods={"grpo": {"seeds": [4, 7]}, "rloo": None}, seeds=1)
    assert named == ["results/rloo/seed-0", "results/grpo/seed-4", "results/grpo/seed-7"]


def test_several_rates_are_several_rows() -> None:
    rates = [3e-4, {"rate": 1.5e-4, "budget_scale": 2}]
    study = read_study({"methods": {"grpo": None}, "seeds": 1, "learning_rates": rates, "steps": 100})
    full, half = result_cells(study)
    assert [str(full), str(half)] == ["results/grpo_lr-0.0003/seed-0", "results/grpo_lr-0.00015_x2/seed-0"]
    assert full.config.trl == {"max_steps": 100, "learning_rate": 3e-4}
    assert half.config.trl == {"max_steps": 200, "learning_rate": 1.5e-4}  # half the rate, twice the steps


def test_the_settings_reach_every_run_and_scales_multiply() -> None:
    settings = {"num_eval": 16, "trl": {"num_generations": 8}}
    arm = {"method": "grpo", "budget_scale": 1.5, "learning_rates": [{"rate": 1e-4, "budget_scale": 2}]}
    (cell,) = result_cells(read_study({"methods": {"slow": arm}, "seeds": 1, "steps": 10, "settings": settings}))
    assert cell.config.num_eval == 16
    assert cell.config.trl == {"num_generations": 8, "max_steps": 30, "learning_rate": 1e-4}  # 10 x 1.5 x 2
    assert (cell.arm, cell.config.method, cell.config.eval_set) == ("slow", "grpo", "test")


def test_minutes_are_a_budget() -> None:
    study = read_study({"methods": {"grpo": {"budget_scale": 2}}, "minutes": 1.5})
    assert study.budget == Budget(minutes=1.5)
    assert result_cells(study)[0].config.max_minutes == 3.0


def test_defaults() -> None:
    study = read_study({"methods": {"rloo": None, "grpo": None}})
    assert (study.reference, study.budget.steps, study.arms[0].rates) == ("grpo", DEFAULT_STEPS, (Rate(),))
    assert len(result_cells(study)) == 6
    assert "learning_rate" not in result_cells(study)[0].config.trl
    assert read_study({"methods": {"rloo": None}}).reference == "rloo"


def test_the_default_steps_are_those_of_a_single_run() -> None:
    from unsharpen.comparison.spec import DEFAULT_STEPS_ANY
    from unsharpen.training.trl_arguments import _ANY, _TINY

    assert (_TINY["max_steps"], _ANY["max_steps"]) == (DEFAULT_STEPS, DEFAULT_STEPS_ANY)


def test_tuning_cells_are_candidates_times_rates() -> None:
    arm = {"tune": {"gamma_p": [0.1, 0.2], "gamma_n": [0.0]}}
    tune = {"steps": 5, "learning_rates": [1e-4, 2e-4], "settings": {"num_eval": 8}}
    study = read_study({"methods": {"ds-grpo-robust": arm}, "tune": tune, "steps": 20, "settings": {"num_eval": 9}})
    cells = tuning_cells(study, ["ds-grpo-robust"])
    assert [cell.name for cell in cells] == [
        f"gamma_p-{p}_gamma_n-0.0_lr-{rate}" for p in (0.1, 0.2) for rate in ("0.0001", "0.0002")
    ]
    config = cells[0].config
    assert (config.eval_set, config.num_eval, config.seed, config.trl["max_steps"]) == ("validation", 8, 100, 5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "needs methods"),
        ({"method": {"grpo": None}}, "no key 'method'.*did you mean methods"),
        ({"methods": ["grpo"]}, "methods must be a mapping"),
        ({"methods": {"grpo": {"sed": 1}}}, "methods: grpo has no key 'sed'"),
        ({"methods": {"../x": {"method": "grpo"}}}, "must be a name of letters"),
        ({"methods": {"grpo": {"method_args": {"gamma_p": 1}}}}, "grpo: method 'grpo' has no coefficient 'gamma_p'"),
        ({"methods": {"grpo": None}, "seeds": 0}, "seeds must be a whole number of at least 1"),
        ({"methods": {"grpo": None}, "seeds": [1, 1]}, "seeds must differ"),
        ({"methods": {"grpo": None}, "seeds": True}, "seeds must be a list"),
        ({"methods": {"grpo": None}, "steps": 1.5}, "steps must be a whole number"),
        ({"methods": {"grpo": None}, "steps": 5, "minutes": 1}, "steps or minutes.*both"),
        ({"methods": {"grpo": None}, "minutes": -1}, "minutes must be a number above 0"),
        ({"methods": {"grpo": None}, "learning_rates": []}, "at least one entry"),
        ({"methods": {"grpo": None}, "learning_rates": [1e-4, 1e-4]}, "learning_rates must differ"),
        ({"methods": {"grpo": None}, "learning_rates": [{"budget_scale": 2}]}, "must be a number above 0, found None"),
        ({"methods": {"grpo": None}, "settings": {"seed": 3}}, "settings has no key 'seed'"),
        ({"methods": {"grpo": None}, "settings": {"trl": {"max_steps": 3}}}, "max_steps is what the comparison sets"),
        ({"methods": {"grpo": None}, "settings": {"trl": {"num_train_epochs": 1}}}, "epochs is what the"),
        ({"methods": {"grpo": None}, "settings": {"num_eval": "x"}}, "grpo: num_eval must be a whole number"),
        ({"methods": {"grpo": None}, "reference": "rloo"}, "reference must be one of the methods .grpo."),
        ({"methods": {"grpo": None, "GRPO": {"method": "grpo"}}}, "are the same run"),
        ({"methods": {"grpo": None, "again": {"method": "grpo"}}}, "are the same run"),
        ({"methods": {"grpo": None}, "tune": {"seed": 0}}, "must not be one of the seeds that are compared"),
        ({"methods": {"grpo": None}, "tune": {"tolerance": 2}}, "tolerance must be a number from 0 to 1"),
        ({"methods": {"grpo": None}, "tune": {"rate_by": "all"}}, "rate_by must be 'each', 'chosen' or 'reference'"),
        ({"methods": {"grpo": None}, "tune": {"max_k": 129}}, "max_k must be at most the samples per problem .128."),
        ({"methods": {"grpo": {"tune": [{"eps": 1}, {"eps": 1}]}}}, "must hold different coefficients"),
    ],
)
def test_what_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"(?s){words}"):
        result_cells(read_study(values))


def test_an_unknown_method_is_offered_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'ds-grop'") as caught:
        read_study({"methods": {"ds-grop": None}})
    assert caught.value.hint is not None
    assert "ds-grpo" in caught.value.hint


def test_a_key_that_comes_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "compare.yaml"
    path.write_text("methods:\n  grpo: {seeds: 1}\n  rloo:\n  grpo: {seeds: 2}\n")
    with pytest.raises(InputError, match="the key 'grpo' comes twice"):
        load_yaml(path)


def test_the_command_that_repeats_a_run_gives_that_run() -> None:
    from unsharpen.cli.options import run_config

    config = RunConfig(
        method="ds-grpo-robust",
        method_args={"gamma_p": 0.3},
        seed=4,
        num_eval=16,
        problems={"sizes": [3]},
        trl={"max_steps": 7, "learning_rate": 3e-5},
    )
    words = train_command(config).split()
    assert words[:2] == ["unsharpen", "train"]
    found: dict[str, list[str]] = {}
    for option, value in zip(words[2::2], words[3::2], strict=True):
        found.setdefault(option, []).append(value.strip("'"))
    again = run_config(
        [],
        {"method": found["--method"][0], "seed": int(found["--seed"][0]), "num_eval": int(found["--num-eval"][0])},
        method_arg=found["--method-arg"],
        set_=found["--set"],
        problems=found["--problems"],
    )
    assert again == config
    assert train_command(RunConfig(max_minutes=2)).endswith("# and by --config: max_minutes: 2")


def test_the_page_names_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs/compare.md").read_text()
    wrong = {"x": 1}
    for values in (wrong, {"methods": {"grpo": wrong}}, {"tune": wrong}, {"levers": wrong}):
        with pytest.raises(InputError, match="it has") as error:
            read_study({"methods": {"grpo": None}, **values})
        for key in error.value.message.partition("it has ")[2].split(", "):
            assert f"`{key}" in page, key
