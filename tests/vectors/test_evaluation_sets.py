"""Word pairs and analogy questions are read in the forms in which sets are published."""

from pathlib import Path

import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors.evaluation_sets import read_pairs, read_questions

FORMS = {
    "tabs": "{}\t{}\t{}", "commas": "{},{},{}", "semicolons": "{};{};{}", "spaces": "{}  {} {}",
    "CSV": '"{}","{}","{}"', "SimLex": "{}\t{}\tN\t{}\t3.5\t1", "blanks": " {} , {}, {} ",
}  # fmt: skip
TRIPLES = [("king", "new york" if i % 2 else "queen", i + 0.5) for i in range(6)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("title", ["", "\ufeff", "# a\ta\t1\n", "word1,word2,score\n", "w1\tw2\tPOS\tSimLex999\n"])
@pytest.mark.parametrize("point", [".", ","])
def test_pairs_are_read_in_any_form(form: str, title: str, point: str, tmp_path: Path) -> None:
    triples = [(a, b.replace(" ", "_") if form == "spaces" else b, score) for a, b, score in TRIPLES]
    point = "." if "{}," in FORMS[form] or form in ("CSV", "blanks") else point
    lines = [FORMS[form].format(a, b, str(score).replace(".", point)) for a, b, score in triples]
    (tmp_path / "s.txt").write_text(title + "\r\n".join(lines) + "\n\n")
    is_line = title[:1] == "w"
    pairs, skipped, first = read_pairs(tmp_path / "s.txt")
    assert pairs == [(a.upper(), b.upper(), score) for a, b, score in triples]
    assert (skipped, first) == (int(is_line), f"line 1 is {title[:-1]!r}" if is_line else "")


def test_lines_that_are_no_pairs_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    lines = ["a\tb\t1", "# a\tb\t1", "", "no score here", "a\tb\tnan", "a\tb", "a;b;2", "a" * 99]
    (tmp_path / "s.txt").write_text("\n".join(lines))
    assert read_pairs(tmp_path / "s.txt") == ([("A", "B", 1.0)], 5, "line 4 is 'no score here'")
    (tmp_path / "s.txt").write_text("\n".join(lines[:0:-1]))  # too few of the form a;b;2
    assert read_pairs(tmp_path / "s.txt") == ([], 5, f"line 1 is '{'a' * 60}…'")


def test_questions_need_no_section_and_other_lines_are_counted(tmp_path: Path) -> None:
    lines = ["\ufeffa b c d", "a\tb\tc\te\r", ":named", "a,b,c,d", "", "a b c", ": x", "a b c d e", "a;b;c;d"]
    (tmp_path / "q.txt").write_text("\n".join(lines))
    names, section, words, *skipped = read_questions(tmp_path / "q.txt")
    assert (names, section, skipped) == (["no section", "named", "x"], [0, 0, 1, 2], [2, "line 6 is 'a b c'"])
    assert words == [[*"abcd"], [*"abce"], [*"abcd"], [*"abcd"]]
    (tmp_path / "q.txt").write_text(": a\na b c\n")
    with pytest.raises(InputError, match="q.txt: holds no questions; .*; line 2 is 'a b c'$"):
        read_questions(tmp_path / "q.txt")
