"""Which weights a folder holds: told by what is in the files, kept with the samples, and never mixed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import InputError
from unsharpen.evaluation import evaluate as module
from unsharpen.evaluation import identity
from unsharpen.evaluation.evaluate import Evaluation, evaluate
from unsharpen.evaluation.folder import read_settings
from unsharpen.evaluation.identity import identify_weights
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model-1.safetensors", "model-2.safetensors", "training_args.bin", "config.json"):
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def changed(path: Path, at: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_copy_is_the_same_at_any_time_and_place(model: Path, tmp_path: Path) -> None:
    before = identify_weights(str(model))
    assert before is not None
    assert before.startswith("digest:")
    copy = shutil.copytree(model, tmp_path / "copy")
    os.utime(copy / "model-1.safetensors", (1, 1))
    for name in ("training_args.bin", "config.json"):  # no weights
        changed(copy / name)
    assert identify_weights(str(copy)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: changed(folder / "model-2.safetensors", 700),
        lambda folder: (folder / "model-2.safetensors").unlink(),
        lambda folder: (folder / "model-2.safetensors").rename(folder / "model-3.safetensors"),
        lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"),
        lambda folder: (folder / "adapter_config.json").write_text('{"lora_alpha": 16}'),
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b""),
    ],
)
def test_other_weights_are_told(model: Path, change: Callable[[Path], object]) -> None:
    before = identify_weights(str(model))
    change(model)
    assert identify_weights(str(model)) != before


def test_of_a_large_file_blocks_from_beginning_to_end_are_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_WHOLE", 1 << 20)
    path = model / "model-1.safetensors"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    starts = list(identity._starts(40 << 20))
    assert (len(starts), starts[0], starts[-1]) == (32, 0, (40 << 20) - (64 << 10))
    seen = {identify_weights(str(model))}
    for at in (0, starts[7] + 5, (40 << 20) - 1):  # each change is kept
        changed(path, at)
        seen.add(identify_weights(str(model)))
    assert len(seen) == 4
    changed(path, starts[1] - 1)  # between two blocks, not seen: what makes it quick
    assert identify_weights(str(model)) in seen


def test_a_file_is_a_model_too_and_an_empty_folder_is_unknown(model: Path, tmp_path: Path) -> None:
    assert identify_weights(str(model / "model-1.safetensors")) != identify_weights(str(model / "model-2.safetensors"))
    (tmp_path / "empty").mkdir()
    assert identify_weights(str(tmp_path / "empty")) is None


def test_weights_that_cannot_be_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "model-1.safetensors")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"must be readable; model-1\.safetensors is not: Permission denied"):
        identify_weights(str(model))


def test_a_hub_id_is_known_by_the_commit_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert identify_weights("owner/name") is None
    assert identify_weights("no name // at all") is None
    commit, cache = "c" * 40, tmp_path / "models--owner--name"
    (cache / "snapshots" / commit).mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    (cache / "snapshots" / commit / "tokenizer_config.json").write_text("{}")
    assert identify_weights("owner/name") == f"commit:{commit}"


# --------------------------------------------------------------------------------- kept with the samples


class Ones:
    """A sampler that answers at once."""

    chat = False

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        yield [Sample(r.problem_id, i, "1") for r in requests for i in r.missing]

    def close(self) -> None: ...


@pytest.fixture
def sampled(data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Evaluate the folder, n samples of 5 problems; returns the samples that are then there."""
    monkeypatch.setattr(module, "make_sampler", lambda *_: Ones())
    common: dict[str, Any] = {"task": "countdown", "data": str(data), "limit": 5, "answer_format": "bare"}

    def run(n: int = 2, name: str = str(model)) -> int:
        evaluate(Evaluation(model=name, sampling=Sampling(), num_samples=n, **common), tmp_path / "out")
        return (tmp_path / "out" / "samples.jsonl").read_text("utf-8").count("\n")

    return run


@pytest.mark.parametrize("n", [2, 4])
def test_a_folder_that_was_trained_again_is_not_mixed_with_its_old_samples(
    sampled: Callable[..., int], model: Path, n: int
) -> None:
    sampled()
    changed(model / "model-1.safetensors")
    message = f"it differs in the weights of '{model}', which have changed since: digest:[0-9a-f]+ there"
    with pytest.raises(InputError, match=message) as caught:
        sampled(n)
    assert str(caught.value.hint).startswith("choose another --output")
    changed(model / "model-1.safetensors")  # the old ones again
    assert sampled(n) == 5 * n


def test_a_folder_from_before_the_digest_goes_on(sampled: Callable[..., int], model: Path, tmp_path: Path) -> None:
    sampled()
    settings = read_settings(tmp_path / "out")
    assert settings is not None
    assert settings.pop("weights") == identify_weights(str(model))
    (tmp_path / "out" / "settings.json").write_text(json.dumps(settings))
    changed(model / "model-1.safetensors")
    assert sampled(4) == 20
    settings = read_settings(tmp_path / "out")
    assert settings is not None
    assert settings["weights"] == identify_weights(str(model)), "of those that it goes on with"
    changed(model / "model-1.safetensors")
    with pytest.raises(InputError, match="it differs in the weights"):
        sampled(6)


def test_another_model_is_told_by_its_name(sampled: Callable[..., int], model: Path, tmp_path: Path) -> None:
    sampled()
    shutil.copytree(model, tmp_path / "other")
    changed(tmp_path / "other" / "model-1.safetensors")
    with pytest.raises(InputError, match="it differs in model: ") as caught:
        sampled(name=str(tmp_path / "other"))
    assert "the weights" not in str(caught.value)


def test_a_new_commit_is_refused_with_a_way_out(sampled: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "identify_weights", lambda _: "commit:a")
    sampled(name="owner/name")
    monkeypatch.setattr(module, "identify_weights", lambda _: "commit:b")
    with pytest.raises(InputError, match="have changed since: commit:a there, commit:b here") as caught:
        sampled(name="owner/name")
    assert "if that commit changed no file of the model, put it into settings.json" in str(caught.value.hint)
