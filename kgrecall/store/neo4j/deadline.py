"""Calls with a deadline, into something that they alone may close: no driver expects a thread beside the one that reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import TypeVar

from kgrecall.errors import Shown, StoreTimeout

T = TypeVar("T")


class Deadlines:
    """Runs calls on threads of their own; one that takes too long is left behind, and what it works on stays open for it.

    Args:
        url: where the calls go to, for the error.
        close: ends what the calls work on. Run once, by :meth:`close` or by the last call that was left behind: a
            connection that is closed while another thread reads from it breaks both.
    """

    def __init__(self, url: str, close: Callable[[], None]) -> None:
        self._url = url
        self._close = close
        self._lock = threading.Lock()
        self._running, self._closing, self._closed = 0, False, False

    def within(self, seconds: float, work: Callable[[], T]) -> T:
        """The outcome of ``work``.

        Raises:
            StoreTimeout: there was none in time.
        """
        done: Future[T] = Future()

        def run() -> None:
            try:
                with self._at_work():
                    outcome = work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(outcome)

        threading.Thread(target=run, name="kgrecall-read", daemon=True).start()
        try:
            return done.result(seconds)
        except FutureTimeout as error:
            if done.done():
                raise
            raise StoreTimeout(
                self._url,
                expected=f"an answer within {seconds:g} s",
                got=Shown("none"),
                remedy="Check the server and the network, or raise read_timeout of Neo4jConfig.",
            ) from error

    def close(self) -> None:
        """Close now, or when the last call is done. Calling it again does nothing."""
        with self._lock:
            self._closing = True
        self._close_if_alone()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
            self._close_if_alone()

    def _close_if_alone(self) -> None:
        with self._lock:
            due = self._closing and not self._running and not self._closed
            self._closed |= due
        if due:
            self._close()
