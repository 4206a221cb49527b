"""The protocol is gensim's: the same vectors get the same numbers."""

from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.vectors.analogies import evaluate_analogies
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.similarity import evaluate_similarity

Both = tuple[KeyedVectors, Gensim]


@pytest.fixture(scope="module")
def both() -> Both:
    """Vectors with some structure, for words in mixed case, some of them the same but for it."""
    rng = np.random.default_rng(0)
    stems = rng.normal(size=(60, 12))
    offset = rng.normal(size=12)
    words = [f"{name}{i}" for i in range(60) for name in ("king", "Queen", "queen")]
    table = np.stack(
        [stem + part + 0.3 * rng.normal(size=12) for stem in stems for part in (0 * offset, offset, 0.9 * offset)]
    )
    theirs = Gensim(12)
    theirs.add_vectors(words, table.astype(np.float32))
    return KeyedVectors(words, table.astype(np.float32)), theirs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["# a comment\ta\t1", "no score here", "king1\tqueen1\tnot a number", "king1\tunknown\t3"]
    lines += [f"KING{i}\tqueen{j}\t{10 * rng.uniform():.2f}" for i, j in rng.integers(0, 60, (80, 2))]
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    lines = [": first section"] + [f"king{i} queen{i} king{j} queen{j}" for i, j in rng.integers(0, 60, (90, 2))]
    lines += [": second", "too few words", "king1 queen1 king2 unknown"]
    lines += [f"queen{i} king{i} QUEEN{j} king{j}" for i, j in rng.integers(0, 60, (90, 2))]
    lines += [": empty one"]
    path = tmp_path / "questions.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("top", [300_000, 100])
def test_similarity_is_gensims(top: int, both: Both, pairs: Path) -> None:
    ours, theirs = both
    pearson, spearman, oov = theirs.evaluate_word_pairs(str(pairs), restrict_vocab=top)
    result = evaluate_similarity(ours, pairs, top=top)
    assert result.spearman == pytest.approx(spearman.statistic, abs=1e-12)
    assert result.pearson == pytest.approx(pearson.statistic, abs=1e-6)
    assert 100 * (1 - result.coverage) == pytest.approx(oov)


@pytest.mark.parametrize("top", [300_000, 100])
def test_analogies_are_gensims(top: int, both: Both, questions: Path) -> None:
    ours, theirs = both
    score, sections = theirs.evaluate_word_analogies(str(questions), restrict_vocab=top)
    got = evaluate_analogies(ours, questions, top=top)
    assert [section.name for section in got[:-1]] == [section["section"] for section in sections[:-1]]
    for mine, yours in zip(got, sections, strict=True):
        assert (mine.correct, mine.asked) == (len(yours["correct"]), len(yours["correct"]) + len(yours["incorrect"]))
    assert got[-1].accuracy == score
    assert 0.1 < score < 0.95  # so that it means something


def test_real_vectors_and_real_sets(data: Path) -> None:
    path = data / "formats" / "pang_lee_polarity_fasttext.vec"
    theirs = Gensim.load_word2vec_format(str(path), unicode_errors="replace")
    ours = KeyedVectors(theirs.index_to_key, theirs.vectors)
    for name in ("EN-WS-353-ALL", "EN-SIMLEX-999", "EN-MEN-TR-3k"):
        file = data / "eval" / "similarity" / f"{name}.txt"
        _, spearman, oov = theirs.evaluate_word_pairs(str(file))
        result = evaluate_similarity(ours, file)
        assert result.spearman == pytest.approx(spearman.statistic, abs=1e-9)
        assert 100 * (1 - result.coverage) == pytest.approx(oov)
    file = data / "eval" / "analogy" / "questions-words.txt"
    score, _ = theirs.evaluate_word_analogies(str(file))
    assert evaluate_analogies(ours, file)[-1].accuracy == score


def test_files_with_nothing_in_them(both: Both, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "latin").write_bytes(b"caf\xe9\tbar\t3\n")
    with pytest.raises(InputError, match="under two of its pairs"):
        evaluate_similarity(both[0], tmp_path / "empty")
    with pytest.raises(InputError, match="holds no questions"):
        evaluate_analogies(both[0], tmp_path / "empty")
    with pytest.raises(InputError, match="line 1 is not UTF-8"):
        evaluate_similarity(both[0], tmp_path / "latin")
