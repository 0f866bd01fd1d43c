"""EASE and item-kNN by RecTools: reads matrix.npz and params.json from a folder, writes weights.npy.

A user's scores are the rows of the weights at what the user chose, summed up.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, ImplicitItemKNNWrapperModel
from scipy import sparse

NEIGHBOURS = {"BM25": BM25Recommender, "cosine": CosineRecommender, "TF-IDF": TFIDFRecommender}


def learn(params, dataset):
    """Weights by RecTools' own numbers of items."""
    if params["model"] == "EASE":
        return EASEModel(regularization=params["regularization"]).fit(dataset).weight.T  # it ranks by products with the rows
    kind = NEIGHBOURS[params["similarity"]]
    model = ImplicitItemKNNWrapperModel(kind(K=params["k"], num_threads=1)).fit(dataset)
    return model.model.similarity.toarray()


folder = Path(sys.argv[1])
params = json.loads((folder / "params.json").read_text())
matrix = sparse.load_npz(folder / "matrix.npz").tocoo()
events = {Columns.User: matrix.row, Columns.Item: matrix.col, Columns.Weight: 1.0, Columns.Datetime: "2020-01-01"}
dataset = Dataset.construct(pd.DataFrame(events))
place = dataset.item_id_map.external_ids.astype(np.int64)
weights = np.zeros((matrix.shape[1],) * 2, np.float32)
weights[np.ix_(place, place)] = learn(params, dataset)
np.save(folder / "weights.npy", weights)
