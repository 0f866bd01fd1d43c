"""The pictures people would rather look at than read. Every function returns a matplotlib ``Figure`` and shows nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, MissingExtra, Shown
from kgrecall.types import Node, Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALETTE = ("#3366aa", "#dd8833", "#449955", "#bb4455", "#7755aa", "#887755", "#cc77aa", "#777777", "#99aa33", "#33aabb")
_EMPHASIS = "#111111"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(
            "figures", expected="matplotlib", got=Shown("no such package"), remedy="pip install 'kgrecall[demo]'."
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _as_it_is(text: str) -> str:
    """Dollar signs of data are no mathematics."""
    return text.replace("$", r"\$")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)


def metric_by_k(curves: Mapping[str, Mapping[int, float]], measure: str, *, emphasise: str | None = None) -> Figure:
    """One line per system: the measure against the length of the list.

    Args:
        curves: system -> {k: value}.
        measure: name on the vertical axis ("Recall").
        emphasise: the system drawn thick and black.
    """
    figure, axes = _figure(7, 4.2)
    ranked = sorted(curves, key=lambda name: -max(curves[name].values(), default=0.0))
    for i, name in enumerate(ranked):
        ks = sorted(curves[name])
        bold = name == emphasise
        colour = _EMPHASIS if bold else _PALETTE[i % len(_PALETTE)]
        axes.plot(
            ks, [curves[name][k] for k in ks], marker="o", ms=4, lw=2.6 if bold else 1.3, color=colour, label=_as_it_is(name)
        )
    axes.set(xlabel="k (length of the list)", ylabel=f"{measure}@k", ylim=(0, None))
    axes.set_xticks(sorted({k for curve in curves.values() for k in curve}))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _plain(axes)
    return figure


def training_curve(loss: Sequence[float], validation: Sequence[float], *, measure: str) -> Figure:
    """Training loss (left axis) and a validation measure (right axis) against the epoch, from 1."""
    figure, axes = _figure(6, 3.4)
    epochs = np.arange(1, len(loss) + 1)
    axes.plot(epochs, loss, color=_PALETTE[0], lw=1.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss", color=_PALETTE[0])
    _plain(axes)
    if len(validation):
        right = axes.twinx()
        right.plot(np.arange(1, len(validation) + 1), validation, color=_PALETTE[1], lw=1.8)
        right.set_ylabel(f"validation {measure}", color=_PALETTE[1])
        best = int(np.argmax(validation))
        right.annotate(f"best: epoch {best + 1}", (best + 1, validation[best]), textcoords="offset points", xytext=(4, -12))
        right.spines[["top"]].set_visible(False)
    return figure


def channel_overlap(names: Sequence[str], overlap: NDArray[np.float64]) -> Figure:
    """How much of the row channel's candidates the column channel also found.

    Args:
        names: c channels.
        overlap: (c, c), shares between 0 and 1.
    """
    if overlap.shape != (len(names), len(names)):
        raise ConfigError(
            "overlap", expected=f"a ({len(names)}, {len(names)}) array", got=overlap.shape, remedy="One row per channel."
        )
    side = 1.6 + 0.62 * len(names)
    figure, axes = _figure(side + 1, side)
    axes.imshow(overlap, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (i, j), share in np.ndenumerate(overlap):
        axes.text(j, i, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if share > 0.55 else "black")
    axes.spines[:].set_visible(False)
    return figure


def draw_attribution(
    table: Mapping[str, Mapping[str, float]], names: Mapping[str, str | None] | None = None, *, limit: int = 12
) -> Figure:
    """What a score is owed to, one bar a source, one colour a channel; what counts against the item goes to the left.

    Args:
        table: channel -> {source: value}, of :class:`kgrecall.recall.explaining.explanation.Attribution`.
        names: what sources are called.
        limit: the largest sources shown.
    """
    total: dict[str, float] = {}
    for row in table.values():
        for source, value in row.items():
            total[source] = total.get(source, 0.0) + value
    shown = sorted(total, key=lambda source: -abs(total[source]))[:limit][::-1]
    figure, axes = _figure(8, 1.4 + 0.34 * len(shown))
    ends = {1: np.zeros(len(shown)), -1: np.zeros(len(shown))}
    for i, (channel, row) in enumerate(table.items()):
        values = np.array([row.get(source, 0.0) for source in shown])
        for sign, end in ends.items():
            part = np.where(np.sign(values) == sign, values, 0)
            axes.barh(range(len(shown)), part, left=end.copy(), color=_PALETTE[i % len(_PALETTE)], height=0.7)
            end += part
        axes.scatter([], [], color=_PALETTE[i % len(_PALETTE)], marker="s", label=channel)
    axes.set_yticks(range(len(shown)), [_as_it_is(textwrap.shorten((names or {}).get(s) or s, 38)) for s in shown])
    axes.axvline(0, color=_EMPHASIS, lw=0.6)
    axes.set_xlabel("adds to the score")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def explanation_graph(paths: Sequence[Path]) -> nx.MultiDiGraph:
    """All paths as one small graph: nodes carry ``label``, ``title``, ``depth``; edges ``relation``, ``channel``."""
    graph = nx.MultiDiGraph()
    for path in paths:
        last = max(len(p.nodes) for p in paths) - 1
        for depth, node in enumerate(path.nodes):
            place = last if depth == len(path.nodes) - 1 else depth
            graph.add_node((node.label, node.id), label=node.label, title=str(node), depth=place)
        for before, relation, after in zip(path.nodes[:-1], path.relations, path.nodes[1:], strict=True):
            _add_relation(graph, before, relation, after, path)
    return graph


def _add_relation(graph: nx.MultiDiGraph, before: Node, relation: str, after: Node, path: Path) -> None:
    ends = ((before.label, before.id), (after.label, after.id))
    source, target = ends[::-1] if relation.startswith("^") else ends
    graph.add_edge(
        source, target, key=relation.lstrip("^"), relation=relation.lstrip("^"), channel=path.channel, weight=path.weight
    )


def draw_graph(graph: nx.Graph, *, title: str = "") -> Figure:
    """A small labelled graph (an explanation, a neighbourhood): nodes coloured by label, edges named by relation.

    Nodes with an attribute ``depth`` stand in columns from left to right; otherwise a spring layout is used.
    """
    figure, axes = _figure(9, max(3.2, 0.75 * _tallest_column(graph)))
    layered = all("depth" in data for _, data in graph.nodes(data=True)) and len(graph) > 0
    place = _columns(graph) if layered else nx.spring_layout(graph, seed=0, k=1.6 / np.sqrt(max(len(graph), 1)))
    labels = sorted({data.get("label", "") for _, data in graph.nodes(data=True)})
    colours = {label: _PALETTE[i % len(_PALETTE)] for i, label in enumerate(labels)}
    nx.draw_networkx_edges(
        graph, place, ax=axes, edge_color="#999999", arrowsize=9, node_size=420, connectionstyle="arc3,rad=0.04"
    )
    shades = [colours[data.get("label", "")] for _, data in graph.nodes(data=True)]
    nx.draw_networkx_nodes(graph, place, ax=axes, node_color=shades, node_size=420, edgecolors="white")
    names = {node: _as_it_is(textwrap.fill(str(data.get("title") or node[-1]), 22)) for node, data in graph.nodes(data=True)}
    nx.draw_networkx_labels(
        graph, {n: (x, y - 0.09) for n, (x, y) in place.items()}, names, font_size=8, ax=axes, verticalalignment="top"
    )
    relations = {(u, v): _as_it_is(data.get("relation", "")) for u, v, data in graph.edges(data=True)}
    nx.draw_networkx_edge_labels(graph, place, relations, font_size=7, ax=axes, font_color="#555555", rotate=False)
    for label in labels:
        axes.scatter([], [], color=colours[label], label=label)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=max(len(labels), 1))
    axes.set_title(_as_it_is(title), fontsize=10, loc="left")
    axes.margins(0.12, 0.3)  # names of two lines stand below the lowest node
    axes.axis("off")
    return figure


def _tallest_column(graph: nx.Graph) -> int:
    depths: dict[Any, int] = {}
    for _, data in graph.nodes(data=True):
        depths[data.get("depth")] = depths.get(data.get("depth"), 0) + 1
    return min(max(depths.values(), default=1), 10)


def _columns(graph: nx.Graph) -> dict[Any, tuple[float, float]]:
    columns: dict[int, list[Any]] = {}
    for node, data in graph.nodes(data=True):
        columns.setdefault(data["depth"], []).append(node)
    return {
        node: (float(depth), 0.5 - (row + 0.5) / len(nodes))
        for depth, nodes in columns.items()
        for row, node in enumerate(nodes)
    }
