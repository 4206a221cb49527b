"""Training as a whole: it learns, repeats itself to the bit, reports honestly, and stops when it must."""

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop
from w2v_jax.training.loop import default_optimizer, make_held_out_loss, train
from w2v_jax.training.reports import Report, Tally
from w2v_jax.training.state import init_state
from w2v_jax.training.step import make_gradients, make_train_step
from w2v_jax.training.stream import stream
from w2v_jax.vectors.balanced import evened
from w2v_jax.vectors.pictures.layout import principal_axes

CONFIG = TrainConfig(dim=16, window=3, epochs=3, sample=0.0, block=64, noise=32, lr=0.05)


@pytest.mark.parametrize(
    ("objective", "optimizer"),
    [("negative-sampling", None), ("naive-softmax", None), ("negative-sampling", optax.adagrad(0.1)),
     ("naive-softmax", optax.sgd(optax.linear_schedule(0.01, 0.001, 5_000), momentum=0.5))],
)  # fmt: skip
def test_words_that_occur_together_end_together(
    objective: str, optimizer: optax.GradientTransformation | None, corpus: Corpus, groups: tuple[list[str], ...]
) -> None:
    config = TrainConfig(**{**CONFIG.__dict__, "objective": objective})
    reports: list[Report] = []
    vectors = train(corpus, config, optimizer=optimizer, callbacks=[lambda report, params: reports.append(report)])
    for group in groups:
        near = [word for word, _ in vectors.most_similar(group[0], topn=4)]
        assert set(near) <= set(group)
    assert reports[-1].words == 3 * len(corpus.ids)
    assert reports[-1].loss < reports[0].loss
    assert vectors.params is not None
    np.testing.assert_array_equal(vectors.vectors, vectors.params.center)


def test_naive_softmax_ends_below_the_unigram_entropy(corpus: Corpus) -> None:
    config = TrainConfig(**{**CONFIG.__dict__, "objective": "naive-softmax", "held_out": 0.2})
    reports: list[Report] = []
    train(corpus, config, callbacks=[lambda report, params: reports.append(report)])
    share = corpus.vocabulary.counts / corpus.vocabulary.counts.sum()
    entropy = -(share * np.log(share)).sum()
    best = 0.5 * np.log(7) + 0.5 * np.log(7)  # the true model's: one of seven words
    assert best - 0.01 < reports[-1].loss < entropy - 0.1
    held_out = reports[-1].held_out_loss
    assert held_out is not None
    assert best - 0.01 < held_out < entropy - 0.1


def test_the_same_seed_gives_the_same_bits_in_another_process() -> None:
    program = (
        "import hashlib, w2v_jax as w2v; "
        "corpus = w2v.Corpus.from_sentences([['w' + str(i * j % 17) for j in range(9)] for i in range(400)]); "
        "vectors = w2v.train(corpus, w2v.TrainConfig(dim=8, seed={seed}, block=64)); "
        "print(hashlib.sha256(b''.join(table.tobytes() for table in vectors.params)).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program.format(seed=seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed, hash_seed in (("5", "1"), ("5", "2"), ("6", "1"))
    ]  # fmt: skip
    assert len(digests[0]) == len(hashlib.sha256().hexdigest()) + 1
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_loop_of_ones_own_gives_the_same_vectors(corpus: Corpus) -> None:
    optimizer = default_optimizer(corpus, CONFIG)
    state = init_state(CONFIG, corpus.vocabulary, optimizer)
    step = make_train_step(CONFIG, corpus.vocabulary, optimizer)
    for some in stream(corpus, CONFIG, blocks=1):
        state, _ = step(state, jax.tree.map(lambda part: part[0], some.blocks))
    # Not to the bit: XLA may fuse a step otherwise when it stands in a scan.
    np.testing.assert_allclose(evened(state.params).center, train(corpus, CONFIG).vectors, rtol=1e-3, atol=1e-4)


def test_held_out_loss_is_the_same_at_every_call_and_moves_nothing(corpus: Corpus) -> None:
    config = TrainConfig(**{**CONFIG.__dict__, "held_out": 0.1})
    state = init_state(config, corpus.vocabulary, optax.sgd(0.1))
    before = np.array(state.params.center)
    held_out_loss = make_held_out_loss(corpus, config)
    assert held_out_loss(state.params) == held_out_loss(state.params)
    np.testing.assert_array_equal(state.params.center, before)
    # With every outside vector zero, each of a target's 1 + 5 predictions costs log 2.
    np.testing.assert_allclose(held_out_loss(state.params), 6 * np.log(2), rtol=1e-5)


