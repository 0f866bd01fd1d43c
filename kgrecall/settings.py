"""What every settings class is: small, frozen, and told apart from a typing error by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from kgrecall.errors import ConfigError, Shown, nearest


class Settings(BaseModel):
    """Frozen, typed settings that know no other key than their own.

    Raises:
        ConfigError: from the constructor and from :meth:`load`: an unknown key (names the nearest) or an impossible value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise _readable(cls, error) from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read settings from a TOML file; what it does not name keeps its default.

        Raises:
            ConfigError: the file cannot be read, or as the constructor; names the file.
        """
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                str(path), expected="a readable TOML file", got=Shown(error), remedy="Check the path, or mend that line."
            ) from error
        try:
            return cls.model_validate(data)
        except ConfigError as error:
            where = f"{path}: {error.what}"
            raise ConfigError(where, expected=error.expected, got=error.got, remedy=error.remedy) from error


def _readable(kind: type[BaseModel], error: ValidationError) -> ConfigError:
    """The first problem of pydantic's list; for an unknown key the nearest of those that may stand there."""
    problem = error.errors()[0]
    where = ".".join((kind.__name__, *(str(part) for part in problem["loc"])))
    if problem["type"] != "extra_forbidden":
        expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        got = Shown("nothing") if problem["type"] == "missing" else problem["input"]
        return ConfigError(where, expected=expected, got=got, remedy="Change this setting, or leave it out for the default.")
    for part in problem["loc"][:-1]:
        if part in kind.model_fields:
            kind = next(iter(_models(kind.model_fields[str(part)].annotation)), kind)
    key = str(problem["loc"][-1])
    return ConfigError(where, expected="a known setting", got=key, remedy=nearest(key, kind.model_fields))


def _models(annotation: object) -> list[type[BaseModel]]:
    """The settings classes inside an annotation such as ``tuple[ItemKnnConfig, ...]``."""
    parts = [annotation, *get_args(annotation)]
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
