"""verl: its trainers with any method of the catalogue, selected by ``trainer.v1.trainer_mode=unsharpen_sync``.

Supported: verl 0.9 (0.9.1 is tested; 0.9.0 has the same hooks), V1 trainers. Multi-GPU and multi-node come with verl:
Ray, FSDP or Megatron, vLLM or SGLang.

verl finds them by an entry point of the group ``verl.plugins`` (see ``_verl_plugin.py``) where it needs them.
``python -m unsharpen.engines.verl`` says whether that works here, and if not, why.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import Any

from unsharpen.engines._release import require_release
from unsharpen.engines._verl_config import EXAMPLE, MODES
from unsharpen.errors import EngineError, MissingExtraError, UnsharpenError

SUPPORTED = "0.9"
"""Releases whose version begins so."""

_ENVIRONMENT = "an environment for verl alone: it does not work beside trl; docs/verl.md has the steps"


def register() -> dict[str, type[Any]]:
    """Register our trainer modes with verl; safe to call again.

    Returns:
        Mode -> trainer class, as verl now knows them.

    Raises:
        MissingExtraError: verl, or something that it needs, is not installed.
        EngineError: another release of verl, or one that can't be imported.
    """
    version = installed_version()
    require_release("verl", version, SUPPORTED)
    try:
        from verl.trainer.ppo.v1 import get_trainer_cls

        from unsharpen.engines import _verl_trainer  # noqa: F401 - registers them
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"verl {version} needs the package {error.name}", hint=_ENVIRONMENT) from error
    except ImportError as error:
        raise EngineError(f"verl {version} can't be imported: {error}", hint=_ENVIRONMENT) from error
    return {mode: get_trainer_cls(mode) for mode in MODES}


def installed_version() -> str:
    """The version of verl, read without importing it."""
    try:
        return importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            "unsharpen.engines.verl needs verl, which is not installed", hint=_ENVIRONMENT
        ) from error


def check() -> str:
    """What a user asks when verl does not know the trainer mode: versions, the plug-in's state, registered modes.

    Raises:
        UnsharpenError: the plug-in does not work here; says why.
    """
    modes = register()
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip()
    entry_points = importlib.metadata.entry_points(group="verl.plugins")
    if not any(entry.name == "unsharpen" for entry in entry_points):
        raise EngineError(
            "unsharpen is on the path but not installed: verl finds plug-ins by the metadata of installed packages",
            hint="pip install . from a clone of unsharpen, in verl's environment and on every node",
        )
    if policy != "auto" and "unsharpen" not in policy.split(","):
        raise EngineError(
            f"verl is told not to load unsharpen: VERL_USE_EXTERNAL_PLUGINS={policy}",
            hint="unset it, or add unsharpen to its list",
        )
    lines = [f"unsharpen {importlib.metadata.version('unsharpen')}, verl {installed_version()}"]
    lines += [f"  trainer.v1.trainer_mode={mode:25s} extends {MODES[mode]}" for mode in modes]
    return "\n".join([*lines, f"select one, and a method: trainer.v1.trainer_mode={next(iter(modes))} {EXAMPLE}"])


def main() -> None:
    """Entry of ``python -m unsharpen.engines.verl``."""
    try:
        sys.stdout.write(f"{check()}\n")
    except UnsharpenError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
else:
    register()
