"""Word vectors, and the queries on them."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Integer, PyTree
from numpy.typing import DTypeLike

from ..errors import InputError, check_positive
from ..params import Params, named_tables
from ..text.vocabulary import Vocabulary
from . import formats, search
from .endings import AnyPath
from .formats import Errors
from .search import Among, Method, Query, Terms, Vector, cosines, normalize
from .table import Table

Neighbors = list[tuple[str, float]]
AnyMatrix = Float[Array, "_ _"] | Float[np.ndarray, "_ _"]


@dataclasses.dataclass(frozen=True, eq=False)
class KeyedVectors:
    """V words and their vectors, by falling count if they were trained here.

    >>> vectors = KeyedVectors(("up", "down", "top"), np.array([[1, 0], [-1, 0.1], [0.9, 0.1]], np.float32))
    >>> vectors.most_similar("up", topn=1)[0][0], round(vectors.similarity("up", "down"), 3)
    ('top', -0.995)
    """

    words: Sequence[str]
    vectors: Float[np.ndarray, "V D"]
    counts: Integer[np.ndarray, " V"] | None = None
    params: Params | PyTree[AnyMatrix] | None = None
    """The trained tables: center and outside, or those of another model by name, of any number of rows and columns."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", np.asarray(self.vectors))
        if not isinstance(self.words, list | tuple):  # a column of a table, whose [] may take labels, not positions
            object.__setattr__(self, "words", list(self.words))
        rows = {"vectors": self.vectors, "counts": self.counts}
        if isinstance(self.params, Params):
            rows |= {f"{name} vectors": table for name, table in self.params._asdict().items()}
        for name, array in rows.items():
            if array is not None and len(self.words) != len(array):
                raise InputError(f"{len(self.words)} words but {len(array)} {name}; each word needs one")
        is_number = self.vectors.dtype.kind in "iu" or jnp.issubdtype(self.vectors.dtype, jnp.floating)
        if self.vectors.ndim != 2 or not is_number:
            raise InputError(f"vectors are {self.vectors.dtype}{self.vectors.shape}; they must be words × numbers")
        for name, table in self.tables.items():
            if table.ndim != 2 or not jnp.issubdtype(table.dtype, jnp.floating):
                raise InputError(f"table {name!r} is {table.dtype}{table.shape}; it must be two-dimensional and float")

    @classmethod
    def load(
        cls, path: AnyPath, *, errors: Errors = "strict", limit: int | None = None, dtype: DTypeLike = np.float32
    ) -> "KeyedVectors":
        """Read a vectors file, plain or compressed, local or any fsspec URL.

        The formats, known by their bytes: word2vec binary; word2vec, fastText, GloVe or StarSpace text;
        .safetensors, mapped if local and plain; .npz. `jax.numpy.from_dlpack` takes the vectors over without a copy
        on a CPU.

        Args:
          errors: how to decode words that are not UTF-8: "strict" refuses the file, "replace" puts U+FFFD for
            the bytes, "ignore" drops them.
          limit: read only this many words, the first.
          dtype: the vectors' precision: float16, bfloat16, float32 or float64.

        Raises:
          InputError: the format is unknown, or the file is damaged.
        """
        words, vectors, counts, arrays = formats.load(path, errors=errors, limit=limit, dtype=dtype)
        shapes = {table.shape for table in arrays.values()}
        is_pair = arrays.keys() == set(Params._fields) and len(shapes) == 1 and shapes.pop()[0] == len(words)
        return cls(words, vectors, counts, Params(**arrays) if is_pair else dict(arrays) or None)  # type: ignore[arg-type]

    def save(self, path: AnyPath) -> None:
        """Write a vectors file in the format of its ending, completely or not at all.

        The formats: word2vec binary (.bin) or text (.txt, .vec); .safetensors or .npz, which also keep the counts and
        all tables; .tsv with its .metadata.tsv, for TensorBoard's projector.

        Raises:
          InputError: the path cannot be written, its ending is unknown, or the format cannot hold a word.
        """
        tables = {name: np.asarray(table) for name, table in self.tables.items()}
        formats.save(path, Table(self.words, self.vectors, self.counts, tables))

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, word: str) -> Float[np.ndarray, " D"]:
        """Return the word's vector; the InputError for an unknown word suggests close spellings."""
        return self.vectors[self.vocabulary[word]]

    def __contains__(self, word: object) -> bool:
        return word in self.vocabulary

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The words with their ids and counts; unknown counts are zeros.

        Raises:
          InputError: a word is repeated.
        """
        counts = np.zeros(len(self.words), np.int64) if self.counts is None else self.counts
        vocabulary = Vocabulary(tuple(self.words), counts)
        if len(vocabulary.index) < len(vocabulary):
            repeated = next(word for i, word in enumerate(self.words) if vocabulary.index[word] != i)
            raise InputError(f"the word {repeated!r} is repeated; each word needs one vector")
        return vocabulary

    @functools.cached_property
    def unit(self) -> Float[np.ndarray, "V D"]:
        """The vectors at length 1; a zero vector stays zero, and one that is not finite is refused."""
        formats.check_finite(Table(self.words, self.vectors), "vectors")
        return normalize(self.vectors)

    @property
    def tables(self) -> Mapping[str, AnyMatrix]:
        """The trained tables by name; empty if they were not kept."""
        return {} if self.params is None else named_tables(self.params)

    @functools.cached_property
    def outside(self) -> "KeyedVectors":
        """The outside vectors, for the same queries; an InputError if they were not kept."""
        return KeyedVectors(self.words, self._word_table("outside"), self.counts)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of words and dimensions, quantiles of the vectors' lengths, and what else was kept.

        >>> KeyedVectors(["up", "down"], np.array([[3, 4], [0, 1]], np.float32)).summary()["lengths"]
        [1.0, 2.0, 3.0, 4.0, 5.0]
        """
        rows = self.vectors.astype(np.float32, copy=False)
        lengths = np.sqrt(np.einsum("vd,vd->v", rows, rows, dtype=np.float64))
        return {
            "words": len(self), "dim": rows.shape[1], "dtype": str(self.vectors.dtype),
            "lengths": np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1]).tolist() if len(self) else [],
            "first": list(self.words[:10]), "counts": self.counts is not None, "outside": "outside" in self.tables,
        }  # fmt: skip

    def most_similar(
        self, positive: Terms = (), negative: Terms = (), *,
        topn: int = 10, among: Among | None = None, method: Method = "3cosadd",
    ) -> Neighbors:  # fmt: skip
        """Return the words nearest by cosine to the sum of unit vectors, positive minus negative, without those words.

        `most_similar("king")` returns neighbours; `most_similar(["woman", "king"], ["man"])` answers the analogy
        "man is to king as woman is to …".

        Args:
          positive, negative: words, vectors (at their own length), or pairs of one and its weight, which replaces
            1 or −1, its sign included.
          topn: the number of answers.
          among: the only words that may be answers, or a mask over the vocabulary.
          method: "3cosadd", or "3cosmul", which multiplies and divides instead of adding and subtracting
            (Levy and Goldberg, 2014). 3CosMul normalises vectors, and takes no weights.

        Raises:
          InputError: a word is not in the vocabulary, or there is no term.
        """
        return self.most_similar_each([(positive, negative)], topn=topn, among=among, method=method)[0]

    def most_similar_each(
        self, queries: Sequence[Query], *, topn: int = 10, among: Among | None = None, method: Method = "3cosadd"
    ) -> list[Neighbors]:
        """Run `most_similar` on many queries in one product; a query is a word or (positives, negatives)."""
        topn = check_positive("topn", topn)
        batch = search.parse_queries(queries, self.vocabulary, self.unit, method)
        table, words = self.unit, self.words
        if among is not None:
            ids = search.candidate_ids(among, self.vocabulary)
            table, words = table[ids], [words[i] for i in ids.tolist()]
            rows = np.searchsorted(ids, batch.excluded)
            batch = batch._replace(excluded=np.where(np.isin(batch.excluded, ids), rows, len(table)))
        answers, scores = search.nearest(table, batch, topn=min(topn, len(table)), method=method)
        return [
            [(words[i], score) for i, score in zip(row, values, strict=True) if score > -math.inf]
            for row, values in zip(answers.tolist(), scores.tolist(), strict=True)
        ]

    def similarity(self, word: str, other: str) -> float:
        """Return the cosine of two words' vectors."""
        return float(cosines(self.unit[[self.vocabulary[word]]], self.unit[self.vocabulary[other]])[0])

    def n_similarity(self, words: Sequence[str], others: Sequence[str]) -> float:
        """Return the cosine of the means of two lists of words, from vectors at their own length."""
        dtype = np.promote_types(self.vectors.dtype, np.float32)
        means = [self.vectors[self._ids(group)].astype(dtype).mean(0) for group in (words, others)]
        one, other = normalize(np.stack(means))
        return float(cosines(one[None], other)[0])

    def distances(self, word: str | Vector, others: Sequence[str] | None = None) -> Float[np.ndarray, " n"]:
        """Return 1 − the cosine of a word or vector with each other word, by default with the vocabulary."""
        table = self.unit if others is None else self.unit[self._ids(others)]
        if not isinstance(word, str):
            search.check_vector(word, table.shape[1])
        query = self[word] if isinstance(word, str) else word
        return 1 - cosines(table, np.asarray(query, self.unit.dtype))

    def closer_than(self, word: str, other: str) -> list[str]:
        """Return the words nearer to `word` than `other` is, in the vocabulary's order."""
        closer = search.closer_rows(self.unit, np.array([[self.vocabulary[word], self.vocabulary[other]]]))
        return [self.words[i] for i in np.flatnonzero(closer).tolist()]

    def rank(self, word: str, other: str) -> int:
        """Return the rank of `other` among the neighbours of `word`; the nearest has rank 1."""
        return self.ranks([(word, other)])[0]

    def ranks(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Return `rank` for many pairs in one call."""
        ids = np.array([[self.vocabulary[word] for word in pair] for pair in pairs], np.int64).reshape(-1, 2)
        return (1 + search.count_closer_rows(self.unit, ids)).tolist()

    def doesnt_match(self, words: Sequence[str]) -> str:
        """Return the word of smallest cosine with the mean of all."""
        scores = cosines(self.unit[self._ids(words)], self.mean_vector(words))
        return words[int(np.argmin(scores))]

    def mean_vector(self, words: Sequence[str], weights: Sequence[float] | Vector | None = None) -> Vector:
        """Return Σ weight·unit vector / Σ |weight|; weights are 1 by default."""
        unit = self.unit[self._ids(words)]
        weight = np.ones(len(unit), unit.dtype) if weights is None else np.asarray(weights, unit.dtype)
        if weight.shape != (len(unit),) or not weight.any() or not np.isfinite(weight).all():
            raise InputError(f"{len(unit)} words but {weight.size} weights; each needs a finite one, not all of them 0")
        return weight @ unit / np.abs(weight).sum()

    def predict_outside(self, center: str, topn: int = 10) -> Neighbors:
        """Return the likeliest outside words of a center word with P(O|C), Equation 1.

        Raises:
          InputError: the word is not in the vocabulary, or the tables were not kept.
        """
        topn = check_positive("topn", topn)
        centers, outside = map(self._word_table, Params._fields)
        dtype = np.promote_types(outside.dtype, np.float32)
        scores = outside.astype(dtype) @ centers[self.vocabulary[center]].astype(dtype)
        ids, y_hat = np.argsort(-scores, kind="stable")[:topn].tolist(), scipy.special.softmax(scores)
        return [(self.words[i], float(y_hat[i])) for i in ids]

    def _word_table(self, name: str) -> Float[np.ndarray, "V _"]:
        table = self.tables.get(name)
        if table is None or len(table) != len(self):
            raise InputError(f"there is no {name} table of words; query vectors just trained, or saved as .safetensors")
        return np.asarray(table)

    def _ids(self, words: Sequence[str]) -> Integer[np.ndarray, " n"]:
        if isinstance(words, str) or not len(words):
            raise InputError(f"a list of one or more words is needed, not {words!r}")
        return np.array([self.vocabulary[word] for word in words])
