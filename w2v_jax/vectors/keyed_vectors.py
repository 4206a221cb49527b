"""Word vectors to ask questions of."""

import dataclasses
import functools
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer
from numpy.typing import DTypeLike

from ..errors import InputError
from ..params import Params
from ..text.vocabulary import Vocabulary
from . import formats
from .table import Errors, Table

Query = str | tuple[Sequence[str], Sequence[str]]
"""A word, or (positive words, negative words)."""
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
        if len(self.words) != len(self.vectors):
            raise InputError(f"{len(self.words)} words but {len(self.vectors)} vectors; each word needs one")

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

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The words with their ids (and counts, or zeros where nobody knows them)."""
        counts = np.zeros(len(self.words), np.int64) if self.counts is None else self.counts
        return Vocabulary(tuple(self.words), counts)

    @functools.cached_property
    def unit(self) -> Float[Array, "V D"]:
        """The vectors at length 1, on the device; a zero vector stays zero."""
        return _normalize(jnp.asarray(self.vectors))

    def similarity(self, word: str, other: str) -> float:
        """The cosine of the angle between two words' vectors."""
        return float(self.unit[self.vocabulary[word]] @ self.unit[self.vocabulary[other]])

    def most_similar(
        self, positive: str | Sequence[str] = (), negative: str | Sequence[str] = (), *, topn: int = 10
    ) -> Neighbors:
        """The words nearest by cosine to the mean of unit vectors, positive minus negative, those words left out.

        `most_similar("king")` asks for neighbours; `most_similar(["woman", "king"], ["man"])` for the
        word that is to woman as king is to man (3CosAdd: Levy and Goldberg, 2014).

        Raises:
          InputError: a word is not in the vocabulary, or no word is given.
        """
        return self.most_similar_each([(_as_words(positive), _as_words(negative))], topn=topn)[0]

    def most_similar_each(self, queries: Sequence[Query], *, topn: int = 10) -> list[Neighbors]:
        """`most_similar` for many queries in one product; a query is a word or (positives, negatives)."""
        pairs = [([query], []) if isinstance(query, str) else query for query in queries]
        ids = [[self.vocabulary[word] for word in (*positive, *negative)] for positive, negative in pairs]
        if not all(ids):
            raise InputError("a query needs at least one word")
        width = max(map(len, ids), default=1)
        known = np.full((len(ids), width), len(self), np.int32)
        weight = np.zeros((len(ids), width), np.float32)
        for i, (positive, negative) in enumerate(pairs):
            known[i, : len(ids[i])] = ids[i]
            weight[i, : len(ids[i])] = [1] * len(positive) + [-1] * len(negative)
        topn = min(topn, len(self))
        nearest, cosines = map(np.asarray, nearest_rows(self.unit, jnp.asarray(known), jnp.asarray(weight), topn))
        return [
            [(self.words[i], float(cosine)) for i, cosine in zip(row, values, strict=True) if np.isfinite(cosine)]
            for row, values in zip(nearest, cosines, strict=True)
        ]


@functools.partial(jax.jit, static_argnames="topn")
def nearest_rows(
    unit: Float[Array, "V D"], known: Int[Array, "Q n"], weight: Float[Array, "Q n"], topn: int
) -> tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]]:
    """The rows of largest cosine with the weighted sum of each query's known rows, which are left out.

    Returns their ids and cosines; −∞ where all rows are known. An id of V in `known` stands for none.
    """
    query = _normalize((unit.at[known].get(mode="fill", fill_value=0) * weight[..., None]).sum(1))
    cosines = jnp.matmul(query, unit.T, precision=jax.lax.Precision.HIGHEST)
    cosines = cosines.at[jnp.arange(len(known))[:, None], known].set(-jnp.inf, mode="drop")
    values, ids = jax.lax.top_k(cosines, topn)
    return ids, values


def _normalize(vectors: Float[Array, "... D"]) -> Float[Array, "... D"]:
    length = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.where(length > 0, length, 1)


def _as_words(words: str | Sequence[str]) -> Sequence[str]:
    return [words] if isinstance(words, str) else words
