"""Named data sets: where they come from, under which terms, and the mapping that reads them.

To add one, add a :class:`DataSetInfo` below and a mapping file in ``graph_schema/mappings/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kgrecall.errors import ConfigError, Shown, SourceError, nearest
from kgrecall.schema import GraphSchema
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.sources.mappings import load_mapping
from kgrecall.sources.packages import PackagedFiles, fetch_package
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.types import Progress, no_progress

_MOVIELENS_TERMS = (
    "MovieLens data, GroupLens Research, University of Minnesota: for research use; no redistribution, no commercial use and "
    "no implied endorsement without permission; cite F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and "
    "Context, ACM TiiS 5 (4), 2015."
)


@dataclass(frozen=True, slots=True)
class DataSetInfo:
    """What is known of a data set before it is fetched.

    Exactly one of ``package`` and ``generate`` says how to get it; with neither, the user brings a folder.
    """

    name: str
    summary: str
    mapping: str
    """Name of the shipped mapping file."""
    licence: str
    """The terms in a sentence or two, to be shown once."""
    home: str = ""
    """Where a person finds it."""
    package: PackagedFiles | None = None
    generate: Callable[[Path], Path] | None = field(default=None, repr=False)

    @property
    def schema(self) -> GraphSchema:
        return load_mapping(self.mapping)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that must be there."""
        return tuple(file.path for file in self.schema.files if not file.optional)


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set on this machine, ready for :func:`kgrecall.sources.reader.read_tables`."""

    name: str
    folder: Path
    schema: GraphSchema
    licence: str


_MOVIELENS_100K_SHA256: Mapping[str, str] = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.kg": "200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
    "ml-100k.link": "524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}

_DATA_SETS = (
    DataSetInfo(
        name="movielens-100k",
        summary="MovieLens 100k with titles, genres, demographics, times and a Freebase graph: 943 users, 1,682 films",
        mapping="movielens-100k",
        licence=_MOVIELENS_TERMS,
        home="https://grouplens.org/datasets/movielens/100k/",
        package=PackagedFiles("recbole", "1.2.1", "recbole/dataset_example/ml-100k", _MOVIELENS_100K_SHA256),
    ),
    DataSetInfo(
        name="movielens-latest-small",
        summary="MovieLens latest-small with titles, genres, tags and times: 610 users, 9,742 films; bring the folder yourself",
        mapping="movielens-csv",
        licence=_MOVIELENS_TERMS.replace("no redistribution,", "redistribution under the same terms,"),
        home="https://grouplens.org/datasets/movielens/latest/",
    ),
    DataSetInfo(
        name="sample-shop",
        summary="A made-up outdoor shop with planted taste, written on the spot: 400 users, 300 items",
        mapping="shop",
        licence="Generated; no restrictions.",
        generate=write_sample_shop,
    ),
)


def available() -> tuple[DataSetInfo, ...]:
    """All named data sets."""
    return _DATA_SETS


def fetch(
    name: str, *, folder: str | Path | None = None, cache: str | Path | None = None, progress: Progress = no_progress
) -> DataSet:
    """Make a data set available on this machine.

    Args:
        name: one of :func:`available`.
        folder: where the user keeps its files; used as it is instead of the cache.
        cache: where fetched files are kept; None: :func:`~kgrecall.sources.cache_folder.cache_folder`.
        progress: called while something is downloaded.

    Raises:
        ConfigError: no such data set.
        SourceError: it cannot be fetched, is not what was published, or the folder lacks a file.
    """
    info = next((info for info in _DATA_SETS if info.name == name), None)
    if info is None:
        known = [info.name for info in _DATA_SETS]
        raise ConfigError("data set", expected="the name of a data set", got=name, remedy=nearest(name, known))
    place = _checked(info, Path(folder)) if folder is not None else _cached(info, cache, progress)
    return DataSet(info.name, place, info.schema, info.licence)


def _checked(info: DataSetInfo, folder: Path) -> Path:
    absent = [name for name in info.files if not any(folder.glob(name))]
    if absent:
        raise SourceError(
            f"folder {str(folder)!r}",
            expected=f"the files of {info.name}: {', '.join(info.files)}",
            got=Shown(f"no {', no '.join(absent)}"),
            remedy=f"Give the unpacked folder{f'; see {info.home}' if info.home else ''}.",
        )
    return folder


def _cached(info: DataSetInfo, cache: str | Path | None, progress: Progress) -> Path:
    place = (cache_folder() if cache is None else Path(cache)) / "datasets" / info.name
    if info.package is not None:
        return fetch_package(info.package, place, what=f"data set {info.name}", progress=progress)
    if info.generate is not None:
        return info.generate(place)
    raise SourceError(
        f"data set {info.name}",
        expected="a folder that holds it",
        got=Shown("none"),
        remedy=f"It is not downloaded for you: get it from {info.home}, unpack it and give its folder.",
    )
