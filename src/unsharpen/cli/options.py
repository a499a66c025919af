"""Options that several commands share, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from unsharpen.errors import InputError, UnsharpenWarning
from unsharpen.training.config import RunConfig, load_yaml, parse_pairs


def run_config(
    config_files: Sequence[Path],
    given: dict[str, Any],
    *,
    method_arg: list[str] | None = None,
    set_: list[str] | None = None,
    lora: list[str] | None = None,
    problems: list[str] | None = None,
    steps: int | None = None,
) -> RunConfig:
    """Defaults, then the YAML files in their order, then the options that were given (None means not given)."""
    values: dict[str, Any] = {}
    for path in config_files:
        values = _over(values, load_yaml(path))
    values |= {key: value for key, value in given.items() if value is not None}
    trl = _merged(values.get("trl"), set_, option="--set")
    if steps is not None:
        if steps < 1:
            raise InputError(f"--steps must be at least 1, found {steps}")
        trl["max_steps"] = steps
    values["trl"] = trl
    values["method_args"] = _merged(values.get("method_args"), method_arg, option="--method-arg")
    if problems:
        values["problems"] = _merged(values.get("problems"), problems, option="--problems")
    if lora:
        values["lora"] = _merged(values.get("lora"), lora, option="--lora")
    return RunConfig.from_dict(values)


def _over(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """``values`` with those of a later file over them; of mappings the later file replaces single names."""
    both = [
        key for key in values.keys() & later.keys() if isinstance(values[key], dict) and isinstance(later[key], dict)
    ]
    return {**values, **later, **{key: {**values[key], **later[key]} for key in both}}


def _merged(in_file: Any, pairs: list[str] | None, *, option: str) -> dict[str, Any]:
    if in_file is not None and not isinstance(in_file, dict):
        raise InputError(f"in a YAML file, what {option} sets must be a mapping of names to values, found {in_file!r}")
    return {**(in_file or {}), **parse_pairs(pairs, option=option)}


def quiet_libraries() -> None:
    """Keep the chatter of the training stack off the screen; errors, our own words and warnings remain."""
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("always", category=UnsharpenWarning)
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    else:
        warnings.showwarning = lambda *_, **__: None
    try:
        import datasets
        import transformers
    except ModuleNotFoundError as error:
        from unsharpen.errors import MissingExtraError

        raise MissingExtraError(
            f"training needs the package {error.name}", hint="pip install 'unsharpen[train]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
