"""Where searches, snapshots and values per user are kept between runs."""

from __future__ import annotations

from pathlib import Path

from kgrecall.sources.cache_folder import cache_folder


def memory_folder() -> Path:
    """``benchmarks`` below the cache folder of kgrecall; made when it is not there."""
    folder = cache_folder() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
