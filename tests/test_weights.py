"""Interpolated checkpoints: against a loop over tensors, in shards, at the ends, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from unsharpen.errors import InputError
from unsharpen.weights import RECORD, Checkpoint, interpolate

CONFIG = {"model_type": "llama", "vocab_size": 8}


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(4, 3, generator=generator).to(dtype) for name in ("a.weight", "b.weight", "c.weight")}
    return {**made, "positions": torch.arange(3)}


def write(folder: Path, values: dict[str, torch.Tensor], *, shards: int = 1, config: Any = CONFIG) -> Path:
    folder.mkdir(parents=True)
    if shards == 1:
        save_file(values, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        place = {key: f"model-{i % shards}.safetensors" for i, key in enumerate(values)}
        for name in set(place.values()):
            save_file({k: v for k, v in values.items() if place[k] == name}, folder / name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "optimizer.pt").write_text("large")
    return folder


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    opened = Checkpoint.open(folder)
    return {key: load_file(folder / name)[key] for key, name in opened.files.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("early_shards", "late_shards"), [(1, 1), (1, 3), (2, 1)])
def test_every_tensor_lies_between(tmp_path: Path, dtype: torch.dtype, early_shards: int, late_shards: int) -> None:
    one, two = tensors(1, dtype), tensors(2, dtype)
    early = write(tmp_path / "early", one, shards=early_shards)
    late = write(tmp_path / "late", two, shards=late_shards)
    assert interpolate(early, late, tmp_path / "out", delta=0.25) == 4
    found = loaded(tmp_path / "out")
    assert found.keys() == one.keys()
    for key in ("a.weight", "b.weight", "c.weight"):
        assert found[key].dtype == dtype
        assert torch.equal(found[key], (0.25 * one[key].float() + 0.75 * two[key].float()).to(dtype))
    assert torch.equal(found["positions"], torch.arange(3))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "tokenizer.json", RECORD} <= names
    assert "optimizer.pt" not in names
    assert json.loads((tmp_path / "out" / RECORD).read_text())["delta"] == 0.25
    assert sorted(p.name for p in tmp_path.iterdir()) == ["early", "late", "out"]  # nothing left behind


@pytest.mark.parametrize(("delta", "which"), [(1.0, 1), (0.0, 2)])
def test_the_ends_are_the_checkpoints_to_the_bit(tmp_path: Path, delta: float, which: int) -> None:
    early, late = (write(tmp_path / str(seed), tensors(seed, torch.bfloat16)) for seed in (1, 2))
    interpolate(early, late, tmp_path / "out", delta=delta)
    expected = tensors(which, torch.bfloat16)
    assert all(torch.equal(value, expected[key]) for key, value in loaded(tmp_path / "out").items())


def test_the_late_one_decides_the_dtype(tmp_path: Path) -> None:
    base, model = tensors(1, torch.bfloat16), tensors(2)
    interpolate(write(tmp_path / "base", base), write(tmp_path / "model", model), tmp_path / "out", delta=0.25)
    found = loaded(tmp_path / "out")["a.weight"]
    assert torch.equal(found, 0.25 * base["a.weight"].float() + 0.75 * model["a.weight"])


def test_float64_is_mixed_in_float64(tmp_path: Path) -> None:
    one, two = tensors(1, torch.float64), tensors(2, torch.float64)
    early, late = write(tmp_path / "early", one), write(tmp_path / "late", two)
    interpolate(early, late, tmp_path / "out", delta=0.25)
    assert torch.equal(loaded(tmp_path / "out")["a.weight"], 0.25 * one["a.weight"] + 0.75 * two["a.weight"])
    for delta, expected in ((0.0, two), (1.0, one)):
        interpolate(early, late, tmp_path / f"end-{delta}", delta=delta)
        assert torch.equal(loaded(tmp_path / f"end-{delta}")["a.weight"], expected["a.weight"])


@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_the_ends_keep_the_sign_of_a_zero(tmp_path: Path, delta: float) -> None:
    signed, other = (
        write(tmp_path / name, {"a": torch.tensor(v)}) for name, v in (("x", [-0.0, 0.0]), ("y", [1.0, 1.0]))
    )
    early, late = (signed, other) if delta else (other, signed)
    interpolate(early, late, tmp_path / "out", delta=delta)
    assert torch.signbit(loaded(tmp_path / "out")["a"]).tolist() == [True, False]


def test_values_that_the_late_dtype_cannot_hold(tmp_path: Path) -> None:
    early = write(tmp_path / "early", {"a": torch.tensor([1e6, 3.0])})
    late = write(tmp_path / "late", {"a": torch.tensor([1.0, 3.0], dtype=torch.float16)})
    for delta in (0.5, 1.0):
        message = refused(early, late, tmp_path / "out", delta=delta)
        assert "tensor a has values too large for torch.float16, the dtype of the late checkpoint" in message
    interpolate(early, late, tmp_path / "out", delta=0.0)


def test_float8_is_refused(tmp_path: Path) -> None:
    early, late = (write(tmp_path / str(n), {"a": torch.full((3,), n).to(torch.float8_e4m3fn)}) for n in (1.0, 2.0))
    message = refused(early, late, tmp_path / "out")
    assert "weights must be float16, bfloat16, float32, float64; tensor a of the early checkpoint is torch.f" in message


@pytest.mark.parametrize("which", ["early", "late"])
def test_an_index_that_names_a_tensor_its_file_lacks(tmp_path: Path, which: str) -> None:
    good, bad = write(tmp_path / "good", tensors(1)), write(tmp_path / "bad", tensors(2), shards=2)
    index = bad / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors(2), "model-0.safetensors")}))
    pair = (bad, good) if which == "early" else (good, bad)
    message = refused(*pair, tmp_path / "out")
    assert "can't read tensor b.weight from" in message
    assert "model-0.safetensors: File does not contain tensor b.weight" in message


def test_a_hub_id_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, late = write(tmp_path / "base", tensors(1)), write(tmp_path / "late", tensors(2))
    asked: list[str] = []

    def download(name: str, **patterns: Any) -> str:
        asked.append(name)
        if name != "owner/Model-1.5B":
            raise OSError(f"no such repository: {name}\nand more")
        return str(base)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    interpolate(Path("owner/Model-1.5B"), late, tmp_path / "out", delta=1.0)
    assert torch.equal(loaded(tmp_path / "out")["a.weight"], tensors(1)["a.weight"])
    assert json.loads((tmp_path / "out" / RECORD).read_text())["early"] == "owner/Model-1.5B"
    message = refused(Path("owner/none"), late, tmp_path / "other")
    assert "owner/none is no folder here, and can't be had from the hub; OSError: no such repository" in message
    assert "hint: check the name" in message
    assert "found no folder ../owner/none" in refused(Path("../owner/none"), late, tmp_path / "other")
    assert asked == ["owner/Model-1.5B", "owner/none"]


def refused(early: Path, late: Path, output: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        interpolate(early, late, output, **options)
    return str(caught.value)


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "good", tensors(1))
    out = tmp_path / "out"

    def other(name: str, values: dict[str, torch.Tensor], **options: Any) -> str:
        return refused(good, write(tmp_path / name, values, **options), out)

    values = tensors(2)
    assert "1 are in the early one only: c.weight" in other("less", {k: v for k, v in values.items() if k[0] != "c"})
    assert "1 are in the late one only: d.weight" in other("more", {**values, "d.weight": torch.ones(1)})
    message = other("wide", {**values, "a.weight": torch.ones(4, 4)})
    assert "the shape of tensor a.weight differs: (4, 3) in the early checkpoint, (4, 4) in the late one" in message
    message = other("bytes", {**values, "b.weight": values["b.weight"].to(torch.uint8)})
    assert "the dtype of tensor b.weight differs: torch.float32 in the early" in message
    assert "tensor positions (torch.int64) is no weight" in other(
        "moved", {**values, "positions": torch.ones(3).long()}
    )
    nan = {**values, "a.weight": torch.full((4, 3), float("nan"))}
    assert "tensor a.weight of the late checkpoint has values that are not finite" in other("nan", nan)
    message = other("model", values, config={"model_type": "qwen2"})
    assert "model_type is 'llama' in the early one and 'qwen2' in the late one" in message
    assert not out.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    good, out = write(tmp_path / "good", tensors(1)), tmp_path / "out"
    assert "found no folder" in refused(good, tmp_path / "none", out)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "neither model.safetensors nor" in refused(good, empty, out)
    adapter = write(tmp_path / "adapter", tensors(1))
    (adapter / "adapter_config.json").write_text("{}")
    message = refused(adapter, good, out)
    assert "holds an adapter (LoRA), not a model" in message
    assert "merge_and_unload" in message
    broken = write(tmp_path / "broken", tensors(1))
    (broken / "model.safetensors").write_bytes(b"no weights")
    assert "can't read" in refused(good, broken, out)
    for text in ("{", "[]", '{"weight_map": {"a": "../model.safetensors"}}', '{"weight_map": {"a": "gone"}}'):
        index = tmp_path / "index"
        index.mkdir(exist_ok=True)
        (index / "model.safetensors.index.json").write_text(text)
        assert "model.safetensors.index.json" in refused(good, index, out)


def test_options(tmp_path: Path) -> None:
    early, late = (write(tmp_path / str(seed), tensors(seed)) for seed in (1, 2))
    out = tmp_path / "out"
    for delta in (-0.1, 1.1, float("nan")):
        assert "delta must be in [0, 1]" in refused(early, late, out, delta=delta)
    for held in (early, early.parent):
        assert "the output must be a folder of its own" in refused(early, late, held, force=True)
    interpolate(early, late, out)
    assert "exists" in refused(early, late, out)
    interpolate(early, late, out, delta=1.0, force=True)
    assert torch.equal(loaded(out)["a.weight"], tensors(1)["a.weight"])
