"""The container that graph_schema/ ships: what it promises can be read from the files."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
COMPOSE = (ROOT / "graph_schema" / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def test_every_variable_has_a_place_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE)) - {"NEO4J_AUTH"}
    assert used <= set(re.findall(r"^([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


def test_it_listens_on_this_machine_only_and_keeps_its_data() -> None:
    ports = re.findall(r'- "([^"]+:\d+)"', COMPOSE)
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "data:/data" in COMPOSE
    for part in ("healthcheck:", "heap_max__size", "pagecache_size", "-community"):
        assert part in COMPOSE


def test_no_password_is_shipped() -> None:
    assert re.search(r"^KGRECALL_NEO4J_PASSWORD=$", EXAMPLE, re.MULTILINE)
    assert "${KGRECALL_NEO4J_PASSWORD:?" in COMPOSE
