"""Modules that are imported while a request is answered: those of packages that a server uses."""

from __future__ import annotations

import importlib
import pkgutil

_LATE = (
    "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8", "traceback",
    "linecache", "tokenize", "_strptime", "stringprep", "unicodedata",
    "pydantic._internal._dataclasses",
)  # fmt: skip
_NOT_OF_PYDANTIC = ("pydantic.v1", "pydantic.mypy", "pydantic.plugin", "pydantic._hypothesis")


def import_all() -> None:
    """Import what the server may import later, on its own account or in a package that it uses."""
    for name in _LATE:
        importlib.import_module(name)
    own = __name__.rpartition(".process.")[0]
    for package, others in ((own, (f"{own}.lsp",)), ("pydantic", _NOT_OF_PYDANTIC)):
        path = importlib.import_module(package).__path__
        for module in pkgutil.iter_modules(path, f"{package}."):
            if not module.name.startswith(others):
                importlib.import_module(module.name)
