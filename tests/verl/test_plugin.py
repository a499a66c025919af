"""How verl finds our trainers, and what is said where it does not."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import pytest

from unsharpen.errors import EngineError, MissingExtraError

ASK = "from verl.trainer.ppo.v1 import get_trainer_cls; print(get_trainer_cls('unsharpen_sync').__mro__[1:3])"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VERL_USE_EXTERNAL_MODULES": "", **environment}
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)


def test_verl_finds_the_trainers_when_it_imports_its_own_and_no_earlier() -> None:
    done = python("-c", f"import sys, verl; print('verl.trainer.ppo.v1' in sys.modules); {ASK}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "False"
    assert "_Unsharpened" in done.stdout
    assert "PPOTrainerSync" in done.stdout


def test_the_check_says_that_it_works() -> None:
    done = python("-m", "unsharpen.engines.verl")
    assert done.returncode == 0, done.stderr
    assert f"verl {importlib.metadata.version('verl')}" in done.stdout
    for mode in ("unsharpen_sync", "unsharpen_colocate_async", "unsharpen_separate_async"):
        assert f"trainer.v1.trainer_mode={mode} " in done.stdout


def test_a_plug_in_that_is_not_loaded_is_an_unknown_trainer_and_the_check_says_why() -> None:
    off = {"VERL_USE_EXTERNAL_PLUGINS": "none"}
    done = python("-c", ASK, **off)
    assert done.returncode != 0
    assert "Unknown trainer 'unsharpen_sync'. Available trainers: colocate_async" in done.stderr
    done = python("-m", "unsharpen.engines.verl", **off)
    assert done.returncode == 2
    assert "VERL_USE_EXTERNAL_PLUGINS=none" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plug_in_that_breaks_says_so_aloud_and_leaves_verl_alone() -> None:
    broken = "import sys; sys.modules['unsharpen.engines._verl_trainer'] = None; "
    done = python("-c", f"{broken}from verl.trainer.ppo.v1 import get_trainer_cls; print(get_trainer_cls('sync'))")
    assert done.returncode == 0, done.stderr
    assert "PPOTrainerSync" in done.stdout
    assert "verl will not know the trainer modes of unsharpen" in done.stderr


def test_other_releases_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from unsharpen.engines import verl as ours

    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.8.0" if name == "verl" else real(name))
    with pytest.raises(EngineError, match=r"supports verl 0\.9; found verl 0\.8\.0"):
        ours.register()

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingExtraError, match="needs verl"):
        ours.register()
