"""The ``unsharpen`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an expected error ends as one message and exit code 2."""
    try:
        from unsharpen.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"typer", "rich", "yaml"}:
            raise
        sys.exit(f"error: the command needs the package {error.name}\n\nhint: pip install 'unsharpen[cli]'")
    run()
