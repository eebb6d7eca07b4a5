"""What an error text says apart from the record it is about: ids, names, numbers, addresses and quoted values become one mark.

Fields stay, since another field is another cause. They are found by how the CRMs name them: after the word "field", before "is
required", in a list of missing ones.
"""

import re
from collections.abc import Callable, Sequence

MASK = "…"
LONGEST = 200
_NAME = r"[A-Za-z_][\w.]*"
_QUOTE = "[\"'`“”‘’]"
_NOUN = r"(?:field|property|properties|column|attribute|parameter|fields|columns)"
_VALUE_NOUNS = "value|address|e-?mail|phone|number|id|name|option|record|large|type|field"

_CODE = re.compile(r"^([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\s*:\s*")
_FIELD_LISTS = re.compile(r"(?i)\b(?:missing|required|fields?)\s*:\s*\[\s*([\w., ]+?)\s*\]")
_FIELDS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:\b{_NOUN})(?i:\s+name)?\s*[:=]?\s*{_QUOTE}({_NAME}){_QUOTE}",
        rf"{_QUOTE}({_NAME}){_QUOTE}\s+(?i:(?:is\s+(?:not\s+)?(?:an?\s+)?(?:\w+\s+)?)?{_NOUN}\b)",
        rf"(?i:\b{_NOUN})\s+({_NAME})\s+(?i:is|was|has|does|must|may|can)\b",
        rf"\b({_NAME})\s+duplicates\s+value\b",
        r"^(?:Invalid|Unknown)\s+(?:field\s+)?([a-z]\w*)\.",
        r"(?:^|[.!?;]\s)([a-z_][\w.]*):\s",
        r"^([A-Za-z]\w*):\s+(?:bad|data|id|invalid|value)\b",
    )
)
_NO_FIELDS = {"a", "an", "the", "this", "that", "it", "value", "values", "and", "or", "of", "error", "http", "https"}

_Replacement = str | Callable[[re.Match[str]], str]
_KEEP = r"[\ue000-\uf8ff]"


def _inside(found: re.Match[str]) -> str:
    """What is quoted or listed becomes the mark, except the fields in it."""
    kept = re.findall(_KEEP, found.group(0))
    return " ".join(kept) if kept else MASK


_VARYING: tuple[tuple[re.Pattern[str], _Replacement], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\(?\s*(?:correlation|request|trace|error)[ -_]?ids?\b\s*:?\s*[\w-]*\s*\)?", " "),
        (r"\[(?:phone|secret|key)\]", MASK),
        (r"(?i)\b(?:https?|wss?)://\S+", MASK),
        (r'"[^"\n]*"', _inside),
        (r"“[^”\n]*”", _inside),
        (r"`[^`\n]*`", _inside),
        (r"(?<!\w)'.*?'(?!\w)", _inside),
        (r"\S*@(?:[\w.-]*\w)?", MASK),
        (r"\[[^\[\]\n]*\]", _inside),
        (
            rf"(?i)(\b(?:{_VALUE_NOUNS})s?\s*[:=])\s*(?!{_KEEP}|$).+?(?=\s\(|$)",
            rf"\1 {MASK}",
        ),
        (r"\+?\(?\d[\d\s().:/+-]{4,}\d", MASK),
        (r"(?<![\w.])[\w-]*\d[\w-]*(?:[.,:]\d[\w-]*)*", MASK),
        (rf"{MASK}(?:[\s,;:/|&-]*(?:{MASK}|\band\b\s*{MASK}))*", MASK),
        (r"\s+", " "),
    )
)


def code_in(text: str) -> tuple[str, str]:
    """The vendor's code that the text begins with, and the text without it."""
    found = _CODE.match(text)
    return (found.group(1), text[found.end() :]) if found else ("", text)


def fields_in(text: str) -> tuple[str, ...]:
    """The fields that a text names, in alphabetical order."""
    names = {name.strip() for found in _FIELD_LISTS.findall(text) for name in found.split(",")}
    names |= {name.strip(".") for pattern in _FIELDS for name in pattern.findall(text)}
    return tuple(sorted(name for name in names if name and name.lower() not in _NO_FIELDS))


def constant_words(text: str, fields: Sequence[str] = ()) -> str:
    """The text with a mark for everything that differs from record to record, its fields as they are."""
    held: dict[str, str] = {}
    for place, name in enumerate(sorted(fields, key=lambda one: (-len(one), one))):
        mark = chr(0xE000 + place % 6000)
        text, count = re.subn(rf"(?<![\w.]){re.escape(name)}(?![\w])", mark, text)
        if count:
            held[mark] = name
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    for mark, name in held.items():
        text = text.replace(mark, name)
    return text.strip()[:LONGEST].strip()
