"""Read sets of word pairs and of analogy questions, in the forms in which they are published.

Lines that are not understood are counted, and the first of them is named.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import InputError
from ..files import open_input, read_lines
from .endings import AnyPath

MIN_OTHER_PAIRS = 6  # that make a form other than word<TAB>word<TAB>score worth a guess


def read_pairs(path: AnyPath) -> tuple[list[tuple[str, str, float]], int, str]:
    """Return the pairs, the number of other lines, and the first of these; a few lines in another form are no pairs."""
    plain, others, total = dict[int, tuple[str, str, float]](), dict[int, tuple[str, str, float]](), 0
    first = first_other = math.inf, ""
    for number, line in _read_data_lines(path):
        if line.startswith("#"):
            continue
        total += 1
        if not (pair := _parse_pair(line)):
            first = min(first, (number, line))
        elif line.count("\t") == 2:
            plain[number] = pair
        else:
            others[number] = pair
            first_other = min(first_other, (number, line))
    if len(others) < MIN_OTHER_PAIRS:
        others, first = {}, min(first, first_other)
    pairs = [pair for _, pair in sorted((plain | others).items())]
    return pairs, total - len(pairs), _describe(*first) if total > len(pairs) else ""


def _read_data_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """Yield the lines and their numbers, without blank lines."""
    with open_input(path) as file:
        for number, line in enumerate(read_lines(file, os.fspath(path)), 1):
            if line.strip():
                yield number, line.rstrip("\r\n")


def _parse_pair(line: str) -> tuple[str, str, float] | None:
    """Return two words in upper case, and the first number after them."""
    fields = _split_fields(line, 3)
    for field in fields[2:]:
        with contextlib.suppress(ValueError):
            score = float(re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", field))
            return (fields[0].upper(), fields[1].upper(), score) if math.isfinite(score) else None
    return None


def _split_fields(line: str, count: int) -> list[str]:
    """Split at tabs, semicolons, commas or blanks: the first of them that gives as many fields."""
    splits = ([field.strip().strip('"') for field in line.split(separator)] for separator in ("\t", ";", ","))
    return next((fields for fields in splits if len(fields) >= count), line.split())


def _describe(number: float, line: str) -> str:
    return f"line {number:,} is {line if len(line) <= 60 else line[:60] + '…'!r}"


class Questions(NamedTuple):
    """Analogy questions in sections."""

    names: list[str]
    section: list[int]
    """The index of each question's section."""
    words: list[list[str]]
    """The four words of each question."""
    skipped: int
    """Lines of another number of words."""
    first_skipped: str


def read_questions(path: AnyPath) -> Questions:
    """Read four words a line; a line of one word after a colon begins a section, but the first one needs none."""
    names, section, questions, skipped, first = list[str](), list[int](), list[list[str]](), 0, ""
    for number, line in _read_data_lines(path):
        words = fields if len(fields := line.split()) == 4 else _split_fields(line, 4)
        if line.startswith(": ") or (line.startswith(":") and len(words) == 1):
            names.append(line.lstrip(": ").strip())
        elif len(words) == 4:
            names = names or ["no section"]
            section.append(len(names) - 1)
            questions.append(words)
        else:
            skipped, first = skipped + 1, first or _describe(number, line)
    if not questions:
        first = f"; {first}" if first else ""
        raise InputError(f"{os.fspath(path)}: holds no questions; they are four words a line{first}")
    return Questions(names, section, questions, skipped, first)
