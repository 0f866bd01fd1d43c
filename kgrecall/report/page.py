"""One self-contained HTML page: text, tables and inline SVG pictures; opens from the disk without a network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.7rem }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem }
table { border-collapse: collapse; font-size: .88rem; display: block; overflow-x: auto }
td, th { padding: .2rem .7rem; text-align: left }
tr:nth-child(even) td { background: #f6f7f9 } td.number { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto } p { max-width: 48rem }
"""


@dataclass(frozen=True, slots=True)
class TableBlock:
    """Rows under column names; floats are shown with four digits."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its paragraphs, tables and figures, in the order given."""

    title: str
    blocks: Sequence[str | TableBlock | Figure]


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page (UTF-8, atomically by rename) and return its path."""
    body = "".join(f"<h2>{escape(s.title)}</h2>{''.join(map(_block, s.blocks))}" for s in sections)
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>\n"
    )
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(html, encoding="utf-8")
    return partial.replace(path)


def _block(block: str | TableBlock | Figure) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, TableBlock):
        return _table(block)
    return f"<figure>{_svg(block)}</figure>"


def _table(table: TableBlock) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, (int, float)):
        text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
        return f'<td class="number">{text}</td>'
    return f"<td>{escape(str(value))}</td>"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
