"""Numbers and times as people write them: read where the mapping says so, and recognised by inspect."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from kgrecall.mapping import Column, DecimalMark
from kgrecall.sources.convert import convert
from kgrecall.sources.inspect import propose_mapping
from kgrecall.sources.profile import describe

_COMMA = {
    **{"1.299,00 €": 1299.0, "12,5": 12.5, "-3,2": -3.2, " 7 ": 7.0, "EUR 1 299,5": 1299.5, "1.299": 1299.0, ",5": 0.5},
    **{"1,5e3": 1500.0, "kr 12": 12.0, "−5": -5.0, "- € 5": -5.0, "1.299.000": 1299000.0, "4\u202f500,25": 4500.25},
}
_POINT = {
    "$1,299.00": 1299.0,
    "1'299.50": 1299.5,
    "US$ 12": 12.0,
    "12,34,567.8": 1234567.8,
    "1,299 USD": 1299.0,
    "0.125": 0.125,
}


@pytest.mark.parametrize(("decimal", "texts"), [(",", _COMMA), (".", _POINT)])
def test_numbers_as_people_write_them(decimal: DecimalMark, texts: dict[str, float]) -> None:
    cells = convert(pa.array(list(texts)), "number", decimal=decimal)
    assert not cells.problems
    assert cells.values.to_pylist() == pytest.approx(list(texts.values()))


@pytest.mark.parametrize(
    ("decimal", "text"),
    [
        (",", "1.5"),
        (",", "1.29"),
        (",", "12,"),
        (",", "12k"),
        (",", "€"),
        (",", "1.2.3"),
        (",", "ABC 12"),
        (".", "1,5"),
        (".", "5 %"),
    ],
)
def test_what_is_written_otherwise_is_no_number(decimal: DecimalMark, text: str) -> None:
    cells = convert(pa.array(["7", text]), "number", decimal=decimal)
    assert cells.values.to_pylist() == [7.0, None]
    assert {reason.value: list(found) for reason, found in cells.problems.items()} == {"not_a_number": [1]}


def test_a_decimal_mark_in_whole_numbers_lists_and_typed_columns() -> None:
    assert convert(pa.array(["1.299", "12,00", "12,5"]), "integer", decimal=",").values.to_pylist() == [1299, 12, None]
    assert convert(pa.array(["[1,5; 2,25]"]), "numbers", separator=";", decimal=",").values.to_pylist() == [[1.5, 2.25]]
    assert convert(pa.array([1.5]), "number", decimal=",").values.to_pylist() == [1.5]


def _moment(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        ("%d.%m.%Y %H:%M", "31.12.2025 13:45", _moment(2025, 12, 31, 12, 45)),
        ("%d.%m.%Y", " 1.7.2025 ", _moment(2025, 6, 30, 22)),
        ("%m/%d/%y %I:%M:%S %p", "12/31/25 01:45:10 PM", _moment(2025, 12, 31, 12, 45, 10)),
        ("%d %b %Y", "31 Dec 2025", _moment(2025, 12, 30, 23)),
        ("%d/%b/%Y:%H:%M:%S %z", "31/Dec/2025:13:45:00 -0330", _moment(2025, 12, 31, 17, 15)),
        ("%d.%m.%Y %H:%M:%S.%f", "31.12.2025 13:45:01.250", _moment(2025, 12, 31, 12, 45, 1) + 250),
        ("%a, %d %b %Y %H:%M:%S GMT", "Wed, 31 Dec 2025 13:45:00 GMT", _moment(2025, 12, 31, 12, 45)),
    ],
)
def test_times_in_a_format(form: str, text: str, moment: int) -> None:
    assert Column(column="at", format=form).format == form
    cells = convert(pa.array([text, None]), "time", form=form, timezone="Europe/Berlin")
    assert cells.values.to_pylist() == [moment, None]
    assert not cells.problems


def test_times_that_are_not_in_the_format() -> None:
    texts = pa.array(["31.12.25 13:45", "soon", "29.03.2026 02:30", "31.12.2025 13:45"])
    cells = convert(texts, "time", form="%d.%m.%Y %H:%M", timezone="Europe/Berlin")
    assert {reason.value: list(found) for reason, found in cells.problems.items()} == {"not_a_time": [0, 1, 2]}
    naive = convert(texts, "time", form="%d.%m.%Y %H:%M")
    assert {reason.value: list(found) for reason, found in naive.problems.items()} == {
        "not_a_time": [0, 1],
        "naive_time": [2, 3],
    }
    compact = convert(pa.array([20251231, 7]), "time", form="%Y%m%d", timezone="UTC")
    assert compact.values.to_pylist() == [_moment(2025, 12, 31), None]


@pytest.mark.parametrize(
    "form", ["%d.%m.%Y %H", "%Y", "%H:%M", "%d.%m.%Y %Z", "%d.%m.%Y %H:%M:%S%f", "%d.%m.%y %I:%M", "%c", "%", ""]
)
def test_formats_that_leave_something_open(form: str) -> None:
    with pytest.raises(ValidationError, match="a strptime format of year, month and day"):
        Column(column="at", format=form)


def test_a_unit_and_a_format_at_once() -> None:
    with pytest.raises(ValidationError, match="unit or format, not both"):
        Column(column="at", unit="s", format="%d.%m.%Y")


@pytest.mark.parametrize(
    ("name", "texts", "form"),
    [
        ("Ordered At", ["31.12.2025 13:45", "1.2.2025 9:05"], "%d.%m.%Y %H:%M"),
        ("x", ["12/31/2025", "01/03/2025"], "%m/%d/%Y"),
        ("date", ["31.12.25", "01.03.25"], "%d.%m.%y"),
        ("x", ["Wed, 31 Dec 2025 13:45:00 GMT"], "%a, %d %b %Y %H:%M:%S GMT"),
        ("x", ["Dec 31, 2025", "January 3, 2024"], "%B %d, %Y"),
        ("x", ["Wed Dec 31 13:45:00 +0000 2025"], "%a %b %d %H:%M:%S %z %Y"),
        ("x", ["31/Dec/2025:13:45:00 +0100"], "%d/%b/%Y:%H:%M:%S %z"),
        ("x", ["2025-1-5", "2025-12-31"], "%Y-%m-%d"),
        ("date", ["12/31/25, 01:45 PM", "1/5/25, 11:00 AM"], "%m/%d/%y, %I:%M %p"),
    ],
)
def test_formats_are_recognised(name: str, texts: list[str], form: str) -> None:
    column = describe(name, pa.array(texts * 5))
    assert (column.kind, column.form, column.naive, column.doubt) == ("time", form, "%z" not in form, "")


def test_a_day_that_may_be_a_month_is_doubted() -> None:
    assert describe("d", pa.array(["12/11/2025", "01/03/2025"])).form == "%d/%m/%Y"
    column = describe("d", pa.array(["12/11/2025 1:45 PM", "01/03/2025 11:02 AM"]))
    assert column.form == "%m/%d/%Y %I:%M %p"
    assert column.doubt == "day and month of d may be the other way round: %d/%m/%Y %I:%M %p"


@pytest.mark.parametrize("name", ["version", "range", "ip", "duration", "isbn"])
def test_what_only_looks_like_times_stays_text(name: str) -> None:
    texts = {
        **{"version": ["1.12.25", "1.03.25"], "range": ["10-20", "20-30"], "ip": ["192.168.1.1", "10.0.0.1"]},
        **{"duration": ["1:23", "12:05"], "isbn": ["0-306-40615-2", "978-3-16-148410-0"]},
    }
    assert describe(name, pa.array(texts[name] * 5)).kind == "string"


@pytest.mark.parametrize(
    ("name", "texts", "kind", "decimal"),
    [
        ("Preis", ["1.299,00 €", "12,50 €", "5 €"], "number", ","),
        ("price", ["$12.99", "$1,299.00"], "number", "."),
        ("price", ["1,299", "2,045", "12"], "integer", "."),
        ("rating", ["4,5", "3,0"], "number", ","),
        ("genres", ["101,205", "301", "7"], "string", None),
        ("category_ids", ["3,7", "12,5", "4"], "string", None),
        ("sku", ["ABC 123", "ABC 124"], "string", None),
        ("zip", ["01234", "99999"], "string", None),
    ],
)
def test_decimal_marks_are_recognised(name: str, texts: list[str], kind: str, decimal: str | None) -> None:
    column = describe(name, pa.array(texts * 5))
    assert (column.kind, column.decimal) == (kind, decimal)


def test_thousands_that_may_be_fractions_are_doubted() -> None:
    assert (
        describe("p", pa.array(["1,299", "2,045"])).doubt == "'1,299' in p is read as thousands; decimal = ',' reads a fraction"
    )
    plain = describe("p", pa.array(["1.299", "12", "2.450", "3.150"]))
    assert (plain.kind, plain.decimal) == ("number", None)
    assert plain.doubt == "'1.299' in p is read as a fraction; decimal = ',' reads thousands"
    assert not describe("p", pa.array(["0.125", "1.250", ".5"])).doubt


def test_an_export_for_people_is_proposed_and_read(tmp_path: Path) -> None:
    import kgrecall as kg

    (tmp_path / "orders.csv").write_text(
        "Kundennr;Artikelnr;Menge;Datum\nu1;p1;1,5;31.12.2025 13:45\nu2;p2;2;01.03.2025 09:00\nu1;p2;1;15.06.2025 20:10\n"
    )
    (tmp_path / "products.csv").write_text(
        "Artikelnr;Name;Preis;Auf Lager\np1;A warm coat;1.299,00 €;ja\np2;A light tent;12,50 €;nein\n"
    )
    proposal = propose_mapping(tmp_path)
    found = "\n".join(proposal.findings)
    assert "Preis number with a decimal comma" in found
    assert "Datum time in %d.%m.%Y %H:%M" in found
    store = kg.open_store(str(tmp_path / "shop.sqlite"))
    report = kg.ingest(kg.read_tables(tmp_path, proposal.schema), store, proposal.schema)
    assert not report.reasons
    snapshot = kg.take_snapshot(store, proposal.schema)
    products = snapshot.properties["Product"]
    assert products["auf_lager"].to_pylist() == [True, False]
    assert products["preis"].to_pylist() == [1299.0, 12.5]
    assert sorted(snapshot.interactions().time.tolist()) == [  # type: ignore[union-attr]
        _moment(2025, 3, 1, 9),
        _moment(2025, 6, 15, 20, 10),
        _moment(2025, 12, 31, 13, 45),
    ]
