"""From a file to its picture: which picture is asked for, of what there is in the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...files import check_writable
from ..endings import check_picture, check_source


def plot(
    source: str, out: Path, *, words: Sequence[str] = (), analogies: Sequence[str] = (),
    neighbors_of: str | None = None, top: int | None = None,
    method: Literal["pca", "tsne"] = "pca",
) -> None:  # fmt: skip
    """Draw the curves of a training's reports (.jsonl), or of vectors a map, analogies or a neighbourhood.

    Raises:
      InputError: two pictures are asked for at once, or something that the picture asked for does not
        have; a file cannot be read or written; or a word has no vector.
    """
    curves = source.endswith(".jsonl")
    asked = [kind for kind, given in {"words": words, "analogies": analogies, "neighbors-of": neighbors_of}.items()
             if given]  # fmt: skip
    if len(asked) + curves > 1:
        both = [f"the reports in {source}"] * curves + [f"--{kind}" for kind in asked]
        raise InputError(f"{' and '.join(both)} are pictures of their own; ask for one at a time")
    (kind,) = asked or ["curves" if curves else "map"]
    if top is not None and (top < 1 or kind in ("curves", "analogies")):
        raise InputError(f"top is {top}; it must be at least 1, and curves and analogies have none")
    if method != "pca" and kind not in ("map", "words"):
        raise InputError(f"method is {method}; it lays out maps, and there is no map here: leave it out")
    html = out.suffix == ".html"
    if html and (kind not in ("map", "words") or (words and top)):
        raise InputError(f"{out}: HTML is for maps, of given words or of the most frequent; name a .png or .svg")
    check_picture(out, (".png", ".svg", ".html"))
    check_writable(out)
    pairs = [_pair(written) for written in analogies]
    if not curves:
        check_source(source)
    # What is slow to import waits until the arguments are known to be right.
    from ..keyed_vectors import KeyedVectors
    from .analogies import draw_analogies
    from .curves import draw_curves, read_reports
    from .interactive import write_interactive_map
    from .neighborhood import draw_neighborhood
    from .word_map import draw_word_map

    if curves:
        return draw_curves(read_reports(source), out)
    vectors = KeyedVectors.load(source)
    if pairs:
        return draw_analogies(vectors, pairs, out)
    if neighbors_of:
        return draw_neighborhood(vectors, neighbors_of, out, neighbors=top or 20)
    if html:
        return write_interactive_map(vectors, words or vectors.words[: top or 3000], out, method=method)
    if words:
        return draw_word_map(vectors, words, out, neighbors=top or 0, method=method)
    return draw_word_map(vectors, vectors.words[: top or 300], out, method=method)


def _pair(written: str) -> tuple[str, str]:
    match written.split(":"):
        case [start, end] if start and end:
            return start, end
    raise InputError(f"{written!r} is no pair; write its two words as in man:woman")
