"""Where a result comes from: versions of packages, and the commit of the source."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path


def versions(*packages: str) -> dict[str, str | None]:
    """The versions of Python and of the packages; None for one that is not installed."""
    return {"python": sys.version.split()[0], **{name: _version(name) for name in packages}}


def source_revision() -> str | None:
    """The commit of the checkout that this file lies in; None for an installed package or without git."""
    here = Path(__file__).resolve()
    if not (here.parents[3] / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here.parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
