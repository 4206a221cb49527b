"""`evaluate`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import InputError
from .output import print_json


def evaluate(
    vectors: tyro.conf.Positional[str],
    similarity: tuple[str, ...] = (),
    analogies: tuple[str, ...] = (),
    top: int = 30_000,
    unknown: Literal["skip", "wrong", "mean"] = "skip",
    method: Literal["3cosadd", "3cosmul"] = "3cosadd",
    protocol: Literal["gensim", "word2vec"] = "gensim",
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure vectors against people's judgments of similarity, and on analogy questions.

    Example: python -m w2v_jax evaluate vectors.bin --similarity ws353.txt --analogies questions-words.txt

    Args:
        vectors: A vectors file: .bin, .txt, .vec, .safetensors or .npz.
        similarity: Files of word<TAB>word<TAB>score lines.
        analogies: Files of four words a line, in sections headed by ': name' lines.
        top: Analogies use this many words, the most frequent ones.
        unknown: What has an unknown word is left out (skip) or counts as wrong, a pair as of cosine 0; or the
            mean of all vectors stands for the word.
        method: Analogies are scored by sums of cosines, or by their products (Levy and Goldberg, 2014).
        protocol: Analogies are right by the rules of gensim, which passes over the question's own words in other
            letters, or of word2vec.c, which takes the best answer; there only a to z have a case.
        json_: Print one JSON object instead.
    """
    if not similarity and not analogies:
        raise InputError("name what to evaluate on: --similarity FILE... or --analogies FILE... or both")
    if top < 1:
        raise InputError(f"top is {top}; it must be at least 1")
    from ..vectors.endings import check_source

    check_source(vectors)
    from ..vectors.analogies import evaluate_analogies
    from ..vectors.keyed_vectors import KeyedVectors
    from ..vectors.similarity import evaluate_similarity

    loaded = KeyedVectors.load(vectors)
    similarities = {path: evaluate_similarity(loaded, path, unknown=unknown) for path in similarity}
    rules: dict[str, Any] = {"candidates": 1, "case": "ascii"} if protocol == "word2vec" else {}
    sections = {
        path: evaluate_analogies(loaded, path, top=top, unknown=unknown, method=method, **rules) for path in analogies
    }
    if json_:
        scores = {path: {**result._asdict(), "coverage": result.coverage} for path, result in similarities.items()}
        answers = {
            path: [{**part._asdict(), "accuracy": part.accuracy} for part in parts] for path, parts in sections.items()
        }
        print_json({"similarity": scores, "analogies": answers})
        return
    for path, result in similarities.items():
        print(f"{Path(path).name}: Spearman {result.spearman:.4f} (95 %: {result.low:.4f} to {result.high:.4f}), "
              f"Pearson {result.pearson:.4f}, {result.known} pairs ({result.coverage:.1%})")  # fmt: skip
    for path, parts in sections.items():
        print(f"{Path(path).name}, {top:,} most frequent words:")
        for name, correct, asked, skipped in parts:
            share = f"{correct / asked:6.1%}" if asked else "     –"
            print(f"  {share}  {correct:6,} of {asked:6,}  ({skipped:,} skipped)  {name}")
