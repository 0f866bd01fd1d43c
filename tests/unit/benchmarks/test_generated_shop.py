"""The generated shop: what the command line finds in its files, and that tastes are in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.generated_shop import EVENTS_PER_ITEM, EVENTS_PER_USER, write_shop


def test_users_like_some_categories_and_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    for folder in (first, again):
        folder.mkdir()
        write_shop(folder, 66_000, seed=3)
    for name in ("items.csv", "events.csv"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    items, events = pl.read_csv(first / "items.csv"), pl.read_csv(first / "events.csv")
    assert items.columns == ["item_id", "title", "brand", "category"]
    assert (items.height, events.height) == (66_000 // EVENTS_PER_ITEM, 66_000)
    assert events["user_id"].n_unique() <= 66_000 // EVENTS_PER_USER
    assert events["timestamp"].is_sorted()
    told = events.join(items, on="item_id").group_by("user_id", "category").len()
    top = told.sort("len", descending=True).group_by("user_id").head(3).group_by("user_id").agg(pl.col("len").sum())
    share = top["len"].sum() / events.height
    assert share > 0.6  # three of sixty categories hold most of what a user did
    assert np.isclose(told["len"].sum(), events.height)
