"""Training as a whole: it learns, repeats itself to the bit, freezes rows, and stops where it must."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.models.registry import named_model
from w2v_jax.params import Params, init_params
from w2v_jax.sampling.stream import stream
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.loop import default_optimizer, make_held_out_loss, train
from w2v_jax.training.reports import Report, RunningMean
from w2v_jax.training.state import init_state
from w2v_jax.training.step import make_loss, make_train_step
from w2v_jax.vectors.plots.layout import principal_axes
from w2v_jax.vectors.whitening import partial_whiten

CONFIG = TrainConfig(dim=16, window=3, epochs=3, sample=0.0, batch_tokens=64, shared_negatives=32, lr=0.05)
KEY = jax.random.key(0)
MOMENTUM = optax.sgd(optax.linear_schedule(0.01, 0.001, 5_000), momentum=0.5)


@pytest.mark.parametrize(
    ("objective", "optimizer"),
    [("negative-sampling", None), ("negative-sampling", optax.adagrad(0.1)), ("naive-softmax", MOMENTUM)],
)
def test_words_of_one_context_become_neighbors(
    objective: str, optimizer: Any, corpus: Corpus, groups: tuple[list[str], ...]
) -> None:
    config, reports = dataclasses.replace(CONFIG, objective=objective), list[Report]()
    vectors = train(corpus, config, optimizer=optimizer, callbacks=[lambda report, _: reports.append(report)])
    for group in groups:
        assert {word for word, _ in vectors.most_similar(group[0], topn=4)} <= set(group)
    assert reports[-1].words == CONFIG.epochs * len(corpus.ids)
    assert reports[-1].loss < reports[0].loss
    np.testing.assert_array_equal(vectors.vectors, vectors.tables["center"])


def test_naive_softmax_ends_below_the_unigram_entropy(corpus: Corpus) -> None:
    config, reports = dataclasses.replace(CONFIG, objective="naive-softmax", held_out=0.2), list[Report]()
    train(corpus, config, callbacks=[lambda report, _: reports.append(report)])
    share = corpus.vocabulary.counts / corpus.vocabulary.counts.sum()
    entropy = -(share * np.log(share)).sum()
    true_loss = np.log(7)  # of the distribution that made the text, which draws one of seven words
    for loss in (reports[-1].loss, reports[-1].held_out_loss):
        assert true_loss - 0.01 < loss < entropy - 0.1


def test_vocabulary_and_vectors_have_the_same_bits_whatever_the_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("\n".join(" ".join(f"w{i * j % 17}" for j in range(9)) for i in range(400)))
    program = (
        "import hashlib, os, w2v_jax as w2v; "
        "corpus = w2v.Corpus.from_file('text', cache=os.environ['PYTHONHASHSEED']); "
        "vectors = w2v.train(corpus, w2v.TrainConfig(dim=8, epochs=1, batch_tokens=64)); "
        "print(vectors.words, hashlib.sha256(b''.join(table.tobytes() for table in vectors.params)).hexdigest())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
        )
        for hash_seed in ("1", "2")
    ]  # fmt: skip
    first, again = (child.communicate()[0] for child in children)
    assert first == again != ""


def test_held_out_loss_is_of_the_held_out_text_and_repeats() -> None:
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([list(rng.choice([f"w{i}" for i in range(50)], 6_000))])
    config = TrainConfig(dim=4, held_out=0.3, batch_tokens=64, sample=0.0)
    tables = Params(*(jnp.asarray(rng.normal(size=(50, 4)), jnp.float32) for _ in range(2)))
    model, running = named_model(config, corpus.vocabulary), RunningMean()
    held_out_loss, loss = make_held_out_loss(model, corpus, config, KEY), jax.jit(make_loss(model))
    for i, dispatch in enumerate(stream(corpus, config, blocks=1, held_out=True)):
        block = jax.tree.map(lambda blocks: jnp.asarray(blocks[0]), dispatch.blocks)
        running = running.add(loss(tables, block, jax.random.fold_in(KEY, jnp.int32(i))))
    first, before = held_out_loss(tables), np.array(tables.center)
    assert first == pytest.approx(running.mean, rel=1e-5)
    assert held_out_loss(tables) == first
    np.testing.assert_array_equal(tables.center, before)
    # With every outside vector zero, each of a target's 1 + 5 predictions costs log 2.
    zeros = tables._replace(outside=jnp.zeros((50, 4)))
    assert held_out_loss(zeros) == pytest.approx(6 * np.log(2), rel=1e-5)


@pytest.mark.parametrize("objective", ["naive-softmax", "negative-sampling"])
def test_the_two_factions_of_the_karate_club_separate(objective: str, data: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(data / "sequences" / "karate_walks.txt", TextConfig(min_count=1), cache=tmp_path)
    vectors = train(corpus, TrainConfig(objective=objective, dim=2, window=3, sample=0.0, epochs=3))
    lines = (data / "sequences" / "karate_labels.tsv").read_text().splitlines()
    factions = dict(line.split("\t")[:2] for line in lines if not line.startswith("#"))
    members = [word for word in vectors.words if word in factions]
    assert len(members) == 34
    unit = np.stack([np.asarray(vectors.unit[vectors.vocabulary[word]]) for word in members])
    is_first_faction = np.array([factions[word] == factions[members[0]] for word in members])
    agree = ((principal_axes(unit, 1)[:, 0] > 0) == is_first_faction).mean()
    # The ninth member went with one side by interest, not by friendship (Zachary, 1977).
    assert max(agree, 1 - agree) >= 33 / 34


def test_whitening_is_the_models_or_the_configs(corpus: Corpus) -> None:
    config = dataclasses.replace(CONFIG, epochs=1)
    default, raw, strong = (
        train(corpus, config if power is None else dataclasses.replace(config, whitening=power)).params
        for power in (None, 0.0, 0.3)
    )
    for tables, power in ((default, 0.1), (strong, 0.3)):
        copy = jax.tree.map(jnp.copy, raw)  # `partial_whiten` takes the buffers
        np.testing.assert_array_equal(tables, partial_whiten(copy, power))
        assert np.abs(np.subtract(raw, tables)).max() > 0.01


DECAY = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.001, momentum=0.9))


@pytest.mark.parametrize(("objective", "optimizer"), [("negative-sampling", None), ("softmax", DECAY)])
def test_training_keeps_frozen_rows(objective: str, optimizer: Any, corpus: Corpus) -> None:
    size = len(corpus.vocabulary)
    config = dataclasses.replace(CONFIG, epochs=1, objective=objective, whitening=0.0)
    tables = Params(*(init_params(jax.random.key(seed), size, 16).center for seed in range(2)))
    frozen = Params(np.arange(size) % 2 == 0, np.arange(size) < 3)
    trained = train(corpus, config, optimizer=optimizer, tables=tables, frozen=frozen).params
    for mask, table, before in zip(frozen, trained, tables, strict=True):
        np.testing.assert_array_equal((np.asarray(table) == np.asarray(before)).all(1), mask)


def test_frozen_needs_tables_and_masks_of_their_size(corpus: Corpus) -> None:
    masks = Params(np.ones(12, bool), np.ones(3, bool))
    with pytest.raises(InputError, match=r"^frozen keeps rows of `tables` as they are; give those tables$"):
        train(corpus, CONFIG, frozen=masks)
    with pytest.raises(InputError, match=r"^the outside frozen mask has the shape \(3,\); .* need \(12,\)$"):
        train(corpus, CONFIG, tables=init_params(KEY, 12, 16), frozen=masks)


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax", "softmax"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_a_step_keeps_the_type_of_the_tables(dtype: str, objective: str) -> None:
    corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 30)
    config = TrainConfig(dim=4, window=2, sample=0.0, batch_tokens=64, objective=objective)
    vocabulary = corpus.vocabulary
    with jax.enable_x64(dtype == "float64"):
        model = named_model(config, vocabulary)
        tables = jax.tree.map(lambda table: table.astype(dtype), model.init(KEY, vocabulary))
        block = jax.tree.map(lambda blocks: jnp.asarray(blocks[0]), next(stream(corpus, config, blocks=1)).blocks)
        for optimizer in (default_optimizer(corpus, config), optax.adagrad(0.1)):
            state = init_state(model, KEY, vocabulary, optimizer, tables=tables)
            types = jax.tree.map(lambda leaf: leaf.dtype, state)
            step = make_train_step(model, optimizer)
            for _ in range(2):
                state, metrics = step(state, block)
            assert jax.tree.map(lambda leaf: leaf.dtype, state) == types
            assert np.isfinite(metrics.loss)
            assert all((table != before).any() for table, before in zip(state.tables, tables, strict=True))
