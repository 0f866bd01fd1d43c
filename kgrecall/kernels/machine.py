"""What numba has no words for, written in LLVM's: many inner products at a time, many comparisons, asking memory ahead of use.

No instruction is one processor's own: x86 makes ``vpmaddwd`` or ``vpdpwssd`` of the products, others what they have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as numba_intrinsic

TILE = 32
"""Vectors that lie side by side in a tile."""
SIDE_BY_SIDE = 32
"""Numbers of 4 bytes that are copied, or filled, at a time."""
_LANES = 16
_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_SUMS, _PAIRS, _PRODUCTS = ir.VectorType(_I32, _LANES), ir.VectorType(_I16, 2 * _LANES), ir.VectorType(_I32, 2 * _LANES)


def intrinsic(function: Callable[..., Any]) -> Any:
    """What loops call, from a function of types that gives the signature of a call, and what writes it."""
    return numba_intrinsic(function)


def inner_products(num_queries: int, num_tiles: int) -> Any:
    """Makes ``f(tiles, start, size, queries, first, pairs, out, row, place)``: all inner products of some queries with tiles.

    A tile holds ``TILE`` vectors, the pairs of their columns one after the other: int16 (pairs, TILE, 2); ``num_tiles`` of them
    begin at ``tiles[start]``, ``size`` apart. Queries lie in the same way: int16 (pairs, num_queries, 2) from
    ``queries[first]``. The int32 sums of query i and tile t go to ``out[i * row + place + t * TILE]`` and the places after it.
    """

    @intrinsic
    def products(
        context: Any, tiles: Any, start: Any, size: Any, queries: Any, first: Any, pairs: Any, out: Any, row: Any, place: Any
    ) -> Any:
        whole = types.int64
        signature = types.void(tiles, whole, whole, queries, whole, whole, out, whole, whole)

        def write(target: Any, builder: Any, made: Any, values: Any) -> Any:
            arrays = [target.make_array(made.args[i])(target, builder, values[i]).data for i in (0, 3, 6)]
            numbers = [values[i] for i in (1, 2, 4, 5, 7, 8)]
            _write_products(builder, arrays, numbers, num_queries, num_tiles)
            return target.get_dummy_value()

        return signature, write

    return products


def _write_products(builder: Any, arrays: Any, numbers: Any, num_queries: int, num_tiles: int) -> None:
    tiles, queries, out = arrays
    start, size, first, pairs, row, place = numbers
    before, loop, after = builder.block, builder.append_basic_block("pairs"), builder.append_basic_block("summed")
    halves = TILE // _LANES
    builder.branch(loop)
    builder.position_at_end(loop)
    pair, zero = builder.phi(_I64), ir.Constant(_SUMS, [0] * _LANES)
    pair.add_incoming(_I64(0), before)
    sums = [builder.phi(_SUMS) for _ in range(num_queries * num_tiles * halves)]
    for total in sums:
        total.add_incoming(zero, before)
    vectors = []
    for t in range(num_tiles):
        tile = builder.add(start, builder.mul(size, _I64(t)))
        for half in range(halves):
            offset = builder.add(builder.mul(pair, _I64(2 * TILE)), _I64(2 * _LANES * half))
            vectors.append(builder.sext(_load(builder, tiles, builder.add(tile, offset), _PAIRS), _PRODUCTS))
    added = []
    for i in range(num_queries):
        offset = builder.mul(builder.add(builder.mul(pair, _I64(num_queries)), _I64(i)), _I64(2))
        query = _spread(builder, _load(builder, queries, builder.add(first, offset), _I32))
        for j, vector in enumerate(vectors):
            added.append(builder.add(sums[i * len(vectors) + j], _by_pairs(builder, vector, query)))
    following = builder.add(pair, _I64(1))
    pair.add_incoming(following, loop)
    for total, more in zip(sums, added, strict=True):
        total.add_incoming(more, loop)
    builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
    builder.position_at_end(after)
    for i in range(num_queries):
        for j in range(len(vectors)):
            offset = builder.add(builder.add(builder.mul(row, _I64(i)), place), _I64(_LANES * j))
            target = builder.bitcast(builder.gep(out, [offset]), _SUMS.as_pointer())
            builder.store(added[i * len(vectors) + j], target, align=4)


def _load(builder: Any, array: Any, place: Any, kind: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(array, [place]), kind.as_pointer()), align=2)


def _spread(builder: Any, pair: Any) -> Any:
    """The two columns of a query beside every vector of half a tile."""
    nothing = ir.Constant(_SUMS, ir.Undefined)
    one = builder.insert_element(nothing, pair, _I32(0))
    every = builder.shuffle_vector(one, nothing, ir.Constant(_SUMS, [0] * _LANES))
    return builder.sext(builder.bitcast(every, _PAIRS), _PRODUCTS)


def _by_pairs(builder: Any, vector: Any, query: Any) -> Any:
    products, nothing = builder.mul(vector, query, flags=["nsw"]), ir.Constant(_PRODUCTS, ir.Undefined)
    even, odd = (ir.Constant(_SUMS, list(range(first, 2 * _LANES, 2))) for first in (0, 1))
    return builder.add(builder.shuffle_vector(products, nothing, even), builder.shuffle_vector(products, nothing, odd))


@intrinsic
def fetch(context: Any, array: Any, place: Any) -> Any:
    """``fetch(array, place)``: the processor will soon read there. Any place will do, one beside the array too."""

    def write(target: Any, builder: Any, made: Any, values: Any) -> Any:
        data = target.make_array(made.args[0])(target, builder, values[0]).data
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(hint, [builder.bitcast(builder.gep(data, [values[1]]), byte), _I32(0), _I32(3), _I32(1)])
        return target.get_dummy_value()

    return types.void(array, types.int64), write


@intrinsic
def copy_side_by_side(context: Any, source: Any, start: Any, target: Any, place: Any) -> Any:
    """``copy_side_by_side(source, start, target, place)``: ``SIDE_BY_SIDE`` int32 at once."""

    def write(made_for: Any, builder: Any, made: Any, values: Any) -> Any:
        given, taken = (made_for.make_array(made.args[i])(made_for, builder, values[i]).data for i in (0, 2))
        kind = ir.VectorType(_I32, SIDE_BY_SIDE).as_pointer()
        held = builder.load(builder.bitcast(builder.gep(given, [values[1]]), kind), align=4)
        builder.store(held, builder.bitcast(builder.gep(taken, [values[3]]), kind), align=4)
        return made_for.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), write


@intrinsic
def fill_side_by_side(context: Any, target: Any, place: Any, value: Any) -> Any:
    """``fill_side_by_side(target, place, value)``: one float32 to ``SIDE_BY_SIDE`` places."""

    def write(made_for: Any, builder: Any, made: Any, values: Any) -> Any:
        taken, kind = made_for.make_array(made.args[0])(made_for, builder, values[0]).data, ir.VectorType(_F32, SIDE_BY_SIDE)
        nothing = ir.Constant(kind, ir.Undefined)
        one = builder.insert_element(nothing, values[2], _I32(0))
        every = builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, SIDE_BY_SIDE), [0] * SIDE_BY_SIDE))
        builder.store(every, builder.bitcast(builder.gep(taken, [values[1]]), kind.as_pointer()), align=4)
        return made_for.get_dummy_value()

    return types.void(target, types.int64, types.float32), write


@intrinsic
def at_least_64(context: Any, row: Any, place: Any, threshold: Any) -> Any:
    """``at_least_64(row, place, threshold)``: bit j tells whether ``row[place + j]``, an int32, is ``threshold`` or more."""

    def write(target: Any, builder: Any, made: Any, values: Any) -> Any:
        data, many, nothing = target.make_array(made.args[0])(target, builder, values[0]).data, 64, _I32(0)
        kind = ir.VectorType(_I32, many)
        held = builder.load(builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer()), align=4)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), values[2], nothing)
        bar = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(kind, [0] * many))
        return builder.bitcast(builder.icmp_signed(">=", held, bar), _I64)

    return types.uint64(row, types.int64, types.int32), write


@intrinsic
def lowest_bit(context: Any, bits: Any) -> Any:
    """The place of the lowest 1 of a uint64 that is not 0."""

    def write(target: Any, builder: Any, made: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.IntType(1)(1))

    return types.int64(types.uint64), write
