"""Interpolate the weights of two checkpoints in Hugging Face format (WiSE-FT).

``W = delta W_early + (1 - delta) W_late``, tensor by tensor in float32 (float64 where a checkpoint has that), stored in
the late checkpoint's dtype. An early checkpoint has the variety, a late one the accuracy; of the models between them
some keep most of both. delta 0 is the late one to the bit, and delta 1 the early one if both have the same dtype.

References:
    arXiv 2504.10478; WiSE-FT, arXiv 2109.01903.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsharpen.errors import InputError, MissingExtraError

_SINGLE, _INDEX, _ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
_BESIDE = ("config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_BESIDE_PATTERNS = ("tokenizer*", "vocab*", "*.model", "chat_template*", "*preprocessor_config.json", "*.py")
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_SAME = ("model_type", "architectures", "vocab_size", "tie_word_embeddings")
RECORD = "merge.json"


@dataclass(frozen=True)
class Checkpoint:
    """A folder with weights: ``files`` says for each tensor in which file it lies."""

    folder: Path
    files: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read which tensors there are.

        Raises:
            InputError: no folder, an adapter, no safetensors weights, or a broken index.
        """
        if not folder.is_dir():
            raise InputError(
                f"a checkpoint must be a folder in Hugging Face format, or a hub id; found no folder {folder}"
            )
        if (folder / _ADAPTER).exists():
            raise InputError(
                f"{folder} holds an adapter (LoRA), not a model",
                hint="merge it into its base model first: peft's AutoPeftModelForCausalLM.from_pretrained(...)"
                ".merge_and_unload().save_pretrained(...)",
            )
        if (folder / _INDEX).exists():
            return cls(folder, _weight_map(folder / _INDEX))
        if (folder / _SINGLE).exists():
            with _reader(folder / _SINGLE) as reader:
                return cls(folder, dict.fromkeys(reader.keys(), _SINGLE))
        raise InputError(
            f"{folder} has neither {_SINGLE} nor {_INDEX}",
            hint="save the model with save_pretrained(..., safe_serialization=True)",
        )

    def config(self) -> dict[str, Any]:
        """Its ``config.json``; empty if there is none."""
        path = self.folder / "config.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"can't read {path}: {error}") from error


