"""Reading and writing at the same time: most of both happens outside of Python, so that two processor cores are at work."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from queue import Empty, Full, Queue

from kgrecall.sources.tables import Batch

_BATCHES = 4
"""How far the reader may be ahead: about one write."""
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class _End:
    """The last thing in the queue: the reader is through, or failed."""

    error: BaseException | None = None


def read_ahead(batches: Iterable[Batch]) -> Generator[Batch, None, None]:
    """The same batches in the same order, read by a thread; whatever the reader raises is raised here, behind what it had
    read before. Closing this iterator ends the thread and closes the reader's own iterator."""
    ready: Queue[Batch | _End] = Queue(_BATCHES)
    stop = threading.Event()
    thread = threading.Thread(target=_read, args=(batches, ready, stop), name="kgrecall-read-ahead", daemon=True)
    thread.start()
    try:
        while isinstance(batch := _next(ready, thread), Batch):
            yield batch
        if batch.error is not None:
            raise batch.error
    finally:
        stop.set()
        thread.join()


def _next(ready: Queue[Batch | _End], thread: threading.Thread) -> Batch | _End:
    while True:
        try:
            return ready.get(timeout=_PAUSE)
        except Empty:
            if not thread.is_alive() and ready.empty():  # the interpreter is shutting down
                return _End(RuntimeError("the reading thread is gone"))


def _read(batches: Iterable[Batch], ready: Queue[Batch | _End], stop: threading.Event) -> None:
    iterator = iter(batches)
    end = _End()
    try:
        for batch in iterator:
            if not _put(batch, ready, stop):
                break
    except BaseException as error:
        end = _End(error)
    finally:
        if isinstance(iterator, Generator):
            iterator.close()
        _put(end, ready, stop)


def _put(item: Batch | _End, ready: Queue[Batch | _End], stop: threading.Event) -> bool:
    """Whether it found its place before anybody said stop."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=_PAUSE)
        except Full:
            continue
        return True
    return False
