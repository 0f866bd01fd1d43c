"""A light relation-aware graph convolution on pre-normalised CSR.

    x_i' = sum_r w_r sum_{j in N_r(i)} x_j / sqrt(|N_r(i)| |N_r(j)|)

LightGCN's propagation (He et al., SIGIR 2020: no feature transform, no nonlinearity) with one learned weight for each
relation, the scalar form of R-GCN (Schlichtkrull et al., ESWC 2018). Every relation is used in both directions with one
weight, so each normalised adjacency is symmetric, and the gradient with respect to ``x`` is the same product again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn


def csr_tensor(matrix: sparse.csr_array, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """A torch CSR tensor with int64 indices (on CPU three times faster to multiply with than int32)."""
    matrix = matrix.tocsr()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(np.asarray(matrix.data)).to(dtype),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )


def symmetric_normalise(matrix: sparse.csr_array) -> sparse.csr_array:
    """``D^-1/2 A D^-1/2`` with weighted degrees; rows without edges stay zero."""
    degree = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree, dtype=np.float64), where=degree > 0)
    coo = matrix.tocoo()
    data = coo.data * scale[coo.row] * scale[coo.col]
    return sparse.coo_array((data.astype(np.float32), (coo.row, coo.col)), coo.shape).tocsr()


@dataclass(frozen=True, slots=True)
class Adjacencies:
    """The normalised adjacency of every relation over one node space, ready to multiply.

    Shapes: ``merged`` CSR (num_nodes, num_nodes), the edges of all relations; its entry e belongs to relation
    ``edge_relation[e]`` (int64 (num_edges,)).
    """

    relations: tuple[str, ...]
    num_nodes: int
    merged: Tensor
    edge_relation: Tensor

    @classmethod
    def build(
        cls, matrices: Mapping[str, sparse.csr_array], *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Adjacencies:
        """Normalise and merge symmetric matrices (num_nodes, num_nodes), one for each relation."""
        num_nodes = next(iter(matrices.values())).shape[0]
        parts = [symmetric_normalise(m).tocoo() for m in matrices.values()]
        row = np.concatenate([p.row for p in parts]).astype(np.int64)
        column = np.concatenate([p.col for p in parts]).astype(np.int64)
        value = np.concatenate([p.data for p in parts])
        relation = np.repeat(np.arange(len(parts)), [p.nnz for p in parts])
        order = np.lexsort((relation, column, row))
        indptr = np.searchsorted(row[order], np.arange(num_nodes + 1))
        merged = sparse.csr_array((value[order], column[order], indptr), shape=(num_nodes, num_nodes))
        return cls(
            relations=tuple(matrices),
            num_nodes=num_nodes,
            merged=csr_tensor(merged, device=device, dtype=dtype),
            edge_relation=torch.from_numpy(relation[order]).to(device),
        )

    def weighted(self, weight: Tensor) -> Tensor:
        """``sum_r w_r A_r``, CSR (num_nodes, num_nodes), for weight (num_relations,)."""
        return _with_values(self.merged, self.merged.values() * weight.index_select(0, self.edge_relation))


def _with_values(matrix: Tensor, values: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            matrix.crow_indices(), matrix.col_indices(), values, size=matrix.shape, check_invariants=False
        )


class _RelationSum(torch.autograd.Function):
    """``y = A x`` with ``A = sum_r w_r A_r`` and every ``A_r`` symmetric.

    dL/dx = A dL/dy is the same product again. dL/dw_r = <A_r x, dL/dy> is the sum over the edges (i, j) of relation r of
    ``a_ij <dL/dy_i, x_j>``: inner products at the edges alone, or simply <y, dL/dy> when there is one relation.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, adjacencies: Adjacencies) -> Tensor:
        one = len(adjacencies.relations) == 1
        matrix = adjacencies.merged if one else adjacencies.weighted(weight)
        y = matrix @ x  # (num_nodes, d)
        ctx.save_for_backward(y if one else x, weight)
        ctx.matrix, ctx.adjacencies = matrix, adjacencies
        return y * weight if one else y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        saved, weight = ctx.saved_tensors
        one = len(ctx.adjacencies.relations) == 1
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = ctx.matrix @ grad
            grad_x = grad_x.mul_(weight) if one else grad_x
        if ctx.needs_input_grad[1]:
            grad_weight = torch.dot(saved.flatten(), grad.flatten())[None] if one else _shares(ctx.adjacencies, saved, grad)
        return grad_x, grad_weight, None


def _shares(adjacencies: Adjacencies, x: Tensor, grad: Tensor) -> Tensor:
    """<A_r x, grad> for each relation, (num_relations,)."""
    merged = adjacencies.merged
    products = torch.sparse.sampled_addmm(merged, grad, x.t(), beta=0.0).values() * merged.values()  # (num_edges,)
    return x.new_zeros(len(adjacencies.relations)).index_add_(0, adjacencies.edge_relation, products)


class RelationConv(nn.Module):
    """One propagation over all relations, each with a learned positive weight ``w_r = softplus(logit_r)``.

    Shapes: ``forward(x (num_nodes, d), adjacencies) -> (num_nodes, d)``.
    """

    def __init__(self, num_relations: int) -> None:
        super().__init__()
        self.num_relations = num_relations
        self.logit = nn.Parameter(torch.empty(num_relations))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Give every relation the weight 1."""
        nn.init.constant_(self.logit, float(np.log(np.expm1(1.0))))

    @property
    def weight(self) -> Tensor:
        return nn.functional.softplus(self.logit)  # (num_relations,)

    def forward(self, x: Tensor, adjacencies: Adjacencies) -> Tensor:
        out: Tensor = _RelationSum.apply(x, self.weight, adjacencies)  # type: ignore[no-untyped-call]
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_relations={self.num_relations})"
