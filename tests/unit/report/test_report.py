"""Pictures show what they were given, and the page needs nothing from outside."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path as FilePath

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.report.figures import (
    channel_overlap,
    draw_attribution,
    draw_graph,
    explanation_graph,
    metric_by_k,
    training_curve,
)
from kgrecall.report.page import Section, TableBlock, write_page
from kgrecall.types import Node, Path

ALIEN, BLADE = Node("Movie", "1", "Alien"), Node("Movie", "2", "Blade Runner")
SCOTT, USER = Node("Person", "p1", "Ridley Scott"), Node("User", "u1")
PATHS = [
    Path("attributes", (USER, ALIEN, SCOTT, BLADE), ("RATED", "DIRECTED_BY", "^DIRECTED_BY"), 0.7, "same director"),
    Path("text", (USER, ALIEN, BLADE), ("RATED", "SIMILAR_TEXT"), 0.3, "similar words"),
]


def test_one_line_per_system_with_its_values() -> None:
    figure = metric_by_k({"ours": {10: 0.2, 20: 0.4}, "popularity": {10: 0.1, 20: 0.15}}, "Recall", emphasise="ours")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert list(lines["ours"]) == [0.2, 0.4]
    assert list(lines["popularity"]) == [0.1, 0.15]
    assert figure.axes[0].get_ylabel() == "Recall@k"


def test_training_curve_marks_the_best_epoch() -> None:
    figure = training_curve([3.0, 2.0, 1.5], [0.1, 0.3, 0.2], measure="Recall@20")
    assert any("epoch 2" in text.get_text() for axes in figure.axes for text in axes.texts)
    assert len(training_curve([1.0], [], measure="Recall@20").axes) == 1


def test_overlap_prints_shares_and_checks_the_shape() -> None:
    figure = channel_overlap(["a", "b"], np.array([[1.0, 0.25], [0.5, 1.0]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["100%", "25%", "50%", "100%"]
    with pytest.raises(ConfigError, match=r"\(2, 2\)"):
        channel_overlap(["a", "b"], np.ones((3, 3)))


def test_paths_become_one_graph_with_edges_in_their_stored_direction() -> None:
    graph = explanation_graph(PATHS)
    assert set(graph.nodes) == {("User", "u1"), ("Movie", "1"), ("Person", "p1"), ("Movie", "2")}
    assert graph.has_edge(("Movie", "2"), ("Person", "p1"))  # ^DIRECTED_BY walked backwards
    assert not graph.has_edge(("Person", "p1"), ("Movie", "2"))
    depths = {node: data["depth"] for node, data in graph.nodes(data=True)}
    assert depths[("User", "u1")] == 0
    assert depths[("Movie", "2")] == 3  # the candidate stands at the right edge, also at the end of the shorter path


def test_a_drawn_graph_names_its_nodes() -> None:
    texts = {text.get_text() for text in draw_graph(explanation_graph(PATHS), title="why").axes[0].texts}
    assert {"Alien", "Blade Runner", "Ridley Scott", "u1", "RATED"} <= texts


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value for name, value in attrs if name in {"src", "href"} and value and not value.startswith("#")]
        self.outside += [tag] if tag in {"script", "link", "iframe"} else []


def test_the_page_is_self_contained_and_escapes_what_it_shows(tmp_path: FilePath) -> None:
    figure = metric_by_k({"ours": {10: 0.2}}, "Recall")
    table = TableBlock(["item", "score"], [["<b>Tom & Jerry</b>", 0.5], ["x", 12000]])
    path = write_page(tmp_path / "report.html", "Report", [Section("First", ["a < b", table, figure])])
    text = path.read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    assert links.outside == []
    assert "&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;" in text
    assert "0.5000" in text
    assert "12,000" in text
    assert "<svg" in text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_an_attribution_is_drawn_to_both_sides() -> None:
    axes = draw_attribution({"item_knn": {"i1": 0.3, "i2": 0.1}, "text": {"i1": -0.1, "text": 0.2}}, {"i1": "Alien"}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["i2", "Alien", "text"]
    ends = sorted({round(bar.get_x() + bar.get_width(), 6) for bar in axes.patches if bar.get_width()})
    assert ends == [-0.1, 0.1, 0.2, 0.3]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["item_knn", "text"]
    assert len({tuple(handle.get_facecolor()[0]) for handle in axes.get_legend().legend_handles}) == 2


def test_dollar_signs_are_no_mathematics() -> None:
    odd = "A$AP $_$ Ty Dolla $ign"
    figures = [
        draw_attribution({"c": {"i1": 1.0}}, {"i1": odd}),
        metric_by_k({odd: {1: 0.5}}, "Recall"),
        draw_graph(explanation_graph([Path("c", (USER, Node("Movie", "1", odd)), ("RATED",), 1.0, odd)]), title=odd),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="svg")
