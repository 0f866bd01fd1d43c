"""Every notebook runs from top to bottom on its own data, is thin, and carries no stored output."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_the_notebooks_follow_the_flow() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["01_import", "02_graph", "03_build", "04_recall_and_explain", "05_evaluate"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_thin_and_clean(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) <= 15
    assert max(len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells) <= 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.filterwarnings("ignore")  # the kernel's own machinery, in this process; ours runs in the kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_shows_something(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error:::kgrecall")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "a notebook without a picture"
