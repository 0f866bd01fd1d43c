"""Where fetched data and computed vectors are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$KGRECALL_CACHE``, else ``$XDG_CACHE_HOME/kgrecall``, else ``~/.cache/kgrecall``. It may not exist yet."""
    if chosen := os.environ.get("KGRECALL_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "kgrecall"
