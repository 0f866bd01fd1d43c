"""The sentences of explanations, in English and Chinese: templates, so that a language is data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from kgrecall.errors import ConfigError, nearest
from kgrecall.recall.explaining.phrases import past_tense, sharing, words_of

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Wording:
    """Templates of one language. ``verb`` is what a user did, ``first`` and ``target`` quoted titles, ``link`` what lies
    between them."""

    quote: str
    chose: str
    joined: str
    near_taste: str
    also_chose: str
    like_user: str
    by_user: str
    friend: str
    near: str
    similar: str
    similar_phrases: str
    asked: str
    peers: str
    moment: str
    popular: str
    also_in: str
    listed: str
    without: str
    rank_now: str
    rank_same: str
    rank_lower: str
    rank_gone: str
    not_recalled: str
    verb: Callable[[str], str]
    words: Callable[[str], str]
    sharing: Callable[[str, str], str]

    def quoted(self, title: object) -> str:
        return self.quote.format(title=title)

    def counterfactual(self, target: str, left_out: str, before: int | None, after: int | None, *, lower: bool) -> str:
        """Where an item would stand without some history items; ``lower``: with a lower score."""
        opening = self.without.format(left_out=left_out)
        if before is None:
            return self.not_recalled.format(target=target)
        if after is None:
            return opening + self.rank_gone.format(target=target, before=before)
        unmoved = self.rank_lower if lower else self.rank_same
        return opening + (unmoved if after == before else self.rank_now).format(target=target, before=before, after=after)


ENGLISH = Wording(
    quote="'{title}'",
    chose="You {verb} {first} — {link} — {target}",
    joined="{first} — {link} — {target}",
    near_taste="Your taste is near {first} — {link} — {target}",
    also_chose="people who {verb} it also {verb}",
    like_user="so did user {user}, who also {verb}",
    by_user="user {user} {verb} it and also {verb}",
    friend="Your friend {user} {verb} {target}",
    near="close to the same taste",
    similar="similar description",
    similar_phrases="similar description ({phrases})",
    asked="{target} is described much like what you asked for.",
    peers="{target} is chosen more by people like you ({words}).",
    moment="{target} is chosen more at such a time ({words}).",
    popular="{target} is popular with everybody.",
    also_in="{node}, also in {others}",
    listed=", ",
    without="Without your interest in {left_out}, ",
    rank_now="{target} would be rank {after} instead of {before}.",
    rank_same="{target} would still be rank {after}.",
    rank_lower="{target} would still be rank {after}, with a lower score.",
    rank_gone="{target} would not be recalled (it is rank {before}).",
    not_recalled="{target} is recalled by no channel.",
    verb=past_tense,
    words=words_of,
    sharing=sharing,
)

_ZH_VERBS: Mapping[str, str] = {
    "watched": "看过", "viewed": "看过", "saw": "看过", "rated": "评过分", "bought": "买过", "purchased": "买过",
    "read": "读过", "listened to": "听过", "heard": "听过", "played": "玩过", "liked": "喜欢",
    "clicked": "点过", "visited": "去过",
}  # fmt: skip
_ZH_WORDS: Mapping[str, str] = {
    "genre": "类型", "directed by": "导演", "director": "导演", "actor": "演员", "starring": "主演", "sequel": "续集",
    "prequel": "前传", "series": "系列", "author": "作者", "written by": "编剧", "produced by": "制片人", "made by": "品牌",
    "brand": "品牌", "category": "类别", "in category": "类别", "country": "国家", "language": "语言", "subject": "题材",
    "tag": "标签", "artist": "艺人", "album": "专辑", "publisher": "出版社", "keyword": "关键词",
    "goes with": "常一起被选", "followed by": "之后是",
}  # fmt: skip


def _zh_words(relation: str) -> str:
    words = words_of(relation)
    return _ZH_WORDS.get(words, words)


CHINESE = Wording(
    quote="《{title}》",
    chose="您{verb}{first}——{link}——{target}",
    joined="{first}——{link}——{target}",
    near_taste="您的口味接近{first}——{link}——{target}",
    also_chose="{verb}它的人也{verb}",
    like_user="用户 {user} 也{verb}它，还{verb}",
    by_user="用户 {user} {verb}它，还{verb}",
    friend="您的朋友 {user} {verb}{target}",
    near="口味相近",
    similar="简介相似",
    similar_phrases="简介相似（{phrases}）",
    asked="{target}的简介与您的描述相近。",
    peers="与您相似的人（{words}）更常选择{target}。",
    moment="在这样的时刻（{words}），{target}更常被选择。",
    popular="{target}广受欢迎。",
    also_in="{node}（另见{others}）",
    listed="、",
    without="如果没有您对{left_out}的兴趣，",
    rank_now="{target}将排第 {after} 位，而不是第 {before} 位。",
    rank_same="{target}仍排第 {after} 位。",
    rank_lower="{target}仍排第 {after} 位，但得分更低。",
    rank_gone="{target}将不会被召回（现排第 {before} 位）。",
    not_recalled="没有任何通道召回{target}。",
    verb=lambda relation: _ZH_VERBS.get(past_tense(relation), "选过"),
    words=_zh_words,
    sharing=lambda relation, node: f"{_zh_words(relation)}相同（{node}）",
)

LANGUAGES: Mapping[str, Wording] = {"en": ENGLISH, "zh": CHINESE}


def wording_of(language: str) -> Wording:
    """Raises ConfigError for a language without templates."""
    if language not in LANGUAGES:
        raise ConfigError("language", expected="en or zh", got=language, remedy=nearest(language, LANGUAGES))
    return LANGUAGES[language]
