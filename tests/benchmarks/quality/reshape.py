"""Released files whose meaning is in their line numbers or outside the catalogue, turned into tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BEAUTY_RELATIONS = {
    "also_bought": ("pgpr_also_bought_p_p.txt", "pgpr_related_product.txt"),
    "also_viewed": ("pgpr_also_viewed_p_p.txt", "pgpr_related_product.txt"),
    "bought_together": ("pgpr_bought_together_p_p.txt", "pgpr_related_product.txt"),
    "made_by": ("pgpr_brand_p_b.txt", "pgpr_brand.txt"),
    "in_category": ("pgpr_category_p_c.txt", "pgpr_category.txt"),
}


def as_they_are(folder: Path, into: Path) -> None:
    """Link every file of the set, so that ``into`` can hold further ones beside them."""
    for path in folder.iterdir():
        (into / path.name).symlink_to(path.resolve())


def ml1m(folder: Path, into: Path) -> None:
    """The plots of the movies of the catalogue, from a file that describes others too."""
    as_they_are(folder, into)
    catalogue = {line.split("\t", 1)[0] for line in _lines(folder / "products.txt")[1:]}
    described = (json.loads(line) for line in _lines(folder / "omdb_metadata.jsonl"))
    rows = [(str(one["movie_id"]), one["omdb"].get("Plot")) for one in described if str(one["movie_id"]) in catalogue]
    known = [(movie, plot) for movie, plot in rows if plot and plot != "N/A"]
    _write(into / "plots.parquet", pid=[movie for movie, _ in known], plot=[plot for _, plot in known])


def hetrec_audio(folder: Path, into: Path) -> None:
    """The vectors of two audio encoders beside the artists whose rows they are."""
    as_they_are(folder, into)
    rows = [line.split("\t") for line in _lines(folder / "item_id_map.tsv")[1:]]
    vectors = {name: np.load(folder / f"{name}.npy") for name in ("vggish", "whisper")}
    columns = {name: [found[int(row)] for row, *_ in rows] for name, found in vectors.items()}
    _write(into / "audio.parquet", artist=[artist for _, artist, *_ in rows], **columns)


def beauty(folder: Path, into: Path) -> None:
    """Products with words, sequences as events with their place, and the relations by name."""
    words = dict(line.split(" ", 1) for line in _lines(folder / "item_short_text.txt"))
    _write(into / "products.parquet", product=list(words), words=list(words.values()))
    events = [
        (user, item, place)
        for user, *items in (line.split() for line in _lines(folder / "user_sequence.txt"))
        for place, item in enumerate(items)
    ]
    users, items, places = zip(*events, strict=True)
    _write(into / "reviewed.parquet", user=users, product=items, place=places)
    products = _lines(folder / "pgpr_product.txt")
    for name, (edges, names) in BEAUTY_RELATIONS.items():
        tails = _lines(folder / names)
        lines = zip(products, _lines(folder / edges), strict=True)
        pairs = [(product, tails[int(number)]) for product, line in lines for number in line.split()]
        _write(into / f"{name}.parquet", product=[head for head, _ in pairs], tail=[tail for _, tail in pairs])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _write(path: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), path)
