"""The mapping files that are shipped with the package."""

from __future__ import annotations

from pathlib import Path

from kgrecall.errors import ConfigError, NotBuilt, Shown, nearest
from kgrecall.schema import GraphSchema

_PACKAGE = Path(__file__).resolve().parents[1]


def graph_schema_folder() -> Path:
    """The folder ``graph_schema/``: inside an installed package, or beside the package in a source checkout.

    Raises:
        NotBuilt: it is in neither place.
    """
    places = (_PACKAGE / "_graph_schema", _PACKAGE.parent / "graph_schema")
    for place in places:
        if (place / "mappings").is_dir():
            return place
    raise NotBuilt(
        "graph_schema", expected="a folder of mapping files", got=Shown("none"), remedy="Install the package from its wheel."
    )


def shipped_mappings() -> dict[str, Path]:
    """Name ("movielens-100k") -> file, sorted by name."""
    return {path.stem: path for path in sorted((graph_schema_folder() / "mappings").glob("*.toml"))}


def find_mapping(name: str | Path) -> Path:
    """The mapping file at a path, or the shipped one of that name.

    Raises:
        ConfigError: neither exists.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_mappings()
    if str(name) not in shipped:
        raise ConfigError(
            "mapping", expected="a mapping file or the name of a shipped one", got=str(name), remedy=nearest(str(name), shipped)
        )
    return shipped[str(name)]


def load_mapping(name: str | Path) -> GraphSchema:
    """:func:`find_mapping`, read and validated.

    Raises:
        ConfigError: neither a file nor a shipped mapping.
        SchemaError: it does not hold together.
    """
    return GraphSchema.load(find_mapping(name))
