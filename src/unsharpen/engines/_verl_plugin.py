"""The entry point that every process of verl loads: registers our trainers once verl's own are imported, no earlier.

Importing them at once would slow down each worker, and settle verl's choice of hardware before other plug-ins had
their say. Failure is said aloud (verl logs it at its debug level alone) and leaves plain verl as it is.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from importlib.abc import MetaPathFinder
from typing import Any

TARGET = "verl.trainer.ppo.v1"


class _AfterTrainers(MetaPathFinder):
    """Finds nothing by itself; sees the import of verl's trainers, lets it happen, and registers ours after it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            _register()

        loader.exec_module = exec_module
        return spec


def _register() -> None:
    try:
        importlib.import_module("unsharpen.engines.verl")
    except Exception as error:  # plain verl must go on, whatever is wrong with us
        logging.getLogger(__name__).warning("verl will not know the trainer modes of unsharpen: %s", error)


if TARGET in sys.modules:
    _register()
elif not any(isinstance(finder, _AfterTrainers) for finder in sys.meta_path):
    sys.meta_path.insert(0, _AfterTrainers())