def test_a_loss_that_is_no_number_stops_training(corpus: Corpus) -> None:
    with pytest.raises(FloatingPointError, match=r"^the loss is (nan|inf) by step [\d,]+; lower the learning rate$"):
        train(corpus, CONFIG, optimizer=optax.sgd(1e30))


@pytest.mark.parametrize(
    ("sentences", "message"),
    [([["only"] * 9], "training needs two words or more"), ([["a"], ["b"]] * 5, "no word has another beside it")],
)
def test_nothing_to_learn(sentences: list[list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(Corpus.from_sentences(sentences, TextConfig(min_count=1)), TrainConfig(dim=4))


def test_each_report_is_of_its_own_stretch_and_its_own_parameters(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    seen: list[tuple[Report, Params]] = []

    def look(report: Report, params: Params) -> None:
        seen.append((report, jax.tree.map(jnp.copy, params)))

    vectors = train(corpus, CONFIG, callbacks=[look])
    assert len(seen) > 5
    np.testing.assert_array_equal(evened(seen[-1][1]).center, vectors.vectors)
    assert {report.epoch for report, _ in seen} >= {3.0}

    optimizer = default_optimizer(corpus, CONFIG)
    state = init_state(CONFIG, corpus.vocabulary, optimizer)
    step = make_train_step(CONFIG, corpus.vocabulary, optimizer)
    metrics = []
    for some in itertools.islice(stream(corpus, CONFIG, blocks=1), 2 * loop.DISPATCH):
        state, metric = step(state, jax.tree.map(lambda part: part[0], some.blocks))
        metrics.append(metric)
        if len(metrics) == loop.DISPATCH:
            np.testing.assert_allclose(state.params.center, seen[0][1].center, rtol=1e-3, atol=1e-4)
    assert (seen[0][0].step, seen[1][0].step) == (loop.DISPATCH, 2 * loop.DISPATCH)
    for (report, _), part in zip(seen[:2], (metrics[: loop.DISPATCH], metrics[loop.DISPATCH :]), strict=True):
        assert report.targets == pytest.approx(sum(float(metric.targets) for metric in part), rel=1e-6)
        assert report.loss == pytest.approx(sum(float(metric.loss) for metric in part) / report.targets, rel=1e-4)


def test_held_out_loss_is_of_the_held_out_text() -> None:
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([list(rng.choice([f"w{i}" for i in range(50)], 6_000))])
    config = TrainConfig(dim=4, held_out=0.3, block=64, sample=0.0)
    params = Params(*(jnp.asarray(rng.normal(size=(50, 4)), jnp.float32) for _ in range(2)))
    gradients = make_gradients(config, corpus.vocabulary)
    tally = Tally()
    for i, some in enumerate(stream(corpus, config, blocks=1, held_out=True)):
        tally = tally.add(
            gradients(params, jax.tree.map(lambda part: jnp.asarray(part[0]), some.blocks), jnp.int32(i))[0]
        )
    assert make_held_out_loss(corpus, config)(params) == pytest.approx(tally.mean, rel=1e-5)


@pytest.mark.parametrize("objective", ["naive-softmax", "negative-sampling"])
def test_the_two_factions_of_the_karate_club_separate(objective: str, data: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(data / "sequences" / "karate_walks.txt", TextConfig(min_count=1), cache=tmp_path)
    config = TrainConfig(objective=objective, dim=2, window=3, sample=0.0, epochs=3)  # type: ignore[arg-type]
    vectors = train(corpus, config)
    lines = (data / "sequences" / "karate_labels.tsv").read_text().splitlines()
    factions = dict(line.split("\t")[:2] for line in lines if not line.startswith("#"))
    members = [word for word in vectors.words if word in factions]
    assert len(members) == 34
    side = (
        principal_axes(np.stack([np.asarray(vectors.unit[vectors.vocabulary[word]]) for word in members]), 1)[:, 0] > 0
    )
    first = np.array([factions[word] == factions[members[0]] for word in members])
    agree = (side == first).mean()
    assert (
        max(agree, 1 - agree) >= 33 / 34
    )  # the ninth member went with one side by interest, not by friendship (Zachary, 1977)
