"""Which releases of an engine are supported, said before it does anything."""

from __future__ import annotations

from unsharpen.errors import EngineError


def require_release(package: str, found: str, supported: str, *, hint: str | None = None) -> None:
    """Raise EngineError unless the version ``found`` of ``package`` belongs to the release ``supported``, e.g. 1.16."""
    if not f"{found}.".startswith(f"{supported}."):
        raise EngineError(
            f"unsharpen supports {package} {supported}; found {package} {found}",
            hint=hint or f"pip install '{package}=={supported}.*'",
        )
