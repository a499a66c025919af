"""The exception family. Every message says what is required, what was found, and (as a hint) what to do.

Each class also derives from the standard-library class that a caller would catch anyway.
"""

from __future__ import annotations


class UnsharpenError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: what is required and what was found (value, shape, first bad row).
        hint: what to do about it; shown on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n\nhint: {self.hint}"


class InputError(UnsharpenError, ValueError):
    """A value, shape or type that a public function can't accept."""


class DataError(InputError):
    """A data file or data set that lacks a column, or has a malformed row."""


class MissingFieldError(InputError):
    """A method needs a field that the batch does not carry."""


class UnknownNameError(UnsharpenError, LookupError):
    """A name (method, task, ...) that no table holds."""


class EngineError(UnsharpenError, RuntimeError):
    """An engine can't run the method with the configuration that it was given."""


class SamplerError(UnsharpenError, RuntimeError):
    """A server or an engine that should sample can't be reached, refuses, or returns what can't be used."""


class MissingExtraError(UnsharpenError, ImportError):
    """An optional dependency is not installed."""


class UnsharpenWarning(UserWarning):
    """A setting that is known to go wrong; training goes on. The message says what happens and what to do."""
