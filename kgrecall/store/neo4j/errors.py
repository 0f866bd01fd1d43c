"""What the Neo4j driver and server report, in our words: the only place that knows their codes."""

from __future__ import annotations

import re
from collections.abc import Callable

from neo4j import exceptions

from kgrecall.errors import (
    ConstraintViolated,
    KGRecallError,
    Shown,
    StoreConflict,
    StoreError,
    StoreTimeout,
    StoreUnavailable,
    Unsupported,
)

DriverProblem = exceptions.Neo4jError | exceptions.DriverError
DRIVER_PROBLEMS = (exceptions.Neo4jError, exceptions.DriverError)
_TERMINATED = ("Terminated", "LockClientStopped")
"""Said when a transaction's time is up, and also when the server shuts down."""
_TIMED_OUT = ("TransactionTimedOut", "TransactionTimedOutClientConfiguration", "LockAcquisitionTimeout", *_TERMINATED)
_OUT_OF_MEMORY = ("MemoryPoolOutOfMemoryError", "TransactionOutOfMemoryError", "OutOfMemoryError", "StackOverFlowError")


def worth_another_try(error: DriverProblem, *, in_time: bool) -> bool:
    """Whether the same idempotent transaction may succeed when it is run again; ``in_time``: it ended before its deadline.

    Beside what the driver calls retryable: a commit whose outcome is unknown, two sessions that created one key at once, and
    an end before its time. A transaction that needs too much memory would only fail again.
    """
    if _code(error) in _OUT_OF_MEMORY:
        return False
    if _code(error) in _TERMINATED:
        return in_time
    return error.is_retryable() or isinstance(error, (exceptions.IncompleteCommit, exceptions.ConstraintError))


def translate(error: DriverProblem, url: str) -> KGRecallError:
    """Our error for one of the driver's; ``url`` must be free of secrets."""
    for kind, build in _BY_TYPE:
        if isinstance(error, kind):
            return build(error, url)
    for codes, build in _BY_CODE:
        if _code(error) in codes:
            return build(error, url)
    if isinstance(error, exceptions.TransientError):
        return _conflict(error, url)
    if "too large to index" in _said(error):  # comes under a code that says nothing
        return _too_long(error, url)
    return _unexpected(error, url)


def _code(error: DriverProblem) -> str:
    """The last part of the server's code, ``Neo.ClientError.Schema.ConstraintValidationFailed``; "" for the driver's own."""
    return str(getattr(error, "code", None) or "").rpartition(".")[2]


def _said(error: DriverProblem) -> Shown:
    """What server or driver said: one line."""
    text = str(getattr(error, "message", None) or error)
    return Shown(re.sub(r"\s+", " ", text).strip() or type(error).__name__)


def _refused(error: DriverProblem, url: str) -> KGRecallError:
    if _code(error) == "AuthenticationRateLimit":
        remedy = "Too many wrong passwords: wait a few seconds, then pass the right one."
    else:
        remedy = "Set KGRECALL_NEO4J_USER and KGRECALL_NEO4J_PASSWORD, or pass user and password."
    return StoreUnavailable(url, expected="a user name and password that the server accepts", got=_said(error), remedy=remedy)


def _unreachable(error: DriverProblem, url: str) -> KGRecallError:
    said = f"{error} {error.__cause__ or ''}"
    if "SSL" in said or "TLS" in said or "certificate" in said.lower():
        return StoreUnavailable(
            url,
            expected="an encrypted connection that this address asks for",
            got=_said(error),
            remedy="Use neo4j:// or bolt:// for a server without TLS, and +ssc for a self-signed certificate.",
        )
    return StoreUnavailable(
        url,
        expected="a Neo4j server that answers",
        got=_said(error),
        remedy="Check that it runs and that host and port are right; `kgrecall doctor` shows what it sees.",
    )


def _misconfigured(error: DriverProblem, url: str) -> KGRecallError:
    return StoreUnavailable(
        url, expected="a usable address and settings", got=_said(error), remedy="Check the address; see the Neo4j chapter."
    )


def _foreign(error: DriverProblem, url: str) -> KGRecallError:
    return Unsupported(url, expected="a Neo4j server", got=_said(error), remedy="Point the address at Neo4j 5.26 or later.")


def _violated(error: DriverProblem, url: str) -> KGRecallError:
    return ConstraintViolated(
        url, expected="data that keeps the constraints", got=_said(error), remedy="Mend the named node or drop the constraint."
    )


def _no_database(error: DriverProblem, url: str) -> KGRecallError:
    return StoreUnavailable(
        url,
        expected="a database of that name",
        got=_said(error),
        remedy="Set KGRECALL_NEO4J_DATABASE; SHOW DATABASES lists them.",
    )


def _timed_out(error: DriverProblem, url: str) -> KGRecallError:
    return StoreTimeout(
        url,
        expected="an answer before the deadline",
        got=_said(error),
        remedy="Raise read_timeout or write_timeout of Neo4jConfig, or lower its transaction_rows.",
    )


def _too_large(error: DriverProblem, url: str) -> KGRecallError:
    return StoreError(
        url,
        expected="a transaction that fits the server's memory",
        got=_said(error),
        remedy="Lower transaction_rows of Neo4jConfig, or raise dbms.memory.transaction.total.max or the server's heap.",
    )


def _too_long(error: DriverProblem, url: str) -> KGRecallError:
    return ConstraintViolated(
        url,
        expected="ids that fit the server's index (about 8,000 bytes)",
        got=_said(error),
        remedy="Shorten the id; its row is the one that the server names.",
    )


def _forbidden(error: DriverProblem, url: str) -> KGRecallError:
    return StoreError(
        url,
        expected="a user that may read, write and change the schema",
        got=_said(error),
        remedy="Connect as another user, or ask the administrator to create the constraints first.",
    )


def _conflict(error: DriverProblem, url: str) -> KGRecallError:
    return StoreConflict(
        url,
        expected="a server that is free to write",
        got=_said(error),
        remedy="Other sessions kept the same nodes locked: run it again, or lower sessions of Neo4jConfig.",
    )


def _unexpected(error: DriverProblem, url: str) -> KGRecallError:
    return StoreError(url, expected="the server to carry out the statement", got=_said(error), remedy="See the server's log.")


_Build = Callable[[DriverProblem, str], KGRecallError]
_BY_TYPE: tuple[tuple[type[Exception], _Build], ...] = (
    (exceptions.AuthError, _refused),
    (exceptions.UnsupportedServerProduct, _foreign),
    (exceptions.ConstraintError, _violated),
    (exceptions.Forbidden, _forbidden),
    (exceptions.ServiceUnavailable, _unreachable),
    (exceptions.SessionExpired, _unreachable),
    (exceptions.ConnectionPoolError, _unreachable),
    (exceptions.DatabaseUnavailable, _unreachable),
    (exceptions.ConfigurationError, _misconfigured),
)
_BY_CODE: tuple[tuple[tuple[str, ...], _Build], ...] = (
    (("DatabaseNotFound",), _no_database),
    (("ConstraintCreationFailed",), _violated),
    (("AuthenticationRateLimit",), _refused),
    (_TIMED_OUT, _timed_out),
    (_OUT_OF_MEMORY, _too_large),
)
