"""A model of one's own, with a table whose rows are not words, has all that training offers."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from experiments.own_model import NEGATIVE, OFFSETS, WINDOW, K, position_skipgram
from tests.training.test_checkpoints import Saved, stop_at
from w2v_jax.config import TILE, CheckpointConfig, TrainConfig
from w2v_jax.errors import InputError, TrainingInterrupted
from w2v_jax.models.model import Aux, Batch, Model
from w2v_jax.params import Params
from w2v_jax.sampling.noise import noise_table
from w2v_jax.sampling.windows import Block, center_slots
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training.loop import train
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.training.warm_start import grow, grow_state, load_checkpoint, load_warm_start
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.whitening import partial_whiten

DIM = 8
CONFIG = TrainConfig(dim=DIM, window=WINDOW, sample=0.0, epochs=1, batch_tokens=64)
OPTIMIZER = optax.adagrad(0.1)
KEY = jax.random.key(3)


def positional_skipgram(vocabulary: Vocabulary) -> Model:
    """Score negatives at every position too: else positions turn negative where, as here, all words are negatives."""
    model = position_skipgram(noise_table(vocabulary.counts), dim=DIM)

    def loss(rows: dict[str, Array], batch: Batch) -> tuple[Array, Aux]:
        slots, lines = WINDOW + np.arange(TILE)[:, None] + OFFSETS, batch.inputs.lines
        is_pair = (lines[:, slots] == center_slots(lines, WINDOW)[..., None]) & (lines[:, slots] >= 0)
        query = jnp.einsum("gsd,kd->gskd", rows["center"], rows["position"])
        positive = (query * rows["outside"][:, slots]).sum(-1)
        negative = jnp.einsum("gskd,gnd->gskn", query, rows["outside"][:, -K:])
        each = jax.nn.softplus(-positive) + NEGATIVE / K * jax.nn.softplus(negative).sum(-1)
        return jnp.where(is_pair, each, 0).sum(), Aux(is_pair.sum(dtype=each.dtype))

    # In another order than that of their names, in which JAX has the leaves of a dict.
    init = lambda key, vocabulary: dict(reversed(model.init(key, vocabulary).items()))
    return Model(init, model.batch, loss, lambda tables, counts: tables["center"] * tables["position"].mean(0)[None])


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("saved")
    return folder, train_positional(corpus, checkpoints=CheckpointConfig(folder))


def train_positional(corpus: Corpus, config: TrainConfig = CONFIG, **options: Any) -> KeyedVectors:
    return train(corpus, config, model=positional_skipgram(corpus.vocabulary), optimizer=OPTIMIZER, **options)


def assert_tables_equal(tables: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(tables) == set(expected) == {"center", "outside", "position"}
    for name, table in expected.items():
        np.testing.assert_array_equal(tables[name], table)


def test_it_learns_and_its_tables_are_exported(trained: Saved, groups: tuple[list[str], ...]) -> None:
    vectors = trained[1]
    for group in groups:
        assert {word for word, _ in vectors.most_similar(group[0], topn=4)} == set(group[1:])
    shapes = {name: table.shape for name, table in vectors.tables.items()}
    assert shapes == {"center": (12, DIM), "outside": (12, DIM), "position": (len(OFFSETS), DIM)}
    position = np.asarray(vectors.tables["position"])
    np.testing.assert_allclose(vectors.vectors, vectors.tables["center"] * position.mean(0)[None], rtol=1e-6)
    assert (np.abs(position - 1) > 0.01).any(1).all()


class PositionTables(NamedTuple):
    outside: Array
    center: Array
    position: Array


def test_checkpoints_of_a_named_tuple_of_tables_load_with_their_optimizer(corpus: Corpus, tmp_path: Path) -> None:
    in_dict = positional_skipgram(corpus.vocabulary)

    def batch(block: Block, keys: Array) -> Batch:
        ids, lines = in_dict.batch(block, keys)
        return Batch(PositionTables(**ids), lines)

    model = Model(
        lambda key, vocabulary: PositionTables(**in_dict.init(key, vocabulary)), batch,
        lambda rows, batch: in_dict.loss(rows._asdict(), batch),
        lambda tables, counts: in_dict.vectors(tables._asdict(), counts),
    )  # fmt: skip
    vectors: Any = train(corpus, CONFIG, model=model, optimizer=OPTIMIZER, checkpoints=CheckpointConfig(tmp_path))
    state, _ = load_checkpoint(tmp_path, OPTIMIZER)
    assert_tables_equal(state.tables, vectors.params._asdict())
    assert jax.tree.map(jnp.shape, state.opt_state[0].sum_of_squares) == jax.tree.map(jnp.shape, state.tables)
    with pytest.raises(InputError, match="another optimizer"):
        load_checkpoint(tmp_path, optax.adam(0.1))


def test_its_checkpoint_and_vectors_file_load(corpus: Corpus, trained: Saved, tmp_path: Path) -> None:
    state, vocabulary = load_checkpoint(trained[0], OPTIMIZER)
    assert vocabulary.words == corpus.vocabulary.words
    assert_tables_equal(state.tables, trained[1].params)
    assert_tables_equal(load_warm_start(trained[0]).tables, trained[1].params)
    trained[1].save(tmp_path / "v.safetensors")
    assert_tables_equal(load_warm_start(tmp_path / "v.safetensors").tables, trained[1].params)


def test_growth_moves_the_rows_of_words_and_keeps_the_others(trained: Saved) -> None:
    state, old = load_checkpoint(trained[0], OPTIMIZER)
    new = Vocabulary(("first", *reversed(old.words), "last"), np.arange(len(old) + 2, 0, -1))
    fresh = positional_skipgram(new).init(KEY, new)
    grown = grow_state(state, old, new, OPTIMIZER, fresh)
    assert_tables_equal(grown.tables, grow(state.tables, old, new, fresh))
    fresh_squares = row_sparse(OPTIMIZER).init(fresh)[0].sum_of_squares  # type: ignore[index]
    for tables, before, at_first in (
        (grown.tables, state.tables, fresh),
        (grown.opt_state[0].sum_of_squares, state.opt_state[0].sum_of_squares, fresh_squares),  # type: ignore[index]
    ):
        np.testing.assert_array_equal(tables["position"], before["position"])
        for name in ("center", "outside"):
            np.testing.assert_array_equal(tables[name][1:-1], before[name][::-1])
            np.testing.assert_array_equal(tables[name][jnp.array([0, -1])], at_first[name][jnp.array([0, -1])])


def test_it_trains_from_grown_tables_with_frozen_rows_and_resumes_with_the_same_bits(
    corpus: Corpus, trained: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", 10**9)
    old, sentences = corpus.vocabulary, [["sheep", "cat", "dog"] * 2] * 2_000
    more = Corpus.from_sentences(sentences, known=old)
    fresh = positional_skipgram(more.vocabulary).init(KEY, more.vocabulary)
    tables = grow(trained[1].params, old, more.vocabulary, fresh)
    is_known = np.array([word in old for word in more.vocabulary.words])
    frozen = {"center": is_known, "outside": ~is_known, "position": np.arange(len(OFFSETS)) < 2}
    after = train_positional(more, tables=tables, frozen=frozen).tables
    is_used = {"center": more.occurrences > 0, "outside": more.occurrences > 0, "position": np.ones(len(OFFSETS), bool)}
    for name, mask in frozen.items():
        is_same = (np.asarray(after[name]) == np.asarray(tables[name])).all(1)
        assert is_same[mask].all()
        assert not is_same[~mask & is_used[name]].any()
    options = {"tables": tables, "frozen": frozen, "checkpoints": CheckpointConfig(tmp_path, resume=True)}
    with pytest.raises(TrainingInterrupted):
        train_positional(more, **options, callbacks=[stop_at(128)])
    assert_tables_equal(train_positional(more, **options).params, after)


def test_whitening_transforms_center_and_outside_alone(corpus: Corpus, trained: Saved) -> None:
    tables = trained[1].tables
    whitened = train_positional(corpus, dataclasses.replace(CONFIG, whitening=0.1)).params
    expected = partial_whiten(Params(jnp.copy(tables["center"]), jnp.copy(tables["outside"])), 0.1)
    assert_tables_equal(whitened, {**expected._asdict(), "position": tables["position"]})


def test_whitening_needs_center_and_outside_tables(corpus: Corpus) -> None:
    other = positional_skipgram(corpus.vocabulary)._replace(init=lambda *_: {"input": jnp.zeros((12, DIM))})
    message = "^whitening is 0.2, which transforms tables named center and outside; this model has input: leave it out$"
    with pytest.raises(InputError, match=message):
        train(corpus, dataclasses.replace(CONFIG, whitening=0.2), model=other, optimizer=OPTIMIZER)


def test_a_model_without_curvature_needs_another_optimizer_than_the_default(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"^bounded_sgd needs a model that bounds its curvature; give") as error:
        train(corpus, CONFIG, model=positional_skipgram(corpus.vocabulary))
    assert "\n" not in str(error.value)
