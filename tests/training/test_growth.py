"""Growth: every row follows its word, to the bit, and training goes on from there."""

import itertools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.params import Params, init_params
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training.evaluate_every import EvaluateEvery
from w2v_jax.training.growth import grow, grow_state
from w2v_jax.training.loop import train
from w2v_jax.training.rows import row_sparse
from w2v_jax.training.sgd import bounded_sgd
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import make_train_step
from w2v_jax.training.stream import stream
from w2v_jax.vectors.balanced import evened

CONFIG = TrainConfig(dim=8, window=3, epochs=2, sample=0.0, block=64, noise=16)
KEY = jax.random.key(7)
OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adagrad": lambda: optax.adagrad(0.1),
    "momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "adam, wrapped": lambda: row_sparse(optax.adam(0.01)),
    "the default": lambda: bounded_sgd(optax.linear_schedule(0.1, 0.01, 99)),
}


def vocabulary(words: str) -> Vocabulary:
    return Vocabulary(tuple(words), np.arange(len(words), 0, -1))


def tables(vocabulary: Vocabulary, dim: int = 3) -> Params:
    """In which every row tells its word."""
    code = jnp.array([[ord(word)] * dim for word in vocabulary.words], jnp.float32)
    return Params(code, -code)


def trainer(corpus: Corpus, optimizer: optax.GradientTransformation) -> Callable[[TrainState], TrainState]:
    """A few steps on."""
    step = make_train_step(CONFIG, corpus.vocabulary, optimizer)

    def on(state: TrainState) -> TrainState:
        for some in itertools.islice(stream(corpus, CONFIG, blocks=1), 3):
            state, _ = step(state, jax.tree.map(lambda part: part[0], some.blocks))
        return state

    return on


@pytest.mark.parametrize("new", ["abc", "cab", "xbyazc", "b", "xyz"])
def test_rows_follow_their_words_and_new_words_get_fresh_ones(new: str) -> None:
    old, words = vocabulary("abc"), vocabulary(new)
    grown, fresh = grow(tables(old), old, words, KEY), init_params(KEY, len(words), 3)
    for table, expected, fresh_table in zip(grown, tables(words), fresh, strict=True):
        for i, word in enumerate(new):
            np.testing.assert_array_equal(table[i], expected[i] if word in "abc" else fresh_table[i])


def test_growing_twice_is_growing_once() -> None:
    first, second, third = vocabulary("abc"), vocabulary("dcabe"), vocabulary("fbedagc")
    grown = grow(grow(tables(first), first, second, KEY), second, third, KEY)
    known = [third[word] for word in "abc"]
    for table, expected in zip(grown, tables(third), strict=True):
        assert table.shape == (7, 3)
        np.testing.assert_array_equal(np.asarray(table)[known], np.asarray(expected)[known])


def test_tables_and_vocabulary_must_belong_together() -> None:
    with pytest.raises(InputError, match=r"^the center table has the shape \(3, 3\), and there are 2 words; give"):
        grow(tables(vocabulary("abc")), vocabulary("ab"), vocabulary("abcd"), KEY)
    center, outside = tables(vocabulary("ab"))
    with pytest.raises(InputError, match=r"^the outside table has the shape \(2, 2\), and there are 2 words"):
        grow(Params(center, outside[:, :2]), vocabulary("ab"), vocabulary("abc"), KEY)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizers_rows_follow_their_words(
    make: Callable[[], optax.GradientTransformation], corpus: Corpus
) -> None:
    optimizer, old = make(), corpus.vocabulary
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
        state = trainer(corpus, optimizer)(init_state(CONFIG, old, optimizer))
    new = Vocabulary(("first", *reversed(old.words), "last"), np.arange(len(old) + 2, 0, -1))
    grown = grow_state(state, old, new, optimizer, KEY)
    fresh = optimizer.init(grown.params)
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


@pytest.mark.parametrize("make", [OPTIMIZERS["momentum"], OPTIMIZERS["the default"]], ids=["momentum", "the default"])
def test_grown_into_the_same_vocabulary_training_goes_on_to_the_bit(
    make: Callable[[], optax.GradientTransformation], corpus: Corpus
) -> None:
    optimizer = make()
    on = trainer(corpus, optimizer)
    fresh = lambda: init_state(CONFIG, corpus.vocabulary, optimizer)
    plain = on(on(fresh()))
    grown = grow_state(on(fresh()), corpus.vocabulary, corpus.vocabulary, optimizer, KEY)
    jax.tree.map(np.testing.assert_array_equal, plain, on(grown))


