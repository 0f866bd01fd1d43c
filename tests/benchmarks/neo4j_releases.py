"""The tests of the Neo4j store against each supported server release: how many passed, failed and were skipped.

Arguments: server versions (default the long-term release and the newest calendar release; that one needs Java 21 or later).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from kgrecall.store.neo4j.artifacts import LTS, NEWEST
from tests.benchmarks.record import ROOT, record


def main() -> None:
    for version in sys.argv[1:] or [LTS, NEWEST]:
        started = time.perf_counter()
        counts = _outcomes(version)
        seconds = time.perf_counter() - started
        print(f"Neo4j {version}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())} in {seconds:.0f} s", flush=True)
        for outcome, count in counts.items():
            record(
                benchmark="neo4j_releases", dataset="tests of the store", system=f"Neo4j {version}", metric=outcome, value=count
            )


def _outcomes(version: str) -> dict[str, int]:
    """Run all tests that need a server; without one they fail."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-v", "-m", "neo4j", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        env = {**os.environ, "KGRECALL_NEO4J_VERSION": version, "KGRECALL_REQUIRE_NEO4J": "1"}
        subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr)
        suite = ElementTree.parse(report).find("testsuite")
    assert suite is not None
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    return {"passed": int(suite.attrib["tests"]) - failed - skipped, "failed": failed, "skipped": skipped}


if __name__ == "__main__":
    main()
