"""iALS and BPR by ``implicit``: reads matrix.npz and params.json from a folder, writes users.npy and items.npy."""

import json
import sys
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse

MODELS = {"iALS": AlternatingLeastSquares, "BPR": BayesianPersonalizedRanking}

folder = Path(sys.argv[1])
params = json.loads((folder / "params.json").read_text())
settings = {"num_threads": 1} | {name: value for name, value in params.items() if name not in {"model", "seed"}}
model = MODELS[params["model"]](random_state=params["seed"], **settings)
model.fit(sparse.load_npz(folder / "matrix.npz"), show_progress=False)
np.save(folder / "users.npy", np.asarray(model.user_factors, np.float32))
np.save(folder / "items.npy", np.asarray(model.item_factors, np.float32))
