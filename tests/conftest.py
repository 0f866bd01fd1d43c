"""The servers that tests share: started once per run, wiped for every test, ended with the run.

A Neo4j server is, in this order: the one that ``KGRECALL_NEO4J_URI`` names (with ``KGRECALL_NEO4J_USER`` and
``KGRECALL_NEO4J_PASSWORD``; **its data is deleted**), one started from its Maven artifacts, one in Docker. Without any, the
tests that need it are skipped and the run says so; with ``KGRECALL_REQUIRE_NEO4J=1`` a skipped one fails the run.
``KGRECALL_NEO4J_VERSION`` chooses the version that is started, ``KGRECALL_NEO4J_RUNTIME=docker`` (or ``java``) what it runs in.
Under pytest-xdist (``-n 2 --dist loadgroup``) these tests are meant for one worker; pytest-xdist 3.8 does not keep groups
together beside pytest 9.2, and then each worker starts a server of its own. No test relies on which ran before it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import neo4j
import pytest

from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.artifacts import LTS
from kgrecall.store.neo4j.server import LocalServer, Runtime, ServerConfig, missing_parts, start_server, stop_server
from kgrecall.store.neo4j.statements import quoted

SETTINGS = {"db.memory.transaction.max": "256m"}
"""A limit that a test can reach."""
_MET = "neo4j server of the tests"
hypothesis.settings.register_profile("patient", deadline=None)  # no test depends on how busy the machine is
hypothesis.settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "neo4j: needs a Neo4j server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the server go to one worker, so that one server is enough."""
    for item in items:
        if item.get_closest_marker("neo4j"):
            item.add_marker(pytest.mark.xdist_group("neo4j"))


@pytest.fixture(scope="session")
def neo4j_version() -> str:
    """The version of the servers that tests start."""
    return os.environ.get("KGRECALL_NEO4J_VERSION", LTS)


@pytest.fixture(scope="session")
def neo4j_runtime() -> Runtime:
    """What the servers that tests start run in."""
    return ServerConfig(runtime=os.environ.get("KGRECALL_NEO4J_RUNTIME", "any")).runtime  # type: ignore[arg-type]  # it checks


@pytest.fixture(scope="session")
def neo4j_server(request: pytest.FixtureRequest, neo4j_version: str, neo4j_runtime: Runtime) -> Iterator[LocalServer]:
    """A server with a database that tests may delete."""
    config, version = request.config, neo4j_version
    if url := os.environ.get("KGRECALL_NEO4J_URI"):
        user, password = os.environ.get("KGRECALL_NEO4J_USER", "neo4j"), os.environ.get("KGRECALL_NEO4J_PASSWORD", "")
        _say(config, f"Neo4j {_version_at(url, user, password)} at {url} (KGRECALL_NEO4J_URI)")
        yield LocalServer(url, user, password, "", "")
        return
    if why := missing_parts(version, neo4j_runtime):
        _give_up(config, why)
    with tempfile.TemporaryDirectory(prefix="kgrecall-neo4j-", ignore_cleanup_errors=True) as home:
        server = start_server(Path(home), ServerConfig(version=version, runtime=neo4j_runtime, settings=SETTINGS), tied=True)
        kind = "in Docker" if server.container else "from its Maven artifacts"
        _say(config, f"Neo4j {_version_at(server.uri, server.user, server.password)} {kind}")
        yield server
        if server.pid:  # its data goes with it, so there is nothing to end in order
            with contextlib.suppress(ProcessLookupError):  # a test may have ended it
                os.kill(server.pid, signal.SIGKILL)
        else:
            stop_server(Path(home))


@pytest.fixture(scope="session")
def neo4j_driver(neo4j_server: LocalServer) -> Iterator[neo4j.Driver]:
    """A plain driver beside the stores under test."""
    login = (neo4j_server.user, neo4j_server.password)
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=login, notifications_min_severity="OFF") as driver:
        yield driver


@pytest.fixture
def empty_neo4j(neo4j_server: LocalServer, neo4j_driver: neo4j.Driver) -> LocalServer:
    """The server with all nodes, relationships and indexes gone; constraints stay, since they hold no data.

    An index of another test would stand in the way of one over the same properties: the server makes no second one.
    """
    neo4j_driver.execute_query("MATCH (n) DETACH DELETE n", database_="neo4j")
    free = "SHOW INDEXES YIELD name, type, owningConstraint WHERE owningConstraint IS NULL AND type <> 'LOOKUP' RETURN name"
    for (name,) in neo4j_driver.execute_query(free, database_="neo4j").records:
        neo4j_driver.execute_query(f"DROP INDEX {quoted(name)} IF EXISTS", database_="neo4j")
    return neo4j_server


@pytest.fixture
def neo4j_store(empty_neo4j: LocalServer) -> Iterator[Neo4jStore]:
    """An empty store without a schema."""
    store = Neo4jStore.connect(empty_neo4j.uri, empty_neo4j.user, empty_neo4j.password)
    yield store
    store.close()


@pytest.fixture
def cypher(empty_neo4j: LocalServer, neo4j_driver: neo4j.Driver) -> Iterator[Callable[..., list[list[object]]]]:
    """``cypher(statement, **parameters)``: what an administrator would type into the same, wiped database."""
    with neo4j_driver.session(database="neo4j") as session:
        yield lambda statement, **parameters: [record.values() for record in session.run(statement, parameters)]


def _version_at(url: str, user: str, password: str) -> str:
    store = Neo4jStore(url, user, password)
    try:
        return store.server_version()
    finally:
        store.close()


def _give_up(config: pytest.Config, why: str) -> None:
    advice = "Install Java 17 and Maven, start Docker, or set KGRECALL_NEO4J_URI to a server whose data may be deleted."
    if os.environ.get("KGRECALL_REQUIRE_NEO4J"):
        pytest.fail(f"no Neo4j server: {why}. {advice}")
    _say(config, f"NONE, ITS TESTS ARE SKIPPED: {why}. {advice}")
    pytest.skip(f"no Neo4j server: {why}")


def _say(config: pytest.Config, text: str) -> None:
    """Remember a line for the end of the run; a worker of pytest-xdist hands it to the main process."""
    getattr(config, "workeroutput", config.__dict__)[_MET] = text


def pytest_testnodedown(node: object, error: object) -> None:
    output = getattr(node, "workeroutput", {})
    if _MET in output:
        node.config.__dict__[_MET] = output[_MET]  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = _counts(terminalreporter)
    if text := config.__dict__.get(_MET):
        told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        terminalreporter.write_line(f"store tests met: {text} ({told})")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that was to meet a server and did not is a failure where a server is required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("KGRECALL_REQUIRE_NEO4J") or os.environ.get("KGRECALL_NEO4J_URI"):
        return
    if _counts(reporter)["skipped"] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _counts(reporter: pytest.TerminalReporter) -> dict[str, int]:
    """How the tests that need the server ended; a file that is skipped as a whole is no test."""
    outcomes = {outcome: reporter.stats.get(outcome, []) for outcome in ("passed", "failed", "error", "skipped")}
    return {
        outcome: sum("neo4j" in getattr(report, "keywords", ()) for report in reports) for outcome, reports in outcomes.items()
    }