def interpolate(early: Path, late: Path, output: Path, *, delta: float = 0.5, force: bool = False) -> int:
    """Write the model between two checkpoints of one run; returns the number of tensors.

    Configuration, tokenizer and the division into files are the late checkpoint's. ``output`` appears when it is
    complete, with ``merge.json`` that says where it came from.

    Args:
        early: folder of the one checkpoint; where there is no such folder, a hub id.
        late: the same of the other.
        output: new folder.
        delta: in [0, 1], the share of ``early``.
        force: replace ``output``.

    Raises:
        InputError: delta out of range; no two checkpoints of one model (keys, shapes, configuration); a weight that is
            not finite, or too large for the late checkpoint's dtype; float8 weights; an index that names a tensor its
            file lacks; a hub id that can't be downloaded; an output that exists.
    """
    if not 0 <= delta <= 1:
        raise InputError(f"delta must be in [0, 1], found {delta}")
    first, second = Checkpoint.open(_local(early)), Checkpoint.open(_local(late))
    _check_same_model(first, second)
    target = output.resolve()
    if held := [place for place in (early.resolve(), late.resolve()) if target in (place, *place.parents)]:
        raise InputError(
            f"the output must be a folder of its own; {output} is or holds the checkpoint {held[0]}",
            hint="a folder beside the checkpoints",
        )
    if output.exists() and not force:
        raise InputError(f"{output} exists", hint="choose another folder, or --force")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as made:
            folder = Path(made) / "model"
            folder.mkdir()
            _write(first, second, folder, delta)
            record = {"method": "wise-ft", "delta": delta, "early": str(early), "late": str(late)}
            (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            if output.exists():
                shutil.rmtree(output)
            os.replace(folder, output)
    except OSError as error:
        raise InputError(f"can't write {output}: {error.strerror}") from error
    return len(second.files)


def _write(first: Checkpoint, second: Checkpoint, folder: Path, delta: float) -> None:
    from safetensors.torch import save_file

    by_file: dict[str, list[str]] = {}
    for key, name in second.files.items():
        by_file.setdefault(name, []).append(key)
    for name, keys in by_file.items():
        with _reader(second.folder / name) as late:
            mixed = {key: _mix(key, first, _tensor(late, second.folder / name, key), delta) for key in keys}
        save_file(mixed, folder / name, metadata={"format": "pt"})
    beside = [second.folder / name for name in (_INDEX, *_BESIDE)]
    beside += [path for pattern in _BESIDE_PATTERNS for path in second.folder.glob(pattern)]
    for path in beside:
        if path.is_file():
            shutil.copy2(path, folder / path.name)


def _mix(key: str, first: Checkpoint, late: Any, delta: float) -> Any:
    path = first.folder / first.files[key]
    with _reader(path) as reader:
        early = _tensor(reader, path, key)
    weights = early.is_floating_point() and late.is_floating_point()
    for what, ours, theirs in (("shape", tuple(early.shape), tuple(late.shape)), ("dtype", early.dtype, late.dtype)):
        if ours != theirs and not (what == "dtype" and weights):
            raise InputError(
                f"the {what} of tensor {key} differs: {ours} in the early checkpoint, {theirs} in the late one",
                hint="checkpoints of one run have the same; convert one of them with save_pretrained",
            )
    if not weights:
        if not bool((early == late).all()):
            raise InputError(f"tensor {key} ({late.dtype}) is no weight to interpolate, and differs")
        return late
    for which, values in (("early", early), ("late", late)):
        if str(values.dtype).removeprefix("torch.") not in _FLOATS:
            raise InputError(
                f"weights must be {', '.join(_FLOATS)}; tensor {key} of the {which} checkpoint is {values.dtype}",
                hint="save the model in bfloat16 first; quantised weights have scales of their own",
            )
        if not bool(values.isfinite().all()):
            raise InputError(f"tensor {key} of the {which} checkpoint has values that are not finite")
    mixed = _between(early, late, delta).to(late.dtype).contiguous()
    if not bool(mixed.isfinite().all()):
        raise InputError(
            f"tensor {key} has values too large for {late.dtype}, the dtype of the late checkpoint",
            hint="save the late checkpoint in bfloat16 or float32 first",
        )
    return mixed


def _between(early: Any, late: Any, delta: float) -> Any:
    """The ends are the tensors themselves: 0 times a weight, added, would lose the sign of a -0."""
    import torch

    if delta in (0, 1):
        return early if delta else late
    dtype = torch.promote_types(torch.promote_types(early.dtype, late.dtype), torch.float32)
    return delta * early.to(dtype) + (1 - delta) * late.to(dtype)


def _local(place: Path) -> Path:
    """The folder; of a hub id, the folder that its files are downloaded into."""
    name = place.as_posix()
    if place.exists() or not _HUB_ID.fullmatch(name):
        return place
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a hub id needs the package {error.name}", hint="pip install 'unsharpen[train]'"
        ) from error
    wanted = ["*.safetensors", "*.json", *_BESIDE, *_BESIDE_PATTERNS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*", "consolidated*"]))
    except Exception as error:  # of the hub's client, the network, or a disk
        raise InputError(
            f"{name} is no folder here, and can't be had from the hub; {type(error).__name__}: "
            + str(error).strip().partition("\n")[0],
            hint="check the name; without a network, give the folder of a downloaded model",
        ) from error


def _check_same_model(first: Checkpoint, second: Checkpoint) -> None:
    for only, where in (
        (first.files.keys() - second.files.keys(), "early"),
        (second.files.keys() - first.files.keys(), "late"),
    ):
        if only:
            shown = ", ".join(sorted(only)[:3]) + (", ..." if len(only) > 3 else "")
            raise InputError(
                f"two checkpoints of one model have the same tensors; {len(only)} are in the {where} one only: {shown}"
            )
    ours, theirs = first.config(), second.config()
    for name in _SAME:
        if ours.get(name) != theirs.get(name):
            raise InputError(
                f"the checkpoints are of different models: {name} is {ours.get(name)!r} in the early one and "
                f"{theirs.get(name)!r} in the late one"
            )


def _weight_map(path: Path) -> dict[str, str]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = {str(key): str(name) for key, name in held.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no index of weights: {error!r}") from error
    for name in set(files.values()):
        if Path(name).name != name or not (path.parent / name).is_file():
            raise InputError(f"{path} names the file {name!r}, which is not beside it")
    return files


def _tensor(reader: Any, path: Path, key: str) -> Any:
    from safetensors import SafetensorError

    try:
        return reader.get_tensor(key)
    except SafetensorError as error:
        raise InputError(
            f"can't read tensor {key} from {path}: {error}",
            hint=f"{_INDEX} beside it says that the tensor lies there; save or download the checkpoint again",
        ) from error


def _reader(path: Path) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"checkpoints need the package {error.name}", hint="pip install 'unsharpen[train]'"
        ) from error
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"can't read {path}: {error}") from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"checkpoints need the package {error.name}", hint="pip install 'unsharpen[train]'"
        ) from error
