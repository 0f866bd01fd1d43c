"""Top k of the same vectors and the same similarity by implicit and RecTools, one thread; seconds per request and batch.

Reads ``users.npy``, ``items.npy`` (float32), ``asked.npy`` (user positions), ``chosen.npz`` and ``similarity.npz`` (CSR) and
``k`` from a folder; writes ``seconds.json``: system -> {"single": CPU seconds of each request, "batch": CPU seconds of all,
median of some passes}.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import ItemItemRecommender, NearestNeighboursScorer
from rectools.models.rank import Distance, ImplicitRanker

SINGLE, PASSES = 300, 7


def main(folder: Path) -> None:
    users, items, asked = (np.load(folder / f"{name}.npy") for name in ("users", "items", "asked"))
    chosen, similarity = (sp.csr_matrix(sp.load_npz(folder / f"{name}.npz")) for name in ("chosen", "similarity"))
    k = int((folder / "k").read_text())
    factors = AlternatingLeastSquares(factors=items.shape[1], num_threads=1)
    factors.user_factors, factors.item_factors = users, items
    neighbours = ItemItemRecommender(K=int(np.diff(similarity.indptr).max()), num_threads=1)
    neighbours.similarity = similarity
    neighbours.scorer = NearestNeighboursScorer(similarity.astype(np.float64))
    ranker = ImplicitRanker(Distance.DOT, users, items, num_threads=1)
    found = {
        "implicit recommend (vectors)": timed(
            lambda rows: factors.recommend(rows, chosen[rows], N=k, filter_already_liked_items=True), asked
        ),
        "implicit recommend (item-item)": timed(
            lambda rows: neighbours.recommend(rows, chosen[rows], N=k, filter_already_liked_items=True), asked
        ),
        "RecTools full-sort top k (vectors)": timed(lambda rows: ranker.rank(rows, k=k, filter_pairs_csr=chosen[rows]), asked),
    }
    (folder / "seconds.json").write_text(json.dumps(found))


def timed(ask, asked) -> dict:
    ask(asked[:50])
    batch = median(clocked(ask, asked) for _ in range(PASSES))
    return {"batch": batch, "single": [clocked(ask, asked[i : i + 1]) for i in range(SINGLE)]}


def clocked(ask, rows) -> float:
    start = time.process_time()
    ask(rows)
    return time.process_time() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]))