def test_state_that_is_no_rows_is_refused(corpus: Corpus) -> None:
    big = Vocabulary(tuple(f"w{i}" for i in range(300)), np.ones(300))
    params = init_params(KEY, 300, 200)
    optimizer = optax.adafactor(0.1)
    state = TrainState(params, optimizer.init(params), jnp.int32(0))
    with pytest.raises(InputError, match="this optimizer keeps other state"):
        grow_state(state, big, big, optimizer, KEY)


# In the loop


def test_from_given_tables_training_is_that_of_a_state_with_them(corpus: Corpus) -> None:
    params = init_params(jax.random.key(CONFIG.seed), len(corpus.vocabulary), CONFIG.dim)
    from_given, as_always = train(corpus, CONFIG, params=params), train(corpus, CONFIG)
    assert from_given.params is not None
    np.testing.assert_array_equal(evened(from_given.params), as_always.params)
    assert not params.center.is_deleted()  # the caller's, whatever the loop donates
    elsewhere = train(corpus, CONFIG, params=Params(params.center + 1, params.outside))
    assert (elsewhere.vectors != as_always.vectors).any()


@pytest.mark.parametrize("given", [False, True])
def test_vectors_measured_on_the_way_are_as_those_in_the_end(given: bool, corpus: Corpus) -> None:
    params = init_params(KEY, len(corpus.vocabulary), CONFIG.dim) if given else None
    rising = itertools.count()  # the last is the best
    measured = EvaluateEvery(1, lambda _: next(rising), corpus.vocabulary, None if given else CONFIG.objective)
    vectors = train(corpus, CONFIG, params=params, callbacks=[measured])
    assert measured.best is not None
    np.testing.assert_array_equal(measured.best.params, vectors.params)


@pytest.mark.parametrize("shape", [(14, 9), (15, 8), (14,)])
def test_tables_of_another_size_are_refused(shape: tuple[int, ...], corpus: Corpus) -> None:
    wrong = np.zeros(shape, np.float32)
    right = np.zeros((len(corpus.vocabulary), 8), np.float32)
    for params in (Params(wrong, wrong), Params(right, wrong)):
        with pytest.raises(InputError, match=r"^params have the shapes .*; 12 words and dim 8 need \(12, 8\) twice$"):
            init_state(CONFIG, corpus.vocabulary, optax.sgd(0.1), params)


@pytest.mark.parametrize("objective", ["softmax-counts", "ppmi-svd"])
def test_training_on_counts_starts_from_the_counts(objective: str, corpus: Corpus) -> None:
    params = init_params(KEY, len(corpus.vocabulary), 8)
    with pytest.raises(
        InputError, match=f"^{objective} starts from the counts themselves, .* takes no earlier vectors"
    ):
        train(corpus, TrainConfig(dim=8, objective=objective), params=params)


def test_new_words_find_their_place_among_the_old(corpus: Corpus, groups: tuple[list[str], ...]) -> None:
    """And words that the new text has not keep their center vectors."""
    config = TrainConfig(dim=16, window=3, epochs=3, sample=0.0, block=64, noise=32, lr=0.05)
    before = train(corpus, config)
    rng = np.random.default_rng(1)
    animals, metals = groups
    texts = [["sheep", *animals[1:], "the"], ["copper", *metals[1:], "the"]]
    more = Corpus.from_sentences(
        [list(rng.choice(texts[i % 2], 8)) for i in range(2_000)], TextConfig(), known=before.vocabulary
    )
    absent = {animals[0], metals[0], "a"}
    assert {word for word, n in zip(more.vocabulary.words, more.occurrences, strict=True) if not n} == absent
    params = grow(before.params, before.vocabulary, more.vocabulary, KEY)
    after = train(more, config, params=params)
    for word in absent:
        np.testing.assert_array_equal(after[word], before[word])
    assert {word for word, _ in after.most_similar("sheep", topn=4)} <= set(animals)
    assert {word for word, _ in after.most_similar("copper", topn=4)} <= set(metals)
    assert after.vocabulary.counts[after.vocabulary["sheep"]] == more.occurrences[more.vocabulary["sheep"]]
