"""LightGCN, KGAT, KGIN and others by RecBole: reads events.npz and params.json from a folder, writes users.npy and items.npy.

``events.npz``: ``user``, ``item`` (n,) of the events; ``head``, ``relation``, ``tail`` (m,) of the graph, whose first
``num_items`` entities are the items. The rows of the answer are positions; users and items without events have zero rows.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

torch.set_num_threads(1)


def scatter_mean(src, index, dim=0, dim_size=None):
    """What KGIN takes from torch_scatter, which has no wheels for this torch."""
    total = torch.zeros(dim_size, src.shape[1], dtype=src.dtype).index_add_(0, index, src)
    count = torch.zeros(dim_size, dtype=src.dtype).index_add_(0, index, torch.ones(len(index), dtype=src.dtype))
    return total / count.clamp(min=1).unsqueeze(1)


class Edges:
    """What KGAT takes from a graph of dgl, which has no wheels for this torch: the adjacency of some edges."""

    def __init__(self, ends):
        self.source, self.target = (part.numpy() for part in ends)
        self.size, self.edata = int(max(self.source.max(), self.target.max())) + 1, {}

    def filter_edges(self, chosen):
        return np.flatnonzero(chosen(types.SimpleNamespace(data=self.edata)).numpy())

    def adjacency_matrix(self, transpose=False, scipy_fmt="coo"):
        cells = (np.ones(len(self.source)), (self.source, self.target))
        return sparse.coo_matrix(cells, shape=(self.size, self.size))


def edge_subgraph(edges, rows, preserve_nodes=True):
    part = Edges((torch.as_tensor(edges.source[rows]), torch.as_tensor(edges.target[rows])))
    part.size = edges.size
    return part


sys.modules["torch_scatter"] = types.SimpleNamespace(scatter_mean=scatter_mean)
sys.modules["dgl"] = types.SimpleNamespace(graph=Edges, edge_subgraph=edge_subgraph)

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

NAME = "events"


def write_table(path, header, *columns):
    rows = "\n".join("\t".join(map(str, row)) for row in zip(*(column.tolist() for column in columns), strict=True))
    path.write_text(f"{header}\n{rows}\n")


def write_files(folder, events):
    home = folder / NAME
    home.mkdir()
    write_table(home / f"{NAME}.train.inter", "user_id:token\titem_id:token", events["user"], events["item"])
    write_table(home / f"{NAME}.none.inter", "user_id:token\titem_id:token", events["user"][:1], events["item"][:1])
    if len(events["head"]):
        header = "head_id:token\trelation_id:token\ttail_id:token"
        write_table(home / f"{NAME}.kg", header, events["head"], events["relation"], events["tail"])
        items = np.intersect1d(events["item"], np.concatenate([events["head"], events["tail"]]))
        write_table(home / f"{NAME}.link", "item_id:token\tentity_id:token", items, items)


def settings(folder, params, with_graph):
    columns = {"inter": ["user_id", "item_id"]}
    if with_graph:
        columns |= {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}
    return {
        "data_path": str(folder),
        "benchmark_filename": ["train", "none", "none"],
        "load_col": columns,
        "eval_args": {"mode": "full", "order": "RO", "group_by": "user"},
        "checkpoint_dir": str(folder),
        "state": "ERROR",
        "show_progress": False,
        "use_gpu": False,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1, "dynamic": False, "candidate_num": 0},
        **{name: value for name, value in params.items() if name != "model"},
    }


def rows_of(vectors, tokens, size):
    """Rows by position, from rows by RecBole's own numbers, of which 0 is padding."""
    placed = np.zeros((size, vectors.shape[1]), np.float32)
    placed[np.array(tokens[1:], dtype=np.int64)] = vectors[1 : len(tokens)]
    return placed


def main():
    folder = Path(sys.argv[1])
    params, events = json.loads((folder / "params.json").read_text()), np.load(folder / "events.npz")
    write_files(folder, events)
    sys.argv = sys.argv[:1]  # RecBole reads settings from the command line
    config = Config(params["model"], NAME, config_dict=settings(folder, params, len(events["head"]) > 0))
    init_seed(config["seed"], True)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train._dataset)
    get_trainer(config["MODEL_TYPE"], config["model"])(config, model).fit(train, valid_data=None, saved=False)
    model.eval()
    with torch.no_grad():
        users, items = (part.numpy() for part in model.forward()[:2])
    np.save(folder / "users.npy", rows_of(users, dataset.field2id_token["user_id"], int(events["num_users"])))
    np.save(folder / "items.npy", rows_of(items, dataset.field2id_token["item_id"], int(events["num_items"])))


main()
