"""The texts of queries as vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kgrecall.errors import Unsupported
from kgrecall.recall.panel import TEXT_CHANNEL
from kgrecall.types import FloatArray, Query

EncodeText = Callable[[Sequence[str]], FloatArray]
"""float32 (n, dim) of n texts, in the space of the channel ``text``."""


def encode_queries(encode: EncodeText | None, queries: Sequence[Query]) -> FloatArray | None:
    """float32 (q, dim) with zero rows where a query has no text; None when none has.

    Raises:
        Unsupported: a query has a text, and there is no encoder.
    """
    asking = [i for i, query in enumerate(queries) if query.text and query.text.strip()]
    if not asking:
        return None
    if encode is None:
        raise Unsupported(
            "Query.text",
            expected=f"an engine with a text encoder and the channel {TEXT_CHANNEL!r}",
            got=queries[asking[0]].text,
            remedy="Build with a text encoder, or ask without text.",
        )
    encoded = encode([queries[i].text or "" for i in asking])
    texts = np.zeros((len(queries), encoded.shape[1]), np.float32)
    texts[asking] = encoded
    return texts
