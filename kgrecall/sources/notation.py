"""Numbers as people write them: ``1.299,00 €``, ``$1,299.00``, ``1'299.50``, ``12,5``."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from kgrecall.mapping import DecimalMark

_CODES = (
    *("AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP", "HKD", "HUF", "IDR"),
    *("ILS", "INR", "JPY", "KRW", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP", "PKR", "PLN", "RON", "RUB", "SAR", "SEK"),
    *("SGD", "THB", "TRY", "TWD", "UAH", "USD", "VND", "ZAR"),
)
_CURRENCY = rf"(?:[A-Z]{{0,2}}\p{{Sc}}|{'|'.join(_CODES)}|kr\.?|zł|Kč|Ft)"
"""A sign, a code of ISO 4217 (of much-used ones: ``ABC 12`` is an article), or an abbreviation."""
_BLANKS = "'’ \u00a0\u202f"
_SET_APART: dict[DecimalMark, str] = {",": "." + _BLANKS, ".": "," + _BLANKS}


def written_plainly(values: pa.Array, decimal: DecimalMark | None) -> pl.Series:
    """Numbers in text as computers write them (``1299.00``), other text as a question mark; values of other types as they are.

    Args:
        values: plain values (n,) of any type.
        decimal: the mark before fractions; None: change nothing. What sets thousands apart leaves groups of three digits before
            that mark (and of two farther left, as in India): ``1.5`` with a decimal comma is no number, and does not become 15.
    """
    series = pl.Series(values=pl.from_arrow(values))
    if decimal is None or series.dtype != pl.String:
        return series
    parts = series.str.extract_groups(_pattern(decimal)).struct.unnest()
    sign, whole, fraction, exponent = (parts.to_series(i) for i in range(4))
    digits = whole.str.replace_all(f"[{_SET_APART[decimal]}]", "")
    plainly = pl.select(
        pl.concat_str([sign.str.replace("−", "-"), digits, fraction.str.replace(",", "."), exponent])
    ).to_series()
    return plainly.zip_with(whole.is_not_null(), series.str.replace("(?s)^.*$", "?"))


def _pattern(decimal: DecimalMark) -> str:
    """Groups: sign, whole part, fraction with its mark, exponent; all four text where any is."""
    apart = f"[{_SET_APART[decimal]}]"
    whole = rf"\d{{1,3}}(?:{apart}\d{{2,3}})*{apart}\d{{3}}|\d+|"
    fraction = rf"(?:[{decimal}]\d+)?"
    return rf"^\s*(?:{_CURRENCY}\s*)?([-+−]?)(?:\s*{_CURRENCY})?\s*({whole})({fraction})((?:[eE][-+]?\d+)?)\s*{_CURRENCY}?\s*$"
