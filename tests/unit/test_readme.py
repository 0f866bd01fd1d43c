"""The front door tells the truth: its Python runs, its commands and links exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kgrecall.cli.app import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path / "cache"))
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith((" ", "import"))]) <= 10
    questions = re.findall(r"\| `(kg\.Query\(.*?\))` \| (hot|warm|cold): ([i0-9 ]+) \|", TEXT)
    assert len(questions) >= 13
    code += "".join(f"\nfound = engine.recall({query})\nprint('answer', found.served, len(found))" for query, _, _ in questions)
    (plan,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    code += f"\nprint('plan', len(engine.recall(kg.Query(user_id='u042', k=10, plan={plan})).trace))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len([line for line in lines if re.match(r"i\d{3} ", line)]) == 5
    assert any(line.startswith("You ") for line in lines), "no explanation"
    answers = [line for line in lines if line.startswith("answer ")]
    assert answers == [f"answer {served} {len(ids.split())}" for _, served, ids in questions]
    assert lines[-1] == "plan 6"


def test_every_command_it_names_exists() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    named = set(re.findall(r"(?:^|`)kgrecall ([a-z0-9-]+)", TEXT, re.MULTILINE))
    assert named <= known
    assert all(f"`{name}`" in TEXT for name in known), "a command that the README does not name"


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for line in re.findall(r"make ([a-z0-9 -]+)", TEXT) for word in line.split()}
    assert {"demo", "test", "lint", "types", "bench"} <= targets
    assert {"demo", "test"} <= named


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
