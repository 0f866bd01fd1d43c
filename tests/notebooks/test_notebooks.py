"""Every notebook runs from top to bottom on its own data, is thin, and carries no stored output."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from kgrecall.store.neo4j.server import LocalServer

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_the_notebooks_follow_the_flow() -> None:
    flow = ["01_import", "02_graph", "03_build", "04_recall_and_explain", "05_evaluate", "06_neo4j"]
    assert [path.stem for path in NOTEBOOKS] == flow


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_thin_and_clean(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) <= 15
    assert max(len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells) <= 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.filterwarnings("ignore")  # the kernel's own machinery, in this process; ours runs in the kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_shows_something(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KGRECALL_NEO4J_URI", raising=False)
    outputs = _outputs(path, monkeypatch)
    assert any("image/png" in output.get("data", {}) for output in outputs), "a notebook without a picture"


@pytest.mark.neo4j
@pytest.mark.filterwarnings("ignore")
def test_the_hybrid_query_runs_on_a_server(empty_neo4j: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRECALL_NEO4J_URI", empty_neo4j.uri)
    monkeypatch.setenv("KGRECALL_NEO4J_USER", empty_neo4j.user)
    monkeypatch.setenv("KGRECALL_NEO4J_PASSWORD", empty_neo4j.password)
    printed = "".join(output.get("text", "") for output in _outputs(FOLDER / "06_neo4j.ipynb", monkeypatch))
    assert "MATCH" not in printed, "the query was shown, not run"
    assert len(re.findall(r"^i\d{3}  .*  0\.\d+$", printed, re.MULTILINE)) == 10
    assert "neo4j_vector" in printed


def _outputs(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[nbformat.NotebookNode]:
    monkeypatch.setenv("PYTHONWARNINGS", "error:::kgrecall")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
