"""``recall``, ``explain``: questions to a built engine."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgrecall.cli.app import app, read_lines
from kgrecall.cli.files import Json
from kgrecall.errors import ConfigError

if TYPE_CHECKING:
    from kgrecall.types import Candidates, Query

Artifact = Annotated[Path, typer.Argument(help="Folder made by `kgrecall build`.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="A user of the graph.")]
History = Annotated[list[str] | None, typer.Option("--history", help="Item ids, oldest first; repeat the option.")]
Text = Annotated[str | None, typer.Option("--text", "-t", help="Free text that is searched for.")]
Taste = Annotated[str | None, typer.Option("--taste", help="What the visitor likes, in words.")]
Like = Annotated[str | None, typer.Option("--like", help="More like this item id.")]
Friend = Annotated[list[str] | None, typer.Option("--friend", help="A user whose choices vote; repeat the option.")]
Attribute = Annotated[
    list[str] | None, typer.Option("--attribute", help="What is known of the visitor: gender=F, age=25; repeat the option.")
]
Context = Annotated[
    list[str] | None, typer.Option("--context", help="When and where: time=2026-05-01T20:00, device=phone; repeat the option.")
]
More = Annotated[str | None, typer.Option("--query", help="Any fields of a query as a JSON object; other options win over it.")]


_SHOWN_SOURCES = 8


class Unknown(StrEnum):
    """As :attr:`kgrecall.jobs.batch.BatchConfig.unknown`."""

    ERROR = "error"
    POPULAR = "popular"


@app.command()
def recall(
    artifact: Artifact,
    user: User = None,
    history: History = None,
    text: Text = None,
    taste: Taste = None,
    like: Like = None,
    friend: Friend = None,
    attribute: Attribute = None,
    context: Context = None,
    only: Annotated[
        str | None, typer.Option("--filter", help="Only items that fulfil this: \"price < 20 and MADE_BY any ['Norra']\".")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="TOML file with rounds, rules, guarantees and diversity.")] = None,
    more: More = None,
    k: Annotated[int | None, typer.Option("-k", help="How many candidates.  [default: 10]")] = None,
    json: Json = False,
) -> None:
    """Ask for candidates."""
    from kgrecall.cli.console import print_json
    from kgrecall.jobs.serve import load_engine
    from kgrecall.recall.planning.plan import Plan

    steps = None if plan is None else Plan.load(plan)
    fields = _fields(user, history, text, taste, like, friend, attribute, context)
    engine = load_engine(artifact)
    found = engine.recall(_query(more, {"k": 10}, {**fields, "k": k, "filter": only, "plan": steps}))
    if json:
        print_json(as_json(found))
    else:
        _show(found)


@app.command("recall-all")
def recall_all(
    artifact: Artifact,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the answers; an interrupted job goes on there.")],
    users: Annotated[Path | None, typer.Option(help="File with a user id per line; all users when not given.")] = None,
    only: Annotated[str | None, typer.Option("--filter", help="Only items that fulfil this.")] = None,
    plan: Annotated[Path | None, typer.Option(help="TOML file with rounds, rules, guarantees and diversity.")] = None,
    more: More = None,
    k: Annotated[int | None, typer.Option("-k", help="How many candidates each.  [default: 100]")] = None,
    unknown: Annotated[
        Unknown, typer.Option(help="Users who are not in the model: an error, or what is popular.")
    ] = Unknown.ERROR,
    shard_users: Annotated[int, typer.Option(help="Users per file.")] = 10_000,
    worker: Annotated[str, typer.Option(help="This worker's number and how many share the job: 0/4.")] = "0/1",
    json: Json = False,
) -> None:
    """Answers for all users, or many, as Parquet files; run it again when it was killed."""
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import print_json, progress_bars
    from kgrecall.jobs.batch import BatchConfig
    from kgrecall.jobs.batch import recall_all as run
    from kgrecall.recall.planning.plan import Plan

    number, _, workers = worker.partition("/")
    if not (number.isdecimal() and workers.isdecimal()):
        raise ConfigError("--worker", expected="number/workers", got=worker, remedy="For example 0/4.")
    config = BatchConfig(shard_users=shard_users, worker=int(number), workers=int(workers), unknown=unknown.value)
    ids = None if users is None else read_lines(users, "--users")
    given = {"k": k, "filter": only, "plan": None if plan is None else Plan.load(plan)}
    fields = {**_json_object(more), **{name: value for name, value in given.items() if value is not None}}
    with progress_bars() as progress:
        report = run(artifact, out=out, users=ids, query=fields, config=config, progress=progress)
    if json:
        print_json(asdict(report))
    else:
        console.print(
            f"{report.out}: {report.rows:,} candidates of {report.users:,} users in {report.written} files",
            end="",
            markup=False,
        )
        console.print(f"; {report.found} of {report.shards} files were there already")


@app.command()
def explain(
    artifact: Artifact,
    item: Annotated[str, typer.Argument(help="The item to explain.")],
    user: User = None,
    history: History = None,
    text: Text = None,
    taste: Taste = None,
    like: Like = None,
    friend: Friend = None,
    attribute: Attribute = None,
    context: Context = None,
    more: More = None,
    limit: Annotated[int, typer.Option(help="Most paths.")] = 3,
    counterfactual: Annotated[bool, typer.Option("--counterfactual", help="Also say where it would be without what.")] = False,
    language: Annotated[str, typer.Option(help="Of the sentences: en or zh.")] = "en",
    json: Json = False,
) -> None:
    """Why this item: the strongest paths, what each channel adds to the score, and which history items it is owed to."""
    from kgrecall.cli.console import out, print_json
    from kgrecall.jobs.serve import load_engine

    engine = load_engine(artifact)
    query = _query(more, {}, _fields(user, history, text, taste, like, friend, attribute, context))
    told = engine.explanation(query, item, limit=limit, counterfactuals=limit if counterfactual else 0, language=language)
    if json:
        print_json({**told.to_dict(), "contributions": engine.contributions(query, item)})
        return
    for path in told.paths:
        out.print(f"{path.channel}: {path} ({path.weight:.0%} of this channel)", markup=False)
    for other in told.counterfactuals:
        out.print(other.sentence, markup=False)
    added = engine.contributions(query, item)
    out.print(
        "score = " + " + ".join(f"{value:.4f} {name}" for name, value in added.items()) if added else "no channel recalls it"
    )
    owed = [f"{value:.4f} {source}" for source, value in told.attribution.sources.items() if abs(value) >= 5e-5]
    if owed:
        out.print("owed to: " + " + ".join(owed[:_SHOWN_SOURCES]), markup=False)


def as_json(found: Candidates) -> dict[str, Any]:
    """An answer as a JSON object: how it was served, by which channels, and each candidate with its scores and effects."""
    rows = [
        {
            "rank": c.rank,
            "item_id": c.item_id,
            "title": c.title,
            "score": c.score,
            "channels": c.channels,
            "effects": {name: float(effect[i]) for name, effect in found.effects.items() if effect[i]},
        }
        for i, c in enumerate(found)
    ]
    answer = {"served": found.served, "channels": list(found.channels), "notes": list(found.notes), "trace": list(found.trace)}
    return {**answer, "candidates": rows}


def _show(found: Candidates) -> None:
    from kgrecall.cli.console import err, print_table

    effects = [name for name, effect in found.effects.items() if effect.any()]
    cells = [
        [c.rank, c.item_id, c.title or "", c.score]
        + [float(found.effects[name][i]) for name in effects]
        + [", ".join(name for name in found.channels if name in c.channels)]
        for i, c in enumerate(found)
    ]
    heads = ["rank", "item", "title", "score", *(f"{name} (effect)" for name in effects), "found by"]
    print_table(f"{found.served} answer", heads, cells)
    for line in (*found.trace, *found.notes):
        err.print(line, markup=False)


def _fields(
    user: str | None,
    history: list[str] | None,
    text: str | None,
    taste: str | None,
    like: str | None,
    friend: list[str] | None,
    attribute: list[str] | None,
    context: list[str] | None,
) -> dict[str, Any]:
    """What the options say of a query; None where they say nothing."""
    return {
        "user_id": user,
        "history": history or None,
        "text": text,
        "taste": taste,
        "item_id": like,
        "friends": friend or None,
        "attributes": _pairs("--attribute", attribute),
        "context": _pairs("--context", context),
    }


def _query(more: str | None, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Query:
    from kgrecall.types import Query

    fields = _json_object(more)
    return Query.of({**defaults, **fields, **{name: value for name, value in given.items() if value is not None}})


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        fields = {} if text is None else jsonlib.loads(text)
    except jsonlib.JSONDecodeError as error:
        raise ConfigError("--query", expected="a JSON object", got=text, remedy=f"{error.msg} at {error.pos}.") from error
    if not isinstance(fields, dict):
        raise ConfigError("--query", expected="a JSON object", got=fields, remedy='For example {"text": "tent"}.')
    return fields


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, object] | None:
    """``name=value`` pairs; a value that is a number or true or false is read as one."""
    pairs: dict[str, object] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(option, expected="name=value", got=pair, remedy=f"For example {option} age=25.")
        try:
            pairs[name] = jsonlib.loads(value)
        except jsonlib.JSONDecodeError:
            pairs[name] = value
    return pairs or None
