"""Warm starts: files and checkpoints are read whole or refused, and every row follows its word to the bit."""

import dataclasses
import functools
import json
import operator
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.training.test_checkpoints import CONFIG, Saved, newest, truncate_files, zipf_corpus
from w2v_jax.config import CheckpointConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.models.registry import named_model
from w2v_jax.params import Params, init_params
from w2v_jax.sampling.stream import stream
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.checkpoints import LOCK, VOCABULARY_FILE
from w2v_jax.training.loop import train
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import make_train_step
from w2v_jax.training.warm_start import grow, grow_state, load_checkpoint, load_warm_start
from w2v_jax.vectors.whitening import partial_whiten

KEY = jax.random.key(0)
SHORT = TrainConfig(dim=8, window=3, epochs=2, sample=0.0, batch_tokens=64, shared_negatives=16)
OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adagrad": lambda: optax.adagrad(0.1),
    "momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "wrapped adam": lambda: row_sparse(optax.adam(0.01)),  # type: ignore[dict-item]
    "bounded sgd": lambda: bounded_sgd(optax.linear_schedule(0.1, 0.01, 99)),
}


@pytest.fixture(scope="module")
def zipf() -> Corpus:
    return zipf_corpus(20_000)


@pytest.fixture(scope="module")
def trained(zipf: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A folder of checkpoints of Adagrad, and the trained vectors."""
    folder = tmp_path_factory.mktemp("saved")
    return folder, train(zipf, CONFIG, optimizer=optax.adagrad(0.05), checkpoints=CheckpointConfig(folder))


def letters(words: str) -> Vocabulary:
    return Vocabulary(tuple(words), np.arange(len(words), 0, -1))


def coded_tables(vocabulary: Vocabulary, dim: int = 3) -> Params:
    """Return tables in which every row encodes its word."""
    code = jnp.array([[ord(word)] * dim for word in vocabulary.words], jnp.float32)
    return Params(code, -code)


def fresh_tables(vocabulary: Vocabulary, dim: int = 3) -> Params:
    return init_params(jax.random.key(7), len(vocabulary), dim)


def three_steps(corpus: Corpus, optimizer: optax.GradientTransformation) -> Callable[[TrainState], TrainState]:
    step, blocks = make_train_step(named_model(SHORT, corpus.vocabulary), optimizer), stream(corpus, SHORT, blocks=1)
    three = [jax.tree.map(operator.itemgetter(0), next(blocks).blocks) for _ in range(3)]
    return lambda state: functools.reduce(lambda state, block: step(state, block)[0], three, state)


def test_a_checkpoint_holds_words_tables_and_optimizer(zipf: Corpus, trained: Saved) -> None:
    folder, vectors = trained
    state, vocabulary = load_checkpoint(folder)
    assert vocabulary.words == zipf.vocabulary.words
    np.testing.assert_array_equal(vocabulary.counts, zipf.vocabulary.counts)
    assert state.opt_state == ()
    assert {path.name for path in folder.iterdir() if not path.name.isdigit()} == {VOCABULARY_FILE, LOCK}
    np.testing.assert_array_equal(Params(**load_warm_start(folder).tables), vectors.params)
    assert not np.array_equal(state.tables.center, vectors.vectors)
    np.testing.assert_array_equal(partial_whiten(state.tables, 0.1), vectors.params)
    optimizer = optax.adagrad(0.05)
    with_optimizer, _ = load_checkpoint(folder, optimizer)
    squares = with_optimizer.opt_state[0].sum_of_squares  # type: ignore[index]
    assert (squares.center > 0.1).mean() > 0.9  # Adagrad begins at .1
    with pytest.raises(InputError, match=r"is of another optimizer; give the one it was trained with$"):
        load_checkpoint(folder, optax.adam(0.1))
    new = zipf_corpus(20_000, seed=1).vocabulary
    grown = grow_state(with_optimizer, vocabulary, new, optimizer, fresh_tables(new, CONFIG.dim))
    assert int(grown.step) == int(with_optimizer.step) > 0


def test_without_whitening_the_checkpoint_is_the_result(zipf: Corpus, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, whitening=0.0, epochs=1)
    vectors = train(zipf, config, checkpoints=CheckpointConfig(tmp_path))
    np.testing.assert_array_equal(Params(**load_warm_start(tmp_path).tables), vectors.params)
    np.testing.assert_array_equal(load_checkpoint(tmp_path)[0].tables, vectors.params)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_vectors_file_gives_the_tables_it_keeps(ending: str, trained: Saved, tmp_path: Path) -> None:
    vectors, keeps_both = trained[1], ending != "bin"
    vectors.save(tmp_path / f"v.{ending}")
    vocabulary, tables = load_warm_start(tmp_path / f"v.{ending}")
    assert vocabulary.words == vectors.words
    assert bool(vocabulary.counts.any()) == keeps_both
    assert set(tables) == ({"center", "outside"} if keeps_both else {"center"})
    np.testing.assert_array_equal(list(tables.values()), list(vectors.tables.values())[: len(tables)])


def test_unreadable_folders_are_refused_with_one_line(trained: Saved, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no checkpoint; name the folder that training was given"):
        load_warm_start(tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    with pytest.raises(InputError, match="nowhere: no such folder$"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere: no such folder, nor file$"):
        load_warm_start(tmp_path / "nowhere")
    folder = shutil.copytree(trained[0], tmp_path / "copy")
    words = folder / VOCABULARY_FILE
    about = json.loads(words.read_text())
    reversed_words = about | {"words": about["words"][::-1]}
    for damaged in ("", "{", "[]", '{"words": 3, "counts": 4}', '{"words": ["a"], "counts": []}',
                    '{"words": ["a"], "counts": [1e400]}', '{"words": ["a"], "counts": [99999999999999999999]}',
                    json.dumps(reversed_words)):  # fmt: skip
        words.write_text(damaged)
        with pytest.raises(InputError, match=rf"{VOCABULARY_FILE}: is damaged, or of other checkpoints; delete it"):
            load_warm_start(folder)
    words.unlink()
    with pytest.raises(InputError, match=rf"{VOCABULARY_FILE}: no such file; resume that training once \(--resume\)"):
        load_warm_start(folder)
    words.write_text(json.dumps(about))
    truncate_files(newest(folder) / "state")
    with pytest.raises(InputError, match="its newest checkpoint cannot be read; if it is one"):
        load_warm_start(folder)


@pytest.mark.parametrize("new", ["abc", "cab", "xbyazc", "b", "xyz"])
def test_rows_follow_their_words_and_new_words_get_fresh_rows(new: str) -> None:
    old, vocabulary = letters("abc"), letters(new)
    fresh = fresh_tables(vocabulary)
    grown = grow(coded_tables(old), old, vocabulary, fresh)
    is_known = np.array([[word in "abc"] for word in new])
    for table, expected, fresh_table in zip(grown, coded_tables(vocabulary), fresh, strict=True):
        np.testing.assert_array_equal(table, np.where(is_known, expected, fresh_table))


def test_growing_twice_equals_growing_once_and_absent_tables_are_fresh() -> None:
    first, second, third = letters("abc"), letters("dcabe"), letters("fbedagc")
    grown = grow({"center": coded_tables(first).center}, first, second, fresh_tables(second))
    grown = grow({"center": grown.center}, second, third, fresh_tables(third)._replace(outside=jnp.ones((7, 3))))
    known = [third[word] for word in "abc"]
    np.testing.assert_array_equal(np.asarray(grown.center)[known], np.asarray(coded_tables(third).center)[known])
    np.testing.assert_array_equal(grown.outside, np.ones((7, 3)))


def test_tables_must_fit_the_old_vocabulary() -> None:
    new = letters("abcd")
    with pytest.raises(InputError, match=r"^the center table has the shape \(3, 3\), and there are 2 words of 3 numb"):
        grow(coded_tables(letters("abc")), letters("ab"), new, fresh_tables(new))
    center, outside = coded_tables(letters("ab"))
    with pytest.raises(InputError, match=r"^the outside table has the shape \(2, 2\), and there are 2 words of 3 numb"):
        grow(Params(center, outside[:, :2]), letters("ab"), new, fresh_tables(new))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_rows_follow_their_words(name: str, corpus: Corpus) -> None:
    optimizer, old = OPTIMIZERS[name](), corpus.vocabulary
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer power
        fresh_state = init_state(named_model(SHORT, old), KEY, old, optimizer)
        state = three_steps(corpus, optimizer)(fresh_state)
    new = Vocabulary(("first", *reversed(old.words), "last"), np.arange(len(old) + 2, 0, -1))
    grown = grow_state(state, old, new, optimizer, fresh_tables(new, SHORT.dim))
    fresh = row_sparse(optimizer).init(grown.tables)
    chex.assert_trees_all_equal_shapes_and_dtypes(grown.opt_state, fresh)
    leaves = [jax.tree.leaves(tree) for tree in (grown.opt_state, state.opt_state, fresh)]
    for leaf, before, at_first in zip(*leaves, strict=True):
        if leaf.ndim:
            np.testing.assert_array_equal(leaf[1:-1], before[::-1])
            np.testing.assert_array_equal(leaf[jnp.array([0, -1])], at_first[jnp.array([0, -1])])
            assert (np.asarray(before) != np.asarray(at_first)[1:-1]).any()
        else:
            assert leaf == before
    assert int(grown.step) == int(state.step) == 3


@pytest.mark.parametrize("name", ["momentum", "bounded sgd"])
def test_growing_into_the_same_vocabulary_changes_no_bits(name: str, corpus: Corpus) -> None:
    optimizer, vocabulary = OPTIMIZERS[name](), corpus.vocabulary
    run, model = three_steps(corpus, optimizer), named_model(SHORT, vocabulary)
    fresh = lambda: init_state(model, KEY, vocabulary, optimizer)
    expected = run(run(fresh()))
    grown = run(grow_state(run(fresh()), vocabulary, vocabulary, optimizer, fresh_tables(vocabulary, SHORT.dim)))
    for tree, expected_tree in ((grown.tables, expected.tables), (grown.opt_state, expected.opt_state)):
        jax.tree.map(np.testing.assert_array_equal, tree, expected_tree)


def test_given_fresh_tables_equal_no_tables(corpus: Corpus) -> None:
    vocabulary = corpus.vocabulary
    tables = named_model(SHORT, vocabulary).init(jax.random.key(SHORT.seed), vocabulary)
    config = dataclasses.replace(SHORT, epochs=1)
    given, default = train(corpus, config, tables=tables), train(corpus, config)
    np.testing.assert_array_equal(given.params, default.params)
    assert not tables.center.is_deleted()  # the caller keeps them, whatever the loop donates
    others = train(corpus, config, tables=Params(tables.center + 1, tables.outside))
    assert (others.vectors != default.vectors).any()


def test_tables_of_another_shape_are_refused(corpus: Corpus) -> None:
    size = len(corpus.vocabulary)
    right, model = np.zeros((size, 8), np.float32), named_model(SHORT, corpus.vocabulary)
    for shape in ((size + 2, 9), (size + 3, 8), (size,)):
        wrong = np.zeros(shape, np.float32)
        for tables, name in ((Params(wrong, wrong), "center"), (Params(right, wrong), "outside")):
            message = f"the {name} table has the shape {shape}; this model and vocabulary need (12, 8)"
            with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
                init_state(model, KEY, corpus.vocabulary, optax.sgd(0.1), tables=tables)
    with pytest.raises(InputError, match=r"^the tables are center; this model has center, outside$"):
        init_state(model, KEY, corpus.vocabulary, optax.sgd(0.1), tables={"center": right})


def test_new_words_join_their_neighbors_and_absent_words_keep_their_rows(
    corpus: Corpus, groups: tuple[list[str], ...]
) -> None:
    config = dataclasses.replace(SHORT, dim=16, epochs=3, shared_negatives=32, lr=0.05, whitening=0.0)
    before = train(corpus, config)
    rng = np.random.default_rng(1)
    animals, metals = groups
    texts = [["sheep", *animals[1:], "the"], ["copper", *metals[1:], "the"]]
    more = Corpus.from_sentences([list(rng.choice(texts[i % 2], 8)) for i in range(2_000)], known=before.vocabulary)
    absent = {animals[0], metals[0], "a"}
    assert {word for word, n in zip(more.vocabulary.words, more.occurrences, strict=True) if n == 0} == absent
    tables = grow(before.params, before.vocabulary, more.vocabulary, fresh_tables(more.vocabulary, 16))
    after = train(more, config, tables=tables)
    for word in absent:
        np.testing.assert_array_equal(after[word], before[word])
    assert {word for word, _ in after.most_similar("sheep", topn=4)} <= set(animals)
    assert {word for word, _ in after.most_similar("copper", topn=4)} <= set(metals)
    assert after.vocabulary.counts[after.vocabulary["sheep"]] == more.occurrences[more.vocabulary["sheep"]]


def test_another_initialization_or_frozen_mask_is_another_training(corpus: Corpus, tmp_path: Path) -> None:
    config = dataclasses.replace(SHORT, epochs=1, whitening=0.0)
    checkpoints = CheckpointConfig(tmp_path, resume=True)
    tables = fresh_tables(corpus.vocabulary, config.dim)
    first = train(corpus, config, tables=tables, checkpoints=checkpoints)
    again = train(corpus, config, tables=tables, checkpoints=checkpoints)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    nudged = Params(tables.center.at[3, 3].add(1e-3), tables.outside)
    for other in (nudged, None):
        with pytest.raises(InputError, match=r"is of another training: the initialization differs;"):
            train(corpus, config, tables=other, checkpoints=checkpoints)
    mask = np.arange(len(corpus.vocabulary)) < 3
    with pytest.raises(InputError, match=r"is of another training: the frozen mask differs;"):
        train(corpus, config, tables=tables, frozen=Params(mask, mask), checkpoints=checkpoints)
