"""What two texts have in common, as the phrases that both contain."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_](?:[\w'-]*\w)?|\d+")
_CJK = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_LONGEST = 5
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by for from had has have he her his if in into is it its not of on or our she so than "
        "that the their them they this to was we were who will with you your 的 了 和 在 是 与 及 等 之 以 被",
    )
)


def common_phrases(first: str, second: str, limit: int = 2) -> list[str]:
    """The longest runs of words (of characters in Chinese, Japanese and Korean) in both texts, in the words of the first.

    A run neither begins nor ends with a small word, and is no part of a longer one.
    """
    words, others = _tokens(first), [token.lower() for token in _tokens(second)]
    known = {tuple(others[i : i + n]) for n in range(1, _LONGEST + 1) for i in range(len(others) - n + 1)}
    found: list[tuple[str, ...]] = []
    for n in range(min(_LONGEST, len(words)), 0, -1):
        for start in range(len(words) - n + 1):
            run = tuple(token.lower() for token in words[start : start + n])
            if len(found) == limit:
                break
            if run in known and _tells(run) and not any(_holds(longer, run) for longer in found):
                found.append(run)
    return [_joined(run) for run in found]


def _tokens(text: str) -> list[str]:
    return [token for word in _WORD.findall(text) for token in (list(word) if _CJK.search(word) else [word])]


def _tells(run: tuple[str, ...]) -> bool:
    if len(run) == 1 and (len(run[0]) < 3 or run[0].isdigit()):
        return False
    return run[0] not in _SMALL and run[-1] not in _SMALL


def _holds(longer: tuple[str, ...], run: tuple[str, ...]) -> bool:
    return any(longer[i : i + len(run)] == run for i in range(len(longer) - len(run) + 1))


def _joined(run: tuple[str, ...]) -> str:
    return ("" if _CJK.search(run[0]) else " ").join(run)
