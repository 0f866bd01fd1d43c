"""The quarantine file: exact, published as a whole, bounded, and never in place of somebody's data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kgrecall.errors import ConfigError, SourceError, TooManyBadRows
from kgrecall.sources.quarantine import Quarantine, QuarantineLimits, Reason, shown


def add(quarantine: Quarantine, rows: list[int], reason: Reason = Reason.NOT_A_NUMBER, record: str = "RATED") -> None:
    values = [f"v{row}" for row in rows]
    quarantine.add_many("a.csv", np.array(rows, np.int64), record=record, column="n", reason=reason, values=values)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_records_are_counted_shown_and_published_on_close(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bad.jsonl"
    quarantine = Quarantine(path)
    add(quarantine, [3, 5])
    quarantine.add("b.csv", 1, record="Movie", column="id", reason=Reason.MISSING_ID, value=None)
    assert not path.exists()
    quarantine.close()
    quarantine.close()
    assert lines(path) == [
        {"file": "a.csv", "row": 3, "record": "RATED", "column": "n", "reason": "not_a_number", "value": "v3"},
        {"file": "a.csv", "row": 5, "record": "RATED", "column": "n", "reason": "not_a_number", "value": "v5"},
        {"file": "b.csv", "row": 1, "record": "Movie", "column": "id", "reason": "missing_id", "value": ""},
    ]
    assert [p.name for p in path.parent.iterdir()] == ["bad.jsonl"]
    assert quarantine.total == 3
    assert quarantine.reasons == {Reason.NOT_A_NUMBER: 2, Reason.MISSING_ID: 1}
    assert quarantine.records == {"RATED": 2, "Movie": 1}
    assert str(quarantine.examples[Reason.NOT_A_NUMBER]) == "a.csv, row 3, column 'n': not_a_number, v3"


def test_records_that_come_late_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    quarantine = Quarantine(path)
    quarantine.close()
    assert not path.exists()
    add(quarantine, [1])
    add(quarantine, [2])
    assert [line["row"] for line in lines(path)] == [1, 2]


def test_an_earlier_quarantine_is_replaced_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    for rows in ([1, 2], [7], []):
        quarantine = Quarantine(path)
        add(quarantine, rows)
        quarantine.close()
        assert ([line["row"] for line in lines(path)] if path.exists() else []) == rows


@pytest.mark.parametrize("content", [b"user,item\n", b'{"user": 1}\n', b"\xff\xfe", b"[]\n", b"3\n"])
def test_other_files_are_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="would be lost: choose another name"):
        Quarantine(path)
    assert path.read_bytes() == content


def test_limits() -> None:
    quarantine = Quarantine(limits=QuarantineLimits(max_rows=2, max_share=0.5, share_from=4))
    add(quarantine, [1, 2])
    quarantine.check_share(3)
    quarantine.check_share(4)
    with pytest.raises(
        TooManyBadRows, match=r"at most 2 bad records, got 3, of which 3 not_a_number; the first: a\.csv, row 1"
    ):
        add(quarantine, [3])
    with pytest.raises(TooManyBadRows, match=r"at most 50\.0% bad among 5 records.*Give a quarantine file"):
        quarantine.check_share(5)


def test_limits_can_be_lifted_or_be_zero() -> None:
    endless = Quarantine(limits=QuarantineLimits(max_rows=None, max_share=1))
    add(endless, list(range(200_000)))
    endless.check_share(200_000)
    with pytest.raises(TooManyBadRows):
        add(Quarantine(limits=QuarantineLimits(max_rows=0)), [1])


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="a place that can be written to"):
        add(Quarantine(tmp_path / "file" / "bad.jsonl"), [1])


def test_raw_values_are_shown_short_and_readable() -> None:
    assert shown(b"caf\xc3\xa9 \xff") == "café \\xff"
    assert shown(b"caf\xed\xb3\xa9") == "caf\\xe9"
    assert shown(["a", None]) == "['a', None]"
    assert shown(None) == ""
    assert shown("line\nend") == "line\nend"
    assert shown("x" * 10_000) == f"{'x' * 170} ... {'x' * 20}"


def test_any_value_makes_one_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    quarantine = Quarantine(path)
    values = ["a\nb", "\u2028", "\x00", "🎬", b"\xff", "\ud800"]
    for i, value in enumerate(values):
        quarantine.add("f", i, record="R", column="c", reason=Reason.TOO_LONG, value=value)
    quarantine.close()
    assert [line["value"] for line in lines(path)] == ["a\nb", "\u2028", "\x00", "🎬", "\\xff", "\ud800"]
