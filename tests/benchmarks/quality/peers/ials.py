"""iALS by ``implicit``: reads matrix.npz and params.json from a folder, writes users.npy and items.npy."""

import json
import sys
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

folder = Path(sys.argv[1])
params = json.loads((folder / "params.json").read_text())
model = AlternatingLeastSquares(
    factors=params["factors"],
    regularization=params["regularization"],
    alpha=params["alpha"],
    iterations=params["iterations"],
    random_state=params["seed"],
)
model.fit(sparse.load_npz(folder / "matrix.npz"), show_progress=False)
np.save(folder / "users.npy", np.asarray(model.user_factors, np.float32))
np.save(folder / "items.npy", np.asarray(model.item_factors, np.float32))
