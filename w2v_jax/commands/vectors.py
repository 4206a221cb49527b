"""The commands that read vectors: `neighbors`, `analogy`, `evaluate`, `info`, `plot` and `convert`.

Arguments are checked before anything slow is imported.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import InputError, check_positive
from ..vectors.endings import PROJECTOR, check_ending, check_picture, check_source

if TYPE_CHECKING:
    from ..vectors.keyed_vectors import KeyedVectors

_vectors = tyro.conf.arg(metavar="VECTORS", help="A vectors file: word2vec binary or text, .safetensors or .npz.")
VectorsFile = Annotated[str, tyro.conf.Positional, _vectors]
Json = Annotated[bool, tyro.conf.arg(name="json", help="Print JSON instead.")]
Method = Literal["3cosadd", "3cosmul"]


def neighbors(
    vectors: VectorsFile, words: tyro.conf.Positional[tuple[str, ...]] = (), top: int = 10, json_: Json = False
) -> None:
    """List the words nearest to each query word.

    Example: python -m w2v_jax neighbors vectors.bin king paris

    Args:
        words: The query words. Without words, or with -, they are read from standard input, one a line.
        top: Number of neighbours of each word.
    """
    check_positive("top", top)
    if words in ((), ("-",)):
        words = _read_words(from_terminal=bool(words))
    loaded = _load(vectors)
    known, unknown = [word for word in words if word in loaded], [word for word in words if word not in loaded]
    nearest = dict(zip(known, loaded.most_similar_each(known, topn=top), strict=True))
    joined = lambda word: ", ".join(f"{neighbor} {cosine:.3f}" for neighbor, cosine in nearest[word])
    if known:
        _print([f"{word}: {joined(word)}" for word in known], json_, nearest)
    if len(unknown) > 1:
        raise InputError(f"{len(unknown)} words are not in the vocabulary: {', '.join(map(repr, unknown))}")
    for word in unknown:
        loaded[word]  # raises, and suggests close spellings


def analogy(
    vectors: VectorsFile,
    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")],
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")],
    c: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="C")],
    top: int = 10, method: Method = "3cosadd", json_: Json = False,
) -> None:  # fmt: skip
    """Answer an analogy question: A is to B as C is to which word?

    Example: python -m w2v_jax analogy vectors.bin man king woman

    Args:
        a: The first word of the known pair, such as man.
        b: The second word of the known pair, such as king.
        c: The word to be completed to a pair, such as woman.
        top: Number of answers.
        method: Score by the sum of cosines or by their product (Levy and Goldberg, 2014).
    """
    check_positive("top", top)
    answers = _load(vectors).most_similar([b, c], [a], topn=top, method=method)
    _print([f"{word} {score:.3f}" for word, score in answers], json_, answers)


def evaluate(
    vectors: VectorsFile, similarity: tuple[str, ...] = (), analogies: tuple[str, ...] = (), top: int = 30_000,
    unknown: Literal["skip", "wrong", "mean"] = "skip", method: Method = "3cosadd",
    protocol: Literal["gensim", "word2vec"] = "gensim", json_: Json = False,
) -> None:  # fmt: skip
    """Evaluate vectors on word similarity judgments and on analogy questions.

    Example: python -m w2v_jax evaluate vectors.bin --similarity ws353.txt --analogies questions-words.txt

    Args:
        similarity: Files of word<TAB>word<TAB>score lines, or with other separators and more columns.
        analogies: Files of four words a line, in sections headed by ': name' lines.
        top: Restrict analogies to the most frequent words, this many.
        unknown: Skip pairs and questions with an unknown word; or count them as wrong, a pair with cosine 0; or
            replace an unknown word by the mean of all vectors.
        method: Score analogies by the sum of cosines or by their product (Levy and Goldberg, 2014).
        protocol: Judge answers as gensim does, which skips the question's words in any case; or as word2vec.c does,
            which takes the best answer and folds the case of a to z only.
    """
    if not similarity and not analogies:
        raise InputError("no evaluation set; give --similarity FILE... or --analogies FILE... or both")
    check_positive("top", top)
    loaded = _load(vectors)
    from ..vectors.evaluation import evaluate_analogies, evaluate_similarity

    rules: dict[str, Any] = {"candidates": 1, "case": "ascii"} if protocol == "word2vec" else {}
    lines, errors, scores, sections = [], list[str](), {}, {}
    for path in similarity:
        try:
            result = evaluate_similarity(loaded, path, unknown=unknown)
        except InputError as error:
            errors.append(str(error))
            continue
        scores[path] = result._asdict() | {"coverage": result.coverage}
        lines += [f"{Path(path).name}: Spearman {result.spearman:.4f} (95 %: {result.low:.4f} to {result.high:.4f}), "
                  f"Pearson {result.pearson:.4f}, {result.known} pairs ({result.coverage:.1%})"]  # fmt: skip
        if result.skipped:
            lines += [f"  skipped {result.skipped:,} lines that are no pairs; {result.first_skipped}"]
    for path in analogies:
        try:
            answers = evaluate_analogies(loaded, path, top=top, unknown=unknown, method=method, **rules)
        except InputError as error:
            errors.append(str(error))
            continue
        sections[path] = [section._asdict() | {"accuracy": section.accuracy} for section in answers]
        lines += [f"{Path(path).name}, {top:,} most frequent words:"]
        for name, correct, answered, skipped, malformed, first_malformed in answers:
            accuracy = f"{correct / answered:6.1%}" if answered else "     –"
            lines += [f"  {accuracy}  {correct:6,} of {answered:6,}  ({skipped:,} skipped)  {name}"]
            if malformed:
                lines += [f"  skipped {malformed:,} lines that are no questions; {first_malformed}"]
    if lines:
        _print(lines, json_, {"similarity": scores, "analogies": sections})
    if errors:
        raise InputError("; ".join(errors))


def info(vectors: VectorsFile, json_: Json = False) -> None:
    """Summarize a vectors file.

    Example: python -m w2v_jax info vectors.bin
    """
    summary = _load(vectors).summary()
    lines = ["{words:,} words, vectors of {dim:,} numbers, {dtype}".format(**summary)]
    if summary["lengths"]:
        quartiles = "lengths: least {:.4g}, quartiles {:.4g}, {:.4g}, {:.4g}, greatest {:.4g}"
        lines += [quartiles.format(*summary["lengths"]), f"first words: {', '.join(summary['first'])}"]
    counts, outside = ("yes" if summary[name] else "no" for name in ("counts", "outside"))
    _print([*lines, f"counts: {counts}; outside vectors: {outside}"], json_, summary)


def plot(
    source: tyro.conf.Positional[str], out: Path, words: tuple[str, ...] = (), analogies: tuple[str, ...] = (),
    neighbors_of: Annotated[str | None, tyro.conf.DisallowNone] = None, top: int | None = None,
    method: Literal["pca", "tsne"] = "pca",
) -> None:  # fmt: skip
    """Plot a map of words, analogies, the neighbourhood of a word, or training curves.

    Without --words, --analogies and --neighbors-of, the map shows the most frequent words.

    Example: python -m w2v_jax plot vectors.bin --out map.html

    Args:
        source: A vectors file; or reports of train --metrics (.jsonl), for curves.
        out: The picture: .png or .svg, or .html for an interactive map in a browser.
        words: Map these words, each with its --top nearest neighbours (0).
        analogies: Draw an arrow for each pair of words, two pairs or more: man:woman king:queen.
        neighbors_of: Draw this word amid its --top nearest neighbours (20).
        top: Number of words: on a map, the most frequent ones (300; in HTML 3000).
        method: Lay out the map by PCA, or by t-SNE, which needs scikit-learn.
    """
    from ..files import check_writable

    is_reports, is_html = source.endswith(".jsonl"), out.suffix == ".html"
    options = {f"the reports in {source}": is_reports, "--words": words, "--analogies": analogies,
               "--neighbors-of": neighbors_of}  # fmt: skip
    kinds = [option for option, value in options.items() if value]
    if len(kinds) > 1:
        raise InputError(f"{' and '.join(kinds)} give different pictures; give one of them")
    is_map = kinds in ([], ["--words"])
    if top is not None and (top < 1 or is_reports or analogies):
        raise InputError(f"top is {top}; it must be at least 1, and curves and analogies have none")
    if method != "pca" and not is_map:
        raise InputError(f"method is {method}, which is for maps; leave it out")
    if is_html and (not is_map or (words and top)):
        raise InputError(f"{out}: HTML is for maps, of given words or of the most frequent; name a .png or .svg")
    check_picture(out, (".png", ".svg", ".html"))
    check_paths_differ(out, source)
    check_writable(out)
    for pair in analogies:
        if pair.count(":") != 1 or not all(pair.split(":")):
            raise InputError(f"{pair!r} is not a pair; write two words as in man:woman")
    if not is_reports:
        check_source(source)
    from ..vectors.plots.curves import draw_curves, read_reports
    from ..vectors.plots.interactive import write_interactive_map
    from ..vectors.plots.pictures import draw_analogies, draw_neighborhood, draw_word_map

    if is_reports:
        draw_curves(read_reports(source), out)
    elif analogies:
        draw_analogies(_load(source), [pair.partition(":")[::2] for pair in analogies], out)
    elif neighbors_of:
        draw_neighborhood(_load(source), neighbors_of, out, neighbors=top or 20)
    else:
        vectors = _load(source)
        mapped = words or vectors.words[: top or (3000 if is_html else 300)]
        if is_html:
            write_interactive_map(vectors, mapped, out, method=method)
        else:
            draw_word_map(vectors, mapped, out, neighbors=(top or 0) if words else 0, method=method)
    print(f"drawn in {out}")


def convert(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")],
    limit: int | None = None,
    errors: Literal["strict", "replace", "ignore"] = "strict",
) -> None:
    """Convert a vectors file to the format that the output's ending names.

    Example: python -m w2v_jax convert glove.6B.100d.txt.gz vectors.safetensors --limit 100000

    Args:
        source: A vectors file, known by its bytes: word2vec binary; word2vec, fastText, GloVe or StarSpace text;
            .safetensors; .npz; plain or compressed, local or a URL.
        out: The converted file: .bin, .txt, .vec, .safetensors, .npz; or .tsv and .metadata.tsv for TensorBoard.
        limit: Keep only the first words, this many.
        errors: Refuse a word that is not UTF-8 (strict), or replace (by U+FFFD) or ignore its invalid bytes.
    """
    from ..files import check_writable

    labels = f"{str(out).removesuffix('.tsv')}.metadata.tsv" if check_ending(out) == PROJECTOR else None
    check_paths_differ(out, labels, source)
    check_writable(out)
    limit is None or check_positive("limit", limit)
    vectors = _load(source, errors=errors, limit=limit)
    vectors.save(out)
    print(f"{len(vectors):,} vectors in {out}")


def check_paths_differ(*paths: str | Path | None) -> None:
    """Raise InputError where two paths name one file, perhaps by a link or in another case."""
    local = [os.path.realpath(os.path.expanduser(str(path).removeprefix("file://"))) for path in paths if path]
    for one, other in itertools.combinations(local, 2):
        if one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)):
            raise InputError(f"{one}: would overwrite another file of this command; choose another name")


def _load(path: str, **options: Any) -> "KeyedVectors":
    check_source(path)
    from ..vectors.keyed_vectors import KeyedVectors

    return KeyedVectors.load(path, **options)


def _print(lines: list[str], as_json: bool, value: Any) -> None:
    """Print lines, or a value as one line of JSON, with escapes only where the output's encoding needs them."""
    utf8 = sys.stdout is not None and (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
    for line in [json.dumps(value, ensure_ascii=not utf8)] if as_json else lines:
        print(line)


def _read_words(*, from_terminal: bool) -> tuple[str, ...]:
    """Read words from standard input, one a line; wait for a person at a terminal only if asked to."""
    from ..files import read_lines

    is_read = sys.stdin and (from_terminal or not sys.stdin.isatty())
    lines = read_lines(sys.stdin.buffer, "standard input") if is_read else ()
    if words := tuple(line.strip() for line in lines if line.strip()):
        return words
    raise InputError("no query words; name at least one word, or give words on standard input")
