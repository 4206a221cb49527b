"""Word vectors to ask questions of."""

import dataclasses
import functools
import math
import os
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from numpy.typing import DTypeLike

from ..errors import InputError
from ..objectives.softmax import log_probs
from ..params import Params
from ..text.vocabulary import Vocabulary
from . import formats
from .queries import Method, closer_rows, cosines, count_closer_rows, nearest, normalize, power_of_two
from .table import Errors, Table
from .terms import Among, Query, Terms, Vector, as_arrays, ids_among

Neighbors = list[tuple[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class KeyedVectors:
    """V words and their vectors, by falling count where they were trained here.

    >>> vectors = KeyedVectors(("up", "down", "top"), np.array([[1, 0], [-1, 0.1], [0.9, 0.1]], np.float32))
    >>> vectors.most_similar("up", topn=1)[0][0], round(vectors.similarity("up", "down"), 3)
    ('top', -0.995)
    """

    words: Sequence[str]
    vectors: Float[np.ndarray, "V D"]
    counts: Integer[np.ndarray, " V"] | None = None
    params: Params | None = None
    """Both tables, where the vectors were trained here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", np.asarray(self.vectors))
        each = {"vectors": self.vectors, "counts": self.counts} | (self.params._asdict() if self.params else {})
        for name, of_words in each.items():
            if of_words is not None and len(self.words) != len(of_words):
                name = name if of_words is self.vectors or of_words is self.counts else f"{name} vectors"
                raise InputError(f"{len(self.words)} words but {len(of_words)} {name}; each word needs one")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        errors: Errors = "strict",
        limit: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> "KeyedVectors":
        """Read a vectors file, plain or compressed, local or any fsspec URL.

        word2vec binary (.bin); word2vec, fastText or GloVe text (.txt, .vec); .safetensors, which is mapped
        where it is local and plain; .npz. The vectors are `jax.numpy.from_dlpack`'s without a copy on a CPU.

        Args:
          errors: what becomes of bytes in a word that are not UTF-8: "strict" refuses the file, "replace" puts
            U+FFFD for them, "ignore" drops them.
          limit: only this many words, the first.
          dtype: the vectors' precision: float16, bfloat16, float32 or float64.

        Raises:
          InputError: the file is not one of these or is damaged.
        """
        table = formats.load(path, errors=errors, limit=limit, dtype=dtype)
        tables = table.tables and Params(*map(jnp.asarray, table.tables))
        return cls(table.words, table.vectors, table.counts, tables)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a vectors file in the format of its ending, whole or not at all.

        word2vec binary (.bin) or text (.txt, .vec); .safetensors or .npz, which also keep the counts and both
        tables; .tsv with its .metadata.tsv, for TensorBoard's projector.

        Raises:
          InputError: the path cannot be written, its ending is another, or the format cannot hold a word.
        """
        tables = self.params and (np.asarray(self.params.center), np.asarray(self.params.outside))
        formats.save(path, Table(self.words, self.vectors, self.counts, tables))

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, word: str) -> Float[np.ndarray, " D"]:
        """The word's vector; a word that has none is an InputError that suggests close spellings."""
        return self.vectors[self.vocabulary[word]]

    def __contains__(self, word: object) -> bool:
        return word in self.vocabulary

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The words with their ids (and counts, or zeros where nobody knows them).

        Raises:
          InputError: a word stands twice.
        """
        counts = np.zeros(len(self.words), np.int64) if self.counts is None else self.counts
        vocabulary = Vocabulary(tuple(self.words), counts)
        if len(vocabulary.index) < len(vocabulary):
            twice = next(word for i, word in enumerate(self.words) if vocabulary.index[word] != i)
            raise InputError(f"the word {twice!r} stands twice; each needs one vector")
        return vocabulary

    @functools.cached_property
    def unit(self) -> Float[Array, "V D"]:
        """The vectors at length 1, on the device; a zero vector stays zero."""
        return normalize(jnp.asarray(self.vectors))

    @functools.cached_property
    def outside(self) -> "KeyedVectors":
        """The outside vectors, to ask the same questions of.

        Raises:
          InputError: they were not kept.
        """
        return KeyedVectors(self.words, np.asarray(self._tables().outside), self.counts)

    def most_similar(
        self,
        positive: Terms = (),
        negative: Terms = (),
        *,
        topn: int = 10,
        among: Among | None = None,
        method: Method = "3cosadd",
    ) -> Neighbors:
        """The words nearest by cosine to the sum of unit vectors, positive minus negative, those words left out.

        `most_similar("king")` asks for neighbours; `most_similar(["woman", "king"], ["man"])` for the
        word that is to woman as king is to man.

        Args:
          positive, negative: words, vectors (which count at their length), or pairs of one and its weight, which
            takes the place of 1 or −1, its sign included.
          among: the only words that may be answers, or a mask over the vocabulary.
          method: "3cosadd", or "3cosmul", which multiplies and divides where the other adds and subtracts
            (Levy and Goldberg, 2014); vectors count at length 1 there, and there are no weights.

        Raises:
          InputError: a word is not in the vocabulary, or nothing is given.
        """
        return self.most_similar_each([(positive, negative)], topn=topn, among=among, method=method)[0]

    def most_similar_each(
        self,
        queries: Sequence[Query],
        *,
        topn: int = 10,
        among: Among | None = None,
        method: Method = "3cosadd",
    ) -> list[Neighbors]:
        """`most_similar` for many queries in one product; a query is a word or (positives, negatives)."""
        _check_topn(topn)
        terms, weight, known = as_arrays(queries, self.vocabulary, np.asarray(self.unit), method)
        table, limit, words = self.unit, len(self), self.words
        if among is not None:
            ids = ids_among(among, self.vocabulary)
            words, limit = [self.words[i] for i in ids.tolist()], len(ids)
            table = self.unit[np.resize(ids if limit else [0], power_of_two(limit))]  # few shapes, few compilations
            known = np.where(np.isin(known, ids), np.searchsorted(ids, known), len(table))
        found, scores = nearest(table, terms, weight, known, topn=min(topn, len(table)), limit=limit, method=method)
        return [
            [(words[i], score) for i, score in zip(row, values, strict=True) if score > -math.inf]
            for row, values in zip(found.tolist(), scores.tolist(), strict=True)
        ]

    def similarity(self, word: str, other: str) -> float:
        """The cosine of the angle between two words' vectors."""
        return float(self.unit[self.vocabulary[word]] @ self.unit[self.vocabulary[other]])

    def n_similarity(self, words: Sequence[str], others: Sequence[str]) -> float:
        """The cosine of the angle between the means of two lists of words, each word at its length."""
        exact = np.promote_types(self.vectors.dtype, np.float32)
        means = [self.vectors[self._ids(some)].astype(exact).mean(0) for some in (words, others)]
        one, other = normalize(jnp.asarray(np.stack(means)))
        return float(one @ other)

    def distances(self, word: str | Vector, others: Sequence[str] | None = None) -> Float[np.ndarray, " n"]:
        """1 − the cosine of a word or vector with each other word, or with all of the vocabulary."""
        table = self.unit if others is None else self.unit[self._ids(others)]
        return np.asarray(1 - cosines(table, jnp.asarray(self[word] if isinstance(word, str) else word)))

    def closer_than(self, word: str, other: str) -> list[str]:
        """The words that are nearer to `word` than `other` is, in the vocabulary's order."""
        closer = closer_rows(self.unit, jnp.int32(self.vocabulary[word]), jnp.int32(self.vocabulary[other]))
        return [self.words[i] for i in np.flatnonzero(closer).tolist()]

    def rank(self, word: str, other: str) -> int:
        """Which of `word`'s neighbours `other` is; the nearest is 1."""
        return 1 + len(self.closer_than(word, other))

    def ranks(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """`rank` for many pairs in one call."""
        ids = np.array([[self.vocabulary[word] for word in pair] for pair in pairs], np.int32).reshape(-1, 2)
        padded = jnp.asarray(np.resize(ids, (power_of_two(len(ids)), 2)))  # few shapes, few compilations
        return [1 + closer for closer in count_closer_rows(self.unit, padded).tolist()[: len(ids)]]

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word of smallest cosine with the mean of all."""
        found = cosines(self.unit[self._ids(words)], jnp.asarray(self.mean_vector(words)))
        return words[int(np.argmin(found))]

    def mean_vector(self, words: Sequence[str], weights: Sequence[float] | Vector | None = None) -> Vector:
        """Σ weight·unit vector / Σ |weight|, every weight 1 where none are given."""
        unit = np.asarray(self.unit)[self._ids(words)]
        weight = np.ones(len(unit), unit.dtype) if weights is None else np.asarray(weights, unit.dtype)
        if weight.shape != (len(unit),) or not weight.any():
            raise InputError(f"{len(unit)} words but {len(weight)} weights; each word needs one, and not all of them 0")
        return weight @ unit / np.abs(weight).sum()

    def predict_outside(self, center: str, topn: int = 10) -> Neighbors:
        """The likeliest outside words of a center word, and P(O|C), Equation 1, of each.

        Raises:
          InputError: the word is not in the vocabulary, or the outside table was not kept.
        """
        _check_topn(topn)
        params = self._tables()
        log_y_hat = log_probs(params.center[self.vocabulary[center]], params.outside)
        best, ids = jax.lax.top_k(log_y_hat, min(topn, len(self)))
        return [(self.words[i], math.exp(one)) for i, one in zip(ids.tolist(), best.tolist(), strict=True)]

    def _tables(self) -> Params:
        if self.params is None:
            raise InputError(
                "there is no outside table here; ask vectors just trained, or saved as .safetensors or .npz"
            )
        return self.params

    def _ids(self, words: Sequence[str]) -> Integer[np.ndarray, " n"]:
        if isinstance(words, str) or not len(words):
            raise InputError(f"a list of words is needed, and at least one in it; here is {words!r}")
        return np.array([self.vocabulary[word] for word in words])


def _check_topn(topn: int) -> None:
    if topn < 1:
        raise InputError(f"topn is {topn}; it must be at least 1")
