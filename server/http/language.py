"""Texts for users in Chinese and English, and the choice between the two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in both languages. Both may have `{name}` placeholders, which `render` fills with facts."""

    zh: str
    en: str

    def render(self, english: bool, **facts: str | float) -> str:
        sentence = self.en if english else self.zh
        return sentence.format(**facts) if facts else sentence


@lru_cache(maxsize=256)
def prefers_english(accept_language: str) -> bool:
    """Return whether an Accept-Language header (RFC 9110, section 12.5.4) prefers English to Chinese, the default."""
    best = {"zh": 0.0, "en": 0.0}
    for item in accept_language.split(","):
        name, _, parameters = item.strip().partition(";")
        language = name.strip().lower().partition("-")[0]
        if language in best:
            best[language] = max(best[language], _quality(parameters))
    return best["en"] > best["zh"]


def _quality(parameters: str) -> float:
    key, _, value = parameters.strip().partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
