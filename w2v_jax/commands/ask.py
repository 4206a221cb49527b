"""`neighbors` and `analogy`."""

import sys
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .output import print_json


def neighbors(
    vectors: tyro.conf.Positional[str],
    words: tyro.conf.Positional[tuple[str, ...]] = (),
    top: int = 10,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """List the words nearest to each of some words.

    Example: python -m w2v_jax neighbors vectors.bin king paris

    Args:
        vectors: A vectors file: .bin, .txt, .vec, .safetensors or .npz.
        words: The words to ask about; none, or -, for words from standard input, one a line.
        top: How many neighbours of each.
        json_: Print one JSON object instead.
    """
    _check_top(top)
    if words in ((), ("-",)):
        words = _words_from_standard_input(waiting=bool(words))
    from ..vectors.endings import check_source

    check_source(vectors)
    from ..vectors.keyed_vectors import KeyedVectors

    nearest = KeyedVectors.load(vectors).most_similar_each(words, topn=top)
    if json_:
        print_json(dict(zip(words, nearest, strict=True)))
        return
    for word, near in zip(words, nearest, strict=True):
        print(f"{word}: " + ", ".join(f"{other} {cosine:.3f}" for other, cosine in near))


def _words_from_standard_input(*, waiting: bool) -> tuple[str, ...]:
    """A word a line; a person at a terminal is waited for only where asked to."""
    words: list[str] = []
    if sys.stdin and (waiting or not sys.stdin.isatty()):
        for number, line in enumerate(sys.stdin.buffer, 1):
            try:
                words += filter(None, [line.decode("utf-8-sig" if number == 1 else "utf-8").strip()])
            except UnicodeDecodeError:
                raise InputError(f"standard input: line {number} is not UTF-8") from None
    if not words:
        raise InputError("name at least one word to find the neighbours of, or give some on standard input")
    return tuple(words)


def analogy(
    vectors: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="VECTORS")],
    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")],
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")],
    c: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="C")],
    top: int = 10,
    method: Literal["3cosadd", "3cosmul"] = "3cosadd",
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """List what is to C as B is to A.

    Example: python -m w2v_jax analogy vectors.bin man king woman

    Args:
        vectors: A vectors file: .bin, .txt, .vec, .safetensors or .npz.
        a: A word, man.
        b: What stands to it as the answer does to C, king.
        c: The word whose counterpart is asked for, woman.
        top: How many answers.
        method: Scores by sums of cosines, or by their products (Levy and Goldberg, 2014).
        json_: Print one JSON array of words and scores instead.
    """
    _check_top(top)
    from ..vectors.endings import check_source

    check_source(vectors)
    from ..vectors.keyed_vectors import KeyedVectors

    answers = KeyedVectors.load(vectors).most_similar([b, c], [a], topn=top, method=method)
    if json_:
        print_json(answers)
        return
    for word, score in answers:
        print(f"{word} {score:.3f}")


def _check_top(top: int) -> None:
    if top < 1:
        raise InputError(f"top is {top}; it must be at least 1")
