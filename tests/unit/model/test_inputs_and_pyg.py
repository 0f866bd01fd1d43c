"""Inputs that do not fit are refused, and PyTorch Geometric gets the same graph."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kgrecall.errors import ConfigError, ShapeError
from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.pyg import to_pyg
from kgrecall.types import Interactions


def events(count: int = 3) -> Interactions:
    return Interactions(np.arange(count) % 2, np.arange(count) % 3, np.ones(count, np.float32), None, 2, 3)


def test_no_events() -> None:
    with pytest.raises(ConfigError, match="at least one event"):
        ModelInputs(events(0))


@pytest.mark.parametrize("text", [np.zeros((2, 4), np.float32), np.zeros(3, np.float32)])
def test_texts_of_another_catalogue(text: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"text: expected float32 \(3, dim\)"):
        ModelInputs(events(), text=text)
    with pytest.raises(ShapeError, match=r"cover vectors: expected float32 \(3, dim\)"):
        ModelInputs(events(), vectors={"cover": text})


def test_texts_with_nan() -> None:
    with pytest.raises(ShapeError, match="finite"):
        ModelInputs(events(), text=np.full((3, 2), np.nan, np.float32))


def test_knowledge_of_another_catalogue() -> None:
    part = Incidence("HAS_GENRE", "Genre", sparse.csr_array((4, 2), dtype=np.float32), reverse=False)
    with pytest.raises(ShapeError, match="HAS_GENRE"):
        ModelInputs(events(), [part])


def test_events_of_one_pair_are_summed() -> None:
    twice = Interactions(np.array([0, 0]), np.array([1, 1]), np.array([1, 2], np.float32), None, 2, 3)
    assert ModelInputs(twice).history().toarray().tolist() == [[0, 3, 0], [0, 0, 0]]


def test_pyg_holds_every_node_edge_weight_and_time(shop_snapshot: GraphSnapshot) -> None:
    data = to_pyg(shop_snapshot)
    assert data.validate()
    assert {label: data[label].num_nodes for label in data.node_types} == {
        label: shop_snapshot.num_nodes(label) for label in shop_snapshot.vocabularies
    }
    for edge_type, edges in shop_snapshot.relations.items():
        store = data[edge_type]
        source, target = store.edge_index.numpy()
        assert np.array_equal(source, edges.sources())
        assert np.array_equal(target, edges.indices)
        assert np.array_equal(store.edge_weight.numpy(), edges.weight)
        assert ("time" in store) == (edges.time is not None)
