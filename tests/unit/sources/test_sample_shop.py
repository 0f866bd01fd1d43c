"""The sample shop is the same everywhere and carries the structure it promises."""

from __future__ import annotations

import csv
from pathlib import Path

from kgrecall.sources.sample_shop import write_sample_shop


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_sample_shop(tmp_path / "a", num_users=30), write_sample_shop(tmp_path / "b", num_users=30)
    names = sorted(p.name for p in first.iterdir())
    assert names == ["brands.csv", "follows.csv", "items.csv", "purchases.csv", "users.csv", "views.csv"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    other = write_sample_shop(tmp_path / "c", num_users=30, seed=1)
    assert (other / "views.csv").read_bytes() != (first / "views.csv").read_bytes()


def test_every_reference_exists_and_keys_are_unique(tmp_path: Path) -> None:
    folder = write_sample_shop(tmp_path)
    users, items = (
        {row[key] for row in rows(folder / file)} for key, file in (("user_id", "users.csv"), ("item_id", "items.csv"))
    )
    assert (len(users), len(items)) == (400, 300)
    for name in ("views.csv", "purchases.csv"):
        assert {row["user_id"] for row in rows(folder / name)} <= users
        assert {row["item_id"] for row in rows(folder / name)} <= items
    assert {row["follows"] for row in rows(folder / "follows.csv")} <= users


def test_users_prefer_one_activity(tmp_path: Path) -> None:
    folder = write_sample_shop(tmp_path)
    activity = {row["item_id"]: row["categories"].split("|")[0] for row in rows(folder / "items.csv")}
    counts: dict[str, dict[str, int]] = {}
    for row in rows(folder / "views.csv"):
        mine = counts.setdefault(row["user_id"], {})
        mine[activity[row["item_id"]]] = mine.get(activity[row["item_id"]], 0) + 1
    shares = [max(mine.values()) / sum(mine.values()) for mine in counts.values()]
    assert sum(shares) / len(shares) > 0.6  # four activities: 0.25 would be chance
