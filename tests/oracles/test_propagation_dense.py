"""The sparse convolution against dense matrices: values, gradients of the features and of the relation weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from kgrecall.model.gcn import Adjacencies, RelationConv, symmetric_normalise

torch.set_num_threads(1)
NUM_NODES, DIM = 9, 4


def relations(seed: int = 0, count: int = 3) -> dict[str, sparse.csr_array]:
    """Symmetric weighted graphs; the last node has no edge at all."""
    rng = np.random.default_rng(seed)
    found = {}
    for r in range(count):
        half = np.triu(rng.random((NUM_NODES, NUM_NODES)) * (rng.random((NUM_NODES, NUM_NODES)) < 0.35), 1)
        half[:, -1] = half[-1, :] = 0
        found[f"r{r}"] = sparse.csr_array(half + half.T)
    return found


def dense(matrix: sparse.csr_array) -> torch.Tensor:
    """D^-1/2 A D^-1/2 as written in the paper."""
    full = torch.tensor(matrix.toarray(), dtype=torch.float64)
    scale = torch.where(full.sum(1) > 0, full.sum(1).clamp_min(1e-300).rsqrt(), torch.zeros(NUM_NODES, dtype=torch.float64))
    return scale[:, None] * full * scale[None, :]


def convolution(matrices: dict[str, sparse.csr_array]) -> tuple[Adjacencies, RelationConv]:
    conv = RelationConv(len(matrices)).double()
    with torch.no_grad():
        conv.logit.copy_(torch.tensor([0.3, -1.0, 0.8][: len(matrices)]))
    return Adjacencies.build(matrices, dtype=torch.float64), conv


def test_values_are_those_of_the_formula() -> None:
    matrices = relations()
    adjacencies, conv = convolution(matrices)
    x = torch.randn(NUM_NODES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = sum(w * dense(m) @ x for w, m in zip(conv.weight, matrices.values(), strict=True))
    torch.testing.assert_close(conv(x, adjacencies), expected, rtol=1e-6, atol=1e-7)  # normalised in float32
    assert not conv(x, adjacencies)[-1].any()


def test_gradients_equal_those_of_the_dense_product() -> None:
    matrices = relations(1)
    adjacencies, conv = convolution(matrices)
    x = torch.randn(NUM_NODES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    target = torch.randn(NUM_NODES, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ((conv(x, adjacencies) - target) ** 2).sum().backward()
    found_x, found_w = x.grad, conv.logit.grad
    other = x.detach().clone().requires_grad_()
    logit = conv.logit.detach().clone().requires_grad_()
    weight = torch.nn.functional.softplus(logit)
    ((sum(w * dense(m) @ other for w, m in zip(weight, matrices.values(), strict=True)) - target) ** 2).sum().backward()
    torch.testing.assert_close(found_x, other.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_w, logit.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_gradcheck(count: int) -> None:
    adjacencies, conv = convolution(relations(2, count))
    x = torch.randn(NUM_NODES, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: conv(v, adjacencies), (x,))


def test_normalisation_keeps_isolated_nodes_at_zero() -> None:
    matrix = sparse.csr_array(np.array([[0, 4.0, 0], [4.0, 0, 0], [0, 0, 0]]))
    assert symmetric_normalise(matrix).toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
