"""Look at files and propose a mapping that usually works unchanged."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kgrecall.errors import Shown, SourceError
from kgrecall.schema import GraphSchema
from kgrecall.sources.mappings import find_mapping
from kgrecall.sources.profile import describe
from kgrecall.sources.proposer import Proposer
from kgrecall.sources.roles import Table, classify
from kgrecall.sources.sniff import Sample, has_columns, take_sample

_NO_DATA = frozenset({"readme", "license", "licence", "copying", "changelog"})
_NUMBER = re.compile(r"\d+(?:[-_]\d+)*")
"""``0017``, ``2024-01-31``: what tells the parts of a table apart."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """``toml`` a whole mapping file; ``findings`` what was recognised; ``doubts`` what a person should look at.

    ``folder`` is what the paths in the mapping are relative to.
    """

    toml: str
    findings: tuple[str, ...]
    doubts: tuple[str, ...]
    folder: Path

    @property
    def schema(self) -> GraphSchema:
        return GraphSchema.parse(tomllib.loads(self.toml), origin="proposal")


def propose_mapping(files: Iterable[str | Path] | str | Path) -> Proposal:
    """Read a sample of every file and propose labels, relations and columns.

    Args:
        files: files, or folders whose files are meant.

    Raises:
        SourceError: a file does not exist, or nothing shows who did something with what.
    """
    given = [files] if isinstance(files, (str, Path)) else list(files)
    paths = [path for name in given for path in _expand(Path(name))]
    folder = _common_folder(paths)
    doubts: list[str] = []
    tables: list[Table] = []
    for name, parts in _in_parts(paths, folder).items():
        for sample in _samples(name, parts, folder):
            if isinstance(sample, Sample):
                doubts += [f"{sample.name}: {doubt}." for doubt in sample.doubts]
                tables.append(_table(sample))
            else:
                doubts.append(sample)
    if train := _kgat_train(tables):
        text = find_mapping("kgat").read_text(encoding="utf-8").replace('"train.txt"', f'"{train}"')
        return Proposal(
            text, (f"A data set in KGAT format, with {train}: the shipped mapping reads it.",), tuple(doubts), folder
        )
    proposer = Proposer(tables, folder.resolve().name, doubts)
    return Proposal(proposer.write(), tuple(proposer.findings), tuple(proposer.doubts), folder)


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(child for child in path.rglob("*") if child.is_file() and not child.name.startswith("."))
        return [child for child in inside if child.stem.lower().split("-")[-1] not in _NO_DATA]
    if not path.is_file():
        raise SourceError(str(path), expected="a file or a folder", got=Shown("nothing there"), remedy="Check the path.")
    return [path]


def _common_folder(paths: Sequence[Path]) -> Path:
    if not paths:
        raise SourceError("inspect", expected="at least one file", got=Shown("none"), remedy="Name the files of your data.")
    folder = paths[0].parent
    while not all(path.is_relative_to(folder) for path in paths):
        folder = folder.parent
    return folder


def _in_parts(paths: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    """Name or glob -> its files: those whose names differ in one number only are the parts of one table."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_NUMBER.sub("*", path.relative_to(folder).as_posix()), []).append(path)
    result: dict[str, list[Path]] = {}
    for pattern, parts in groups.items():
        names = [path.relative_to(folder).as_posix() for path in parts]
        if len(parts) > 1 and pattern.count("*") == 1 and set(folder.glob(pattern)) == set(parts):
            result[pattern] = parts
        else:
            result |= {name: [path] for name, path in zip(names, parts, strict=True)}
    return result


def _samples(name: str, parts: Sequence[Path], folder: Path) -> Iterator[Sample | str]:
    """One sample for all parts when they have the columns of the first; a sentence for each file that cannot be read."""
    first = take_sample(parts[0], name)
    if len(parts) == 1:
        yield first if isinstance(first, Sample) else f"{name} is left out: {first}."
    elif isinstance(first, Sample) and all(has_columns(path, first) for path in parts[1:]):
        yield replace(first, whole=False)
    else:
        for path in parts:
            yield from _samples(path.relative_to(folder).as_posix(), [path], folder)


def _table(sample: Sample) -> Table:
    separator = " " if sample.mapping.format == "recbole" else None
    if sample.mapping.format == "kgat" and "user" in sample.columns:
        columns = [describe(name, sample.columns[name]) for name in ("user", "item", "position")]
        columns[2] = replace(columns[2], kind="time", unit="s")
    else:
        columns = [describe(name, cells, separator) for name, cells in sample.columns.items()]
    return classify(sample, columns)


def _kgat_train(tables: Sequence[Table]) -> str | None:
    """The training file of a data set in KGAT's format; None when this is no such set."""
    sequences = [
        table.sample.name for table in tables if table.sample.mapping.format == "kgat" and table.kind == "interactions"
    ]
    lists = any(table.sample.mapping.format == "kgat" and "remap_id" in table.sample.columns for table in tables)
    triples = any(table.sample.name == "kg_final.txt" and not table.sample.mapping.header for table in tables)
    return next((name for name in sequences if "train" in name), None) if lists or triples else None
