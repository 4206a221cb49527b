"""Where training starts from: files and folders of checkpoints, read whole or refused with one line."""

import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from tests.training.test_checkpoints import CONFIG, corpus_of, stop_at
from w2v_jax.config import CheckpointConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError, Stopped
from w2v_jax.params import Params, init_params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.checkpoints import LOCK, VOCABULARY
from w2v_jax.training.freezing import Frozen
from w2v_jax.training.growth import grow, grow_state
from w2v_jax.training.loop import train
from w2v_jax.training.start import load_checkpoint, load_start
from w2v_jax.vectors.balanced import evened
from w2v_jax.vectors.keyed_vectors import KeyedVectors

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(20_000)


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KeyedVectors]:
    """A folder of checkpoints, by adagrad, and what was trained."""
    folder = tmp_path_factory.mktemp("saved")
    return folder, train(corpus, CONFIG, optimizer=optax.adagrad(0.05), checkpoints=CheckpointConfig(folder))


@pytest.fixture
def folder(trained: tuple[Path, KeyedVectors], tmp_path: Path) -> Path:
    """A copy of it to damage."""
    copy = tmp_path / "copy"
    for path in trained[0].rglob("*"):
        if path.is_file():
            (copy / path.relative_to(trained[0])).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(trained[0])).write_bytes(path.read_bytes())
    return copy


def test_a_checkpoint_holds_words_tables_and_optimizer(corpus: Corpus, trained: tuple[Path, KeyedVectors]) -> None:
    folder, vectors = trained
    state, vocabulary = load_checkpoint(folder)
    assert vocabulary.words == corpus.vocabulary.words
    np.testing.assert_array_equal(vocabulary.counts, corpus.vocabulary.counts)
    np.testing.assert_array_equal(load_start(folder).params, vectors.params)
    np.testing.assert_array_equal(evened(state.params), vectors.params)
    assert state.opt_state == ()
    optimizer = optax.adagrad(0.05)
    with_optimizer, _ = load_checkpoint(folder, optimizer)
    squares = with_optimizer.opt_state[0].sum_of_squares  # type: ignore[index]
    assert (squares.center > 0.1).mean() > 0.9  # from .1 up
    grown = grow_state(with_optimizer, vocabulary, corpus_of(20_000, seed=1).vocabulary, optimizer, KEY)
    assert int(grown.step) == int(with_optimizer.step) > 0


def test_tables_that_training_was_given_are_as_it_left_them(corpus: Corpus, tmp_path: Path) -> None:
    vectors = train(
        corpus, CONFIG, params=init_params(KEY, len(corpus.vocabulary), CONFIG.dim),
        checkpoints=CheckpointConfig(tmp_path),
    )  # fmt: skip
    np.testing.assert_array_equal(load_start(tmp_path).params, vectors.params)
    np.testing.assert_array_equal(load_checkpoint(tmp_path)[0].params, vectors.params)


def test_it_is_not_one_of_another_optimizer(trained: tuple[Path, KeyedVectors]) -> None:
    with pytest.raises(InputError, match=r"is of another optimizer; give the one it was trained with$"):
        load_checkpoint(trained[0], optax.adam(0.1))


def test_the_words_are_written_once(trained: tuple[Path, KeyedVectors]) -> None:
    assert {path.name for path in trained[0].iterdir() if not path.name.isdigit()} == {VOCABULARY, LOCK}


@pytest.mark.parametrize("ending", ["safetensors", "npz", "bin"])
def test_a_vectors_file_gives_what_it_has(ending: str, trained: tuple[Path, KeyedVectors], tmp_path: Path) -> None:
    vectors = trained[1]
    assert vectors.params is not None
    vectors.save(tmp_path / f"v.{ending}")
    vocabulary, params, has_outside = load_start(tmp_path / f"v.{ending}")
    assert vocabulary.words == vectors.words
    assert has_outside == (ending != "bin")
    np.testing.assert_array_equal(params.center, vectors.params.center)
    np.testing.assert_array_equal(params.outside, np.where(has_outside, vectors.params.outside, 0))
    assert bool(vocabulary.counts.any()) == has_outside


def test_what_cannot_be_read_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no checkpoint; name the folder that training was given"):
        load_start(tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    with pytest.raises(InputError, match="nowhere: no such folder$"):
        load_checkpoint(tmp_path / "nowhere")
    words = folder / VOCABULARY
    about = json.loads(words.read_text())
    swapped = about | {"words": about["words"][::-1]}
    for damaged in ("", "{", "[]", '{"words": 3, "counts": 4}', '{"words": ["a"], "counts": []}',
                    '{"words": ["a"], "counts": [1e400]}', '{"words": ["a"], "counts": [99999999999999999999]}',
                    json.dumps(swapped)):  # fmt: skip
        words.write_text(damaged)
        with pytest.raises(InputError, match=rf"{VOCABULARY}: is damaged, or of other checkpoints; delete it"):
            load_start(folder)
    words.unlink()
    with pytest.raises(InputError, match=rf"{VOCABULARY}: no such file; go on with that training once \(--resume\)"):
        load_start(folder)
    words.write_text(json.dumps(about))
    for path in (max(folder.glob("[0-9]*"), key=lambda path: int(path.name)) / "state").rglob("*"):
        if path.is_file() and path.name != "commit_success.txt":
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(InputError, match="its newest checkpoint cannot be read; if it is one"):
        load_start(folder)


# Going on from there, and being stopped meanwhile


def more_text(old: Corpus) -> Corpus:
    rng = np.random.default_rng(5)
    sentences = [[f"w{i}" for i in 50 + rng.zipf(1.2, 20_000) if i < 400]]
    return Corpus.from_sentences(sentences, TextConfig(min_count=1), known=old.vocabulary)


def test_stopped_and_resumed_it_ends_with_the_same_bits(
    corpus: Corpus, trained: tuple[Path, KeyedVectors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    start, more = load_start(trained[0]), more_text(corpus)
    params = grow(start.params, start.vocabulary, more.vocabulary, KEY)
    whole = train(more, CONFIG, params=params)
    where = CheckpointConfig(tmp_path, checkpoint_every=256, resume=True)
    with pytest.raises(Stopped):
        train(more, CONFIG, params=params, checkpoints=where, callbacks=[stop_at(300)])
    rest = train(more, CONFIG, params=params, checkpoints=where)
    np.testing.assert_array_equal(rest.params, whole.params)


def test_another_start_or_freezing_is_another_training(corpus: Corpus, tmp_path: Path) -> None:
    config = TrainConfig(**{**CONFIG.__dict__, "epochs": 1})
    size, where = len(corpus.vocabulary), CheckpointConfig(tmp_path, resume=True)
    params = init_params(KEY, size, config.dim)
    train(corpus, config, params=params, checkpoints=where)
    train(corpus, config, params=params, checkpoints=where)
    nudged = Params(params.center.at[3, 3].add(1e-3), params.outside)
    mask = np.arange(size) < 3
    for other in (nudged, None):
        with pytest.raises(InputError, match=r"is of another training: the starting point differs$"):
            train(corpus, config, params=other, checkpoints=where)
    with pytest.raises(InputError, match=r"is of another training: the freezing differs$"):
        train(corpus, config, params=params, frozen=Frozen(mask, mask), checkpoints=where)
