from __future__ import annotations

import pytest

from kgrecall.recall.base import Evidence, Naming
from kgrecall.recall.explaining.explain import Names, PathWriter
from kgrecall.types import Node

ALIEN, ALIENS, BLADE_RUNNER, ET, JAWS = (("Film", i) for i in range(5))


@pytest.fixture
def writer(names: Names, naming: Naming) -> PathWriter:
    return PathWriter(names, naming)


def walk(*steps: tuple[str, int] | str) -> Evidence:
    return Evidence(tuple(s for s in steps if isinstance(s, tuple)), tuple(s for s in steps if isinstance(s, str)), 0.5)


BOB = ("User", 1)


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        (
            walk(BOB, "WATCHED", ALIEN, "film.film.directed_by", ("Person", 0), "^film.film.directed_by", BLADE_RUNNER),
            "You watched 'Alien' — both directed by Ridley Scott — 'Blade Runner'",
        ),
        (
            walk(BOB, "WATCHED", JAWS, "film.film.directed_by", ("Person", 1), "^film.film.directed_by", ET),
            "You watched 'Jaws' — both directed by m.2, also in 'unseen' — 'E.T.'",
        ),
        (
            walk(BOB, "WATCHED", ALIEN, "HAS_GENRE", ("Genre", 0), "^HAS_GENRE", ALIENS),
            "You watched 'Alien' — same genre (horror) — 'Aliens'",
        ),
        (walk(BOB, "WATCHED", ALIEN, "sequel", ALIENS), "You watched 'Alien' — sequel — 'Aliens'"),
        (walk(BOB, "WATCHED", ALIEN, "CO_CHOSEN", JAWS), "You watched 'Alien' — people who watched it also watched — 'Jaws'"),
        (walk(BOB, "WATCHED", ALIEN, "SIMILAR_TEXT", ALIENS), "You watched 'Alien' — similar description — 'Aliens'"),
        (walk(BOB, "WATCHED", ALIEN, "NEAR", ALIENS), "You watched 'Alien' — close to the same taste — 'Aliens'"),
        (
            walk(BOB, "WATCHED", ALIEN, "^WATCHED", ("User", 0), "WATCHED", ALIENS),
            "You watched 'Alien' — so did user ann, who also watched — 'Aliens'",
        ),
        (walk(("User", -1), "POPULAR", JAWS), "'Jaws' is popular with everybody."),
        (walk(("User", -1), "ASKED_FOR", JAWS), "'Jaws' is described much like what you asked for."),
    ],
)
def test_sentences(writer: PathWriter, evidence: Evidence, sentence: str) -> None:
    assert str(writer.path("any", evidence)) == sentence


def test_a_path_carries_nodes_relations_and_weight(writer: PathWriter) -> None:
    path = writer.path("attributes", walk(BOB, "WATCHED", ALIEN, "HAS_GENRE", ("Genre", 0), "^HAS_GENRE", ALIENS))
    assert path.nodes[0] == Node("User", "bob")
    assert path.nodes[1] == Node("Film", "alien", "Alien")
    assert path.relations == ("WATCHED", "HAS_GENRE", "^HAS_GENRE")
    assert (path.channel, path.weight) == ("attributes", 0.5)


def test_more_like_this_starts_at_the_item(writer: PathWriter) -> None:
    path = writer.path("attributes", walk(("User", -1), "WATCHED", ALIEN, "sequel", ALIENS), start="item")
    assert [node.id for node in path.nodes] == ["alien", "aliens"]
    assert path.relations == ("sequel",)
    assert path.sentence == "'Alien' — sequel — 'Aliens'"


def test_what_was_not_chosen_has_no_also(writer: PathWriter) -> None:
    evidence = walk(BOB, "WATCHED", ALIEN, "^WATCHED", ("User", 0), "WATCHED", ALIENS)
    assert str(writer.path("any", evidence, start="taste")) == (
        "Your taste is near 'Alien' — user ann watched it and also watched — 'Aliens'"
    )
    assert str(writer.path("any", evidence, start="item")) == "'Alien' — user ann watched it and also watched — 'Aliens'"


def test_a_visitor_and_a_label_without_names_still_have_a_path(naming: Naming) -> None:
    path = PathWriter(Names({}), naming).path("a", walk(("User", -1), "WATCHED", ALIEN, "HAS", ("Tag", 7), "^HAS", JAWS))
    assert [str(node) for node in path.nodes] == ["you", "0", "7", "4"]
    assert path.sentence == "You watched '0' — same has (7) — '4'"
