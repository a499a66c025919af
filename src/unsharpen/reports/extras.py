"""Optional libraries, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unsharpen.errors import MissingExtraError


def require(module: str) -> Any:
    """The module, or MissingExtraError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingExtraError(
            f"reports need {package}, which is not installed ({error})",
            hint="pip install 'unsharpen[report]'",
        ) from error
