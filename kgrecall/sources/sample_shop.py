"""A made-up outdoor shop with planted taste: data for a first try, for notebooks and for tests; needs no download.

Every user has a favourite activity and a favourite brand, items belong to an activity, and friends share the activity. So
co-occurrence, brand, category, text and friends all carry some signal, and none carries it all.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

_ACTIVITIES: dict[str, dict[str, tuple[str, ...]]] = {
    "running": {
        "Shoes": ("trail running shoe", "road running shoe", "racing flat"),
        "Clothing": ("running vest", "wind jacket", "running tights"),
        "Accessories": ("hydration belt", "running cap", "heart rate strap"),
    },
    "camping": {
        "Shelter": ("two-person tent", "tarp shelter", "hammock"),
        "Sleeping": ("down sleeping bag", "inflatable mat", "camp pillow"),
        "Kitchen": ("gas stove", "titanium pot", "folding cup"),
    },
    "climbing": {
        "Hardware": ("screwgate carabiner", "quickdraw set", "belay device"),
        "Shoes": ("bouldering shoe", "approach shoe", "velcro climbing shoe"),
        "Ropes": ("dynamic rope", "static rope", "accessory cord"),
    },
    "cycling": {
        "Lights": ("front bike light", "rear bike light", "helmet lamp"),
        "Clothing": ("cycling jersey", "bib shorts", "rain jacket"),
        "Parts": ("gravel tyre", "disc brake pad", "bottle cage"),
    },
}
_ADJECTIVES = ("lightweight", "waterproof", "compact", "durable", "breathable", "insulated", "reflective", "recycled")
_BRANDS = ("Norra", "Velden", "Kestrel", "Orbita", "Tindra", "Halcyon", "Brisk", "Cairn", "Lumo", "Pelago")
_COUNTRIES = ("DE", "FR", "NO", "JP", "US", "BR")
_START = datetime(2025, 1, 1, tzinfo=UTC)
_DAYS = 300


def write_sample_shop(folder: str | Path, *, num_users: int = 400, num_items: int = 300, seed: int = 0) -> Path:
    """Write users, brands, items, views, purchases and follows as CSV files for the ``shop.toml`` mapping.

    The same arguments give the same bytes. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    activities = list(_ACTIVITIES)
    item_activity = rng.integers(len(activities), size=num_items)
    item_brand = rng.integers(len(_BRANDS), size=num_items)
    user_activity = rng.integers(len(activities), size=num_users)
    user_brand = rng.integers(len(_BRANDS), size=num_users)
    users = [(f"u{u:03d}", _COUNTRIES[rng.integers(len(_COUNTRIES))], int(rng.integers(1950, 2007))) for u in range(num_users)]
    items = [_item(rng, i, activities[item_activity[i]], _BRANDS[item_brand[i]]) for i in range(num_items)]
    views, purchases = _events(rng, user_activity, user_brand, item_activity, item_brand)
    _write(folder / "users.csv", ("user_id", "country", "birth_year"), users)
    _write(folder / "brands.csv", ("brand", "country"), [(b, _COUNTRIES[i % len(_COUNTRIES)]) for i, b in enumerate(_BRANDS)])
    _write(
        folder / "items.csv", ("item_id", "title", "description", "brand", "categories", "price", "in_stock", "released"), items
    )
    _write(folder / "views.csv", ("user_id", "item_id", "time"), views)
    _write(folder / "purchases.csv", ("user_id", "item_id", "time", "quantity"), purchases)
    _write(folder / "follows.csv", ("user_id", "follows", "since"), _follows(rng, user_activity))
    return folder


def _item(rng: np.random.Generator, i: int, activity: str, brand: str) -> tuple[object, ...]:
    category = str(rng.choice(list(_ACTIVITIES[activity])))
    noun = str(rng.choice(_ACTIVITIES[activity][category]))
    first, second = (str(a) for a in rng.choice(_ADJECTIVES, size=2, replace=False))
    title = f"{brand} {first} {noun}"
    article = "An" if first[0] in "aeiou" else "A"
    description = f"{article} {first} and {second} {noun} for {activity}."
    price = round(float(rng.lognormal(3.8, 0.7)), 2)
    released = (_START - timedelta(days=int(rng.integers(0, 1500)))).date().isoformat()
    return f"i{i:03d}", title, description, brand, f"{activity.title()}|{category}", price, rng.random() < 0.9, released


def _events(
    rng: np.random.Generator,
    user_activity: np.ndarray,
    user_brand: np.ndarray,
    item_activity: np.ndarray,
    item_brand: np.ndarray,
) -> tuple[list[Sequence[object]], list[Sequence[object]]]:
    popularity = rng.pareto(1.5, size=len(item_activity)) + 0.3
    views: list[Sequence[object]] = []
    purchases: list[Sequence[object]] = []
    for user, (activity, brand) in enumerate(zip(user_activity, user_brand, strict=True)):
        taste = popularity * np.where(item_activity == activity, 6.0, 0.4) * np.where(item_brand == brand, 3.0, 1.0)
        count = min(int(rng.lognormal(2.8, 0.6)) + 3, len(taste) // 2)
        chosen = rng.choice(len(taste), size=count, replace=False, p=taste / taste.sum())
        for item in chosen:
            when = _START + timedelta(seconds=int(rng.integers(_DAYS * 86_400)))
            views.append((f"u{user:03d}", f"i{item:03d}", when.isoformat()))
            if rng.random() < 0.25:
                bought = when + timedelta(minutes=int(rng.integers(2, 3000)))
                purchases.append((f"u{user:03d}", f"i{item:03d}", bought.isoformat(), int(rng.integers(1, 4))))
    return views, purchases


def _follows(rng: np.random.Generator, user_activity: np.ndarray) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    for user, activity in enumerate(user_activity):
        alike = np.flatnonzero((user_activity == activity) & (np.arange(len(user_activity)) != user))
        for other in rng.choice(alike, size=min(3, len(alike)), replace=False):
            since = (_START + timedelta(days=int(rng.integers(_DAYS)))).date().isoformat()
            rows.append((f"u{user:03d}", f"u{other:03d}", since))
    return rows


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
