"""One driver to one database: settings, transactions that are tried again, and streams."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import neo4j
from pydantic import Field

from kgrecall.errors import ConfigError, KGRecallError, Shown, Unsupported
from kgrecall.settings import Settings
from kgrecall.store.address import without_secrets
from kgrecall.store.neo4j.deadline import Deadlines
from kgrecall.store.neo4j.errors import DRIVER_PROBLEMS, translate, worth_another_try

Parameters = Mapping[str, Any]
Row = Sequence[Any]
Run = Callable[..., list[Row]]
"""``run(statement, **parameters)`` inside a transaction: all rows of the answer."""
T = TypeVar("T")

OLDEST_SERVER = (5, 26)
_METADATA = {"app": "kgrecall"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_CONSTRAINT_TRIES = 5
_GRACE = 1.0
"""Seconds that the server has to report its own timeout."""


class Neo4jConfig(Settings):
    """How an instance of the store uses its server."""

    sessions: int = Field(default=2, ge=1, le=16)
    """Write transactions that run side by side in one large call. More than the server has cores does not help."""
    transaction_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    """Records in one write transaction. Smaller calls are atomic; larger ones are cut."""
    write_timeout: float = Field(default=120.0, gt=0)
    """Seconds after which the server ends one of our write transactions."""
    read_timeout: float = Field(default=20.0, gt=0)
    """Seconds that a point read (neighbours, counts) may take, waiting and trying again included; scans have no deadline."""
    patience: float = Field(default=60.0, ge=0)
    """Seconds that a call keeps trying while the server is away, starts again, or reports deadlocks."""


class Connection:
    """A driver and what it may do. The constructor connects to nothing; threads may share an instance, forks may not.

    Args:
        url: ``neo4j://host:port`` or ``bolt://...``, with ``+s`` or ``+ssc`` for TLS; may carry ``user:password@`` and
            ``/database``.
        user, password, database: win over those of the address, and these over ``KGRECALL_NEO4J_USER``,
            ``KGRECALL_NEO4J_PASSWORD`` and ``KGRECALL_NEO4J_DATABASE``.
    """

    def __init__(self, url: str, user: str | None, password: str | None, database: str | None, config: Neo4jConfig) -> None:
        parts = urlsplit(url)
        self.url = without_secrets(url)
        self.config = config
        name = user or unquote(parts.username or "") or os.environ.get("KGRECALL_NEO4J_USER") or "neo4j"
        secret = password or unquote(parts.password or "") or os.environ.get("KGRECALL_NEO4J_PASSWORD")
        self.database = database or parts.path.strip("/") or os.environ.get("KGRECALL_NEO4J_DATABASE") or "neo4j"
        self.retries: Counter[str] = Counter()
        """How often a transaction was run again, by the kind of error."""
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="").geturl()
        with self._translated():
            self._driver = neo4j.GraphDatabase.driver(
                address,
                auth=neo4j.basic_auth(name, secret) if secret else None,
                telemetry_disabled=True,
                liveness_check_timeout=60,
                connection_timeout=15,
                keep_alive=True,
                notifications_min_severity="OFF",
                user_agent="kgrecall",
            )
        self._deadlines = Deadlines(self.url, self._driver.close)

    def verify(self) -> str:
        """Log in and return the server's version.

        Raises:
            StoreUnavailable: not reachable, wrong password, no such database.
            Unsupported: older than 5.26, or not Neo4j.
        """
        with self._translated(), self._session(neo4j.READ_ACCESS) as session:
            agent = session.run("RETURN 1").consume().server.agent
        return supported_version(agent, self.url)

    def write(self, work: Callable[[Run], T]) -> T:
        """Run ``work`` in one transaction and commit; it must be idempotent, since it may run several times."""
        return self._transact(work, neo4j.WRITE_ACCESS, self.config.write_timeout, self.config.patience)

    def read_for_write(self, work: Callable[[Run], T]) -> T:
        """Run a read that a write begins with: it may take, and waits for an absent server, as long as the write itself."""
        return self._transact(work, neo4j.READ_ACCESS, self.config.write_timeout, self.config.patience)

    def read(self, work: Callable[[Run], T]) -> T:
        """Run ``work`` in one read transaction; the answer, or an error, comes within the read timeout and a second.

        Raises:
            StoreTimeout: it did not, say because the server's machine hangs without closing the connection.
        """
        config = self.config
        patience = min(config.patience, config.read_timeout)
        return self._deadlines.within(
            config.read_timeout + _GRACE, lambda: self._transact(work, neo4j.READ_ACCESS, config.read_timeout, patience)
        )

    def stream(self, statement: str, parameters: Parameters) -> Iterator[Row]:
        """The rows of a read statement as they come; without a deadline, since a scan takes as long as it takes."""
        query = neo4j.Query(statement, metadata=_METADATA)
        with self._translated(), self._session(neo4j.READ_ACCESS) as session:
            for record in session.run(query, dict(parameters)):
                yield record.values()

    def execute(self, statement: str) -> list[Row]:
        """Run one statement that manages its own transaction: schema commands."""
        with self._translated(), self._session(neo4j.WRITE_ACCESS) as session:
            return [record.values() for record in session.run(statement)]

    def close(self) -> None:
        """Close the driver now, or as soon as the last read is done that was left behind at its deadline."""
        self._deadlines.close()

    def _session(self, access: str) -> neo4j.Session:
        """The bookmarks are shared, so that on a cluster, too, every session sees what the others wrote."""
        return self._driver.session(
            database=self.database,
            default_access_mode=access,
            fetch_size=1000,
            bookmark_manager=self._driver.execute_query_bookmark_manager,
        )

    def _transact(self, work: Callable[[Run], T], access: str, timeout: float, patience: float) -> T:
        deadline = time.monotonic() + patience
        pause, constraint_failures = _FIRST_PAUSE, 0
        while True:
            started = time.monotonic()
            try:
                return self._attempt(work, access, timeout)
            except DRIVER_PROBLEMS as error:
                in_time = time.monotonic() - started < 0.9 * timeout
                constraint_failures += isinstance(error, neo4j.exceptions.ConstraintError)
                last = constraint_failures >= _CONSTRAINT_TRIES or time.monotonic() + pause > deadline
                if last or not worth_another_try(error, in_time=in_time):
                    raise translate(error, self.url) from error
                self.retries[type(error).__name__] += 1
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _attempt(self, work: Callable[[Run], T], access: str, timeout: float) -> T:
        with self._session(access) as session, session.begin_transaction(_METADATA, timeout) as transaction:

            def run(statement: str, **parameters: Any) -> list[Row]:
                return [record.values() for record in transaction.run(statement, parameters)]

            result = work(run)
            transaction.commit()
            return result

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_PROBLEMS as error:
            raise translate(error, self.url) from error
        except ValueError as error:  # the driver's word for an address it cannot parse
            if isinstance(error, KGRecallError):
                raise
            raise ConfigError(
                "Neo4j address", expected="neo4j://HOST:PORT", got=self.url, remedy="Check the address."
            ) from error


def supported_version(agent: str, url: str) -> str:
    """The version in a server's name for itself, ``Neo4j/5.26.28``.

    Raises:
        Unsupported: older than 5.26, or not Neo4j.
    """
    product, _, version = agent.partition("/")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if product != "Neo4j" or numbers < OLDEST_SERVER:
        raise Unsupported(
            url, expected="Neo4j 5.26 or later", got=Shown(agent), remedy="Upgrade the server; 5.26 is the long-term release."
        )
    return version
