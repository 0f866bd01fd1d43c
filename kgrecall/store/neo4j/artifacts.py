"""What a local Neo4j server is made of: a Java runtime and the jars of one version, fetched once with Maven.

The jars are the ones that Neo4j publishes for embedding its Community edition. They lie in
``<cache>/neo4j/<version>/lib``, outside any project; ``<cache>`` is ``$KGRECALL_CACHE`` or ``~/.cache/kgrecall``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kgrecall.errors import ConfigError, Shown, StoreUnavailable
from kgrecall.sources.cache_folder import cache_folder

LTS = "5.26.28"
"""The long-term support release that is used unless another is asked for."""
NEWEST = "2026.05.0"
"""The newest calendar release that the adapter was tested with."""

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kgrecall</groupId><artifactId>neo4j-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""
_VERSION = re.compile(r"\d{1,4}\.\d{1,2}\.\d{1,3}")
_FETCH_SECONDS = 900
_PLACES = ("usr/lib/jvm/*/bin/java", "opt/java/*/bin/java", "Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java")


def java_releases(version: str) -> range:
    """The Java feature releases that a server version runs on: 17 to 21 for 5.26, 21 and later for 2025 and 2026."""
    return range(17, 22) if version.startswith("5.") else range(21, 100)


def find_java(version: str) -> Path | None:
    """A ``java`` program that fits this server version: ``$JAVA_HOME``, the search path, then the usual folders."""
    return next((java for java in _javas() if _release(java) in java_releases(version)), None)


def _javas() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern))


def _release(java: Path) -> int | None:
    """The feature release (17, 21 ...) that ``java -version`` states; None when it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match else None


def has_jars(version: str) -> bool:
    """Whether this version's jars are in the cache already, so that no network is needed."""
    return (_lib(version) / f"neo4j-{version}.jar").exists()


def fetch_jars(version: str = LTS) -> Path:
    """The folder with the jars of a version; the first time Maven fetches about 120 MB.

    Raises:
        ConfigError: ``version`` does not look like a release number.
        StoreUnavailable: Maven is not installed, or could not fetch the version.
    """
    if _VERSION.fullmatch(version) is None:
        raise ConfigError("Neo4j version", expected="a release such as 5.26.28", got=version, remedy=f"Use {LTS}.")
    lib = _lib(version)
    if has_jars(version):
        return lib
    maven = shutil.which("mvn")
    if maven is None:
        raise StoreUnavailable(
            "local Neo4j server",
            expected="Maven (mvn) to fetch its jars",
            got=Shown("no mvn on the search path"),
            remedy="Install Maven, or start Docker, or set KGRECALL_NEO4J_URI to a running server.",
        )
    lib.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lib.parent, prefix="fetch-") as folder:
        _run_maven(maven, version, Path(folder))
        _publish(Path(folder) / "lib", lib)
    return lib


def _lib(version: str) -> Path:
    return cache_folder() / "neo4j" / version / "lib"


def _run_maven(maven: str, version: str, folder: Path) -> None:
    (folder / "pom.xml").write_text(_POM.format(version=version), encoding="utf-8")
    command = [
        maven,
        "-q",
        "-B",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={folder / 'lib'}",
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
        failure = done.stdout.strip().splitlines()[:1] if done.returncode else []
    except subprocess.TimeoutExpired:
        failure = [f"no answer in {_FETCH_SECONDS} s"]
    if failure or not (folder / "lib" / f"neo4j-{version}.jar").exists():
        raise StoreUnavailable(
            "local Neo4j server",
            expected=f"Maven to fetch version {version}",
            got=Shown("; ".join(failure) or "no jars"),
            remedy="Check the network and the version, or set KGRECALL_NEO4J_URI to a running server.",
        )


def _publish(fetched: Path, lib: Path) -> None:
    """Move the finished folder into place; another process may have been faster, which is as good."""
    try:
        fetched.rename(lib)
    except OSError:
        if not lib.exists():
            raise
