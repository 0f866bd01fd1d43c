"""How loops are compiled: numba, without the interpreter's lock, kept on disk between processes.

Entries have one signature, so that they are compiled once whatever arrays come; inner functions become part of their entry.
The folder of compiled entries is named after the source of this package, since numba looks at an entry's own file alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core import config as settings

from kgrecall.sources.cache_folder import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])


def given(dtype: Any, ndim: int = 1) -> types.Array:
    """An argument that is only read: any contiguous array, memory-mapped ones too."""
    return types.Array(dtype, ndim, "C", readonly=True)


def written(dtype: Any, ndim: int = 1) -> types.Array:
    """An argument that is written to."""
    return types.Array(dtype, ndim, "C")


def inner(function: Function) -> Function:
    """A function that entries call."""
    made: Any = numba.njit(nogil=True)(function)
    return cast(Function, made)


def any_order(function: Function) -> Function:
    """A function that entries call, whose sums may be added up in any order."""
    made: Any = numba.njit(nogil=True, fastmath={"reassoc", "contract"})(function)
    return cast(Function, made)


def entry(*arguments: Any) -> Callable[[Function], Function]:
    """A function without result that Python calls with arguments of these types."""

    def compiled(function: Function) -> Function:
        signature = types.void(*arguments)
        made: Any
        with _own_cache():
            try:
                made = numba.njit(signature, cache=True, nogil=True)(function)
            except RuntimeError:  # no folder can be written: compile in every process
                made = numba.njit(signature, nogil=True)(function)
        return cast(Function, made)

    return compiled


@contextmanager
def _own_cache() -> Iterator[None]:
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder() / "compiled" / _source_hash())
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
