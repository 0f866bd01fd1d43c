"""Files of a shop of any size: items with titles, brands and categories, and what users with tastes chose of them over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

EVENTS_PER_USER, EVENTS_PER_ITEM = 66, 330
_CATEGORIES, _BRANDS = 60, 400
_TASTES = 3
"""Categories that a user likes; seven events in ten are of one of them."""
_FAITHFUL = 0.7
_BATCH = 1_000_000
_FIRST, _LAST = 1_600_000_000, 1_700_000_000
_LOOKS = np.array(["light", "sturdy", "red", "quiet", "warm", "small", "old", "bright"])
_THINGS = np.array(["tent", "lamp", "boot", "chair", "radio", "glove", "mug", "rope", "bag", "knife"])
_KINDS = np.array(["", " set", " kit", " case", " pro", " mini"])


def write_shop(folder: Path, num_events: int, seed: int = 0) -> None:
    """``items.csv`` (item_id, title, brand, category) and ``events.csv`` (user_id, item_id, timestamp), oldest first.

    The popularity of rank r falls as r^-0.8, the activity of users is log-normal.
    """
    rng = np.random.default_rng(seed)
    num_users, num_items = max(num_events // EVENTS_PER_USER, 1), max(num_events // EVENTS_PER_ITEM, _CATEGORIES)
    category = rng.permutation(np.arange(num_items) % _CATEGORIES)
    _write_items(folder / "items.csv", category, rng)
    popularity = (rng.permutation(num_items) + 1.0) ** -0.8
    tastes = rng.integers(_CATEGORIES, size=(num_users, _TASTES))
    users = _drawn(rng.lognormal(size=num_users), num_events, rng)
    items = _drawn(popularity, num_events, rng)
    liked = tastes[users, rng.integers(_TASTES, size=num_events)]
    liked[rng.random(num_events) > _FAITHFUL] = -1
    for number in range(_CATEGORIES):
        own, places = np.flatnonzero(category == number), np.flatnonzero(liked == number)
        items[places] = own[_drawn(popularity[own], len(places), rng)]
    times = np.sort(rng.integers(_FIRST, _LAST, num_events))
    _write_events(folder / "events.csv", users, items, times)


def _drawn(weight: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    total = np.cumsum(weight)
    return np.minimum(np.searchsorted(total, rng.random(size) * total[-1], side="right"), len(weight) - 1)


def _write_items(path: Path, category: NDArray[np.int64], rng: np.random.Generator) -> None:
    number = np.arange(len(category))
    brand = rng.integers(_BRANDS, size=len(category))
    thing, kind = _THINGS[category % len(_THINGS)], _KINDS[category // len(_THINGS)]
    words = zip(_LOOKS[number % len(_LOOKS)], thing, kind, brand, number, strict=True)
    titles = [f"{look} {what}{kind_of} by brand {maker} no {no}" for look, what, kind_of, maker, no in words]
    columns = {"item_id": _ids("i", number), "title": titles, "brand": _ids("brand", brand), "category": _ids("cat", category)}
    csv.write_csv(pa.table(columns), path)


def _write_events(path: Path, users: NDArray[np.int64], items: NDArray[np.int64], times: NDArray[np.int64]) -> None:
    names = pa.schema({"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()})
    with csv.CSVWriter(path, names) as writer:
        for start in range(0, len(users), _BATCH):
            part = slice(start, start + _BATCH)
            columns = [_ids("u", users[part]), _ids("i", items[part]), pa.array(times[part])]
            writer.write_table(pa.table(columns, schema=names))


def _ids(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.char.add(prefix, numbers.astype(str)))
