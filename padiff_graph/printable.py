"""Text from models and files as a terminal and a line of code may hold it."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

__all__ = ["code_comment", "docstring_line", "json_text", "printable"]

UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of what moves a cursor, ends a line or cannot be encoded."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, by which text can hide (CVE-2021-42574)."""
KEPT = frozenset("\n\t")


def printable(text: str, kept: frozenset[str] = KEPT) -> str:
    """The text with every control character as its escape; ends of lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join([_seen(character, kept) for character in text])


def code_comment(text: str) -> str:
    """The text as it may stand behind a `#`: in one line, whatever it holds."""
    return printable(text, frozenset())


def docstring_line(text: str) -> str:
    """The text as it may stand in a line of a docstring, which it neither ends nor escapes from."""
    return code_comment(text).replace("\\", "\\\\").replace('"', "'")


def json_text(data: Any) -> str:
    """Data as JSON that may go to a terminal: what moves a cursor, turns text or is no UTF-8 stands
    as its escape, which JSON reads as the same character."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join([_json_character(character) for character in text])


def _json_character(character: str) -> str:
    seen = _seen(character, KEPT)
    return character if seen is character else f"\\u{ord(character):04x}"


def _seen(character: str, kept: frozenset[str]) -> str:
    if character in kept:
        return character
    if unicodedata.category(character) in UNSEEN or character in TURNING:
        return character.encode("unicode_escape").decode()
    return character
