"""Analogy questions, compared with the accuracies of gensim and word2vec.c."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.vectors.evaluation import Section, evaluate_analogies
from w2v_jax.vectors.keyed_vectors import KeyedVectors

Both = tuple[KeyedVectors, Gensim]
COMPUTE_ACCURACY = Path(sys.executable).with_name("word2vec-compute-accuracy")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    lines = [": first section"] + [f"king{i} queen{i} king{j} queen{j}" for i, j in rng.integers(0, 60, (90, 2))]
    lines += [": second", "too few words", "king1 queen1 king2 unknown", "unknown queen1 king2 queen2"]
    lines += [f"queen{i} king{i} QUEEN{j} king{j}" for i, j in rng.integers(0, 60, (90, 2))]
    lines += [": empty one"]
    path = tmp_path / "questions.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


class CosMul(Gensim):
    """gensim's evaluation takes a `similarity_function` and does not look at it."""

    def most_similar(self, positive: list[str], negative: list[str], topn: int, restrict_vocab: int) -> object:
        return self.most_similar_cosmul(positive, negative, topn)  # which has no restrict_vocab


def assert_equals_gensim(
    vectors: KeyedVectors, gensim_vectors: Gensim, path: Path, top: int, wrong: bool, method: str = "3cosadd"
) -> float:
    score, sections = gensim_vectors.evaluate_word_analogies(str(path), restrict_vocab=top, dummy4unknown=wrong)
    got = evaluate_analogies(vectors, path, top=top, unknown="wrong" if wrong else "skip", method=method)
    assert [section.name for section in got[:-1]] == [section["section"] for section in sections[:-1]]
    for section, gensim in zip(got, sections, strict=True):
        correct, incorrect = len(gensim["correct"]), len(gensim["incorrect"])
        assert (section.correct, section.asked) == (correct, correct + incorrect)
    assert got[-1].accuracy == score
    return score


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`")
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("top", [300_000, 100])
def test_accuracy_equals_gensim(top: int, wrong: bool, cased: Both, questions: Path) -> None:
    vectors, gensims = cased
    gensim = CosMul(12)
    gensim.add_vectors(gensims.index_to_key[:top], gensims.vectors[:top])
    score = assert_equals_gensim(vectors, gensims, questions, top, wrong)
    assert 0.1 < score < 0.95  # so that it means something
    assert score != assert_equals_gensim(vectors, gensim, questions, top, wrong, "3cosmul")


def test_real_questions_score_as_in_gensim(fasttexts: Both, data: Path) -> None:
    assert_equals_gensim(*fasttexts, data / "eval" / "analogy" / "questions-words.txt", 300_000, False)


def test_words_of_the_question_in_another_case_are_no_answers(tmp_path: Path) -> None:
    table = np.array([[1, 0, 0], [1, 1, 0], [0.3, 0, 1], [1, 1, 2], [1, 1, 2.1], [0, 1.2, 1]], np.float32)
    words = ["man", "woman", "king", "KING", "King", "queen"]
    (tmp_path / "questions.txt").write_text(": a\nman woman king queen\nman woman king king\n")
    for candidates, right in ((1, [False, True]), (2, [False, True]), (3, [True, False]), (5, [True, False])):
        (section, _) = evaluate_analogies(KeyedVectors(words, table), tmp_path / "questions.txt", candidates=candidates)
        assert section.correct == sum(right), candidates


def test_last_candidate_counts_if_all_are_words_of_the_question(tmp_path: Path) -> None:
    words = ["man", "woman", "king", "KING", "King", "kING", "WOMAN", "Woman", "queen"]
    near = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], *[[1, 1, 1.1]] * 3, *[[1, 1, 1.3]] * 2, [0, -1, 0]], np.float32)
    gensim = Gensim(3)
    gensim.add_vectors(words, near)
    (tmp_path / "questions.txt").write_text(": a\nman woman king woman\nman woman king king\nman woman king KING\n")
    assert assert_equals_gensim(KeyedVectors(words, near), gensim, tmp_path / "questions.txt", 300_000, False) == 2 / 3


def test_unknown_words_can_be_skipped_wrong_or_the_mean(tmp_path: Path) -> None:
    """The mean of these four points up, as `up` does."""
    table = np.array([[1, 1, 0], [-1, 1, 0], [0.9, 1, 0.3], [-0.9, 1, -0.3]], np.float32)
    vectors = KeyedVectors(["right", "left", "righter", "lefter"], table)
    questions = ": a\nnobody right left lefter\nnobody nobody right righter\nleft right nobody x\n"
    (tmp_path / "questions.txt").write_text(questions)
    for unknown, expected in (("skip", (0, 0, 3)), ("wrong", (0, 3, 0)), ("mean", (1, 3, 0))):
        (section, _) = evaluate_analogies(vectors, tmp_path / "questions.txt", unknown=unknown)
        assert section[1:4] == expected, unknown


def test_vocabulary_of_only_the_words_of_the_question(tmp_path: Path) -> None:
    vectors = KeyedVectors(["a", "b", "c"], np.eye(3, dtype=np.float32))
    (tmp_path / "questions.txt").write_text(": a\na b c a\na b c b\nb c a c\n")
    assert evaluate_analogies(vectors, tmp_path / "questions.txt")[-1].correct == 0


def word2vec_protocol(vectors: KeyedVectors, path: Path, top: int) -> list[Section]:
    """Score as word2vec.c does, one question at a time, in float64."""
    capitals = [word.encode().upper() for word in vectors.words[:top]]
    table = vectors.vectors[: len(capitals)].astype(np.float64)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    sections: list[Section] = []
    for line in path.read_bytes().splitlines():
        words = line.upper().split()
        if words[0] == b":":
            sections.append(Section(line.split()[1].decode(), 0, 0, 0))
            continue
        name, correct, asked, skipped, *_ = sections[-1]
        if all(word in capitals for word in words):
            a, b, c = (capitals.index(word) for word in words[:3])
            scores = table @ (table[b] - table[a] + table[c])
            scores[[a, b, c]] = -np.inf
            sections[-1] = Section(name, correct + (capitals[scores.argmax()] == words[3]), asked + 1, skipped)
        else:
            sections[-1] = Section(name, correct, asked, skipped + 1)
    return sections


@pytest.fixture
def word2vec_set(cased: Both, tmp_path: Path) -> tuple[KeyedVectors, Path]:
    """Words with letters beyond ASCII too; sections named by one word, lines of four, as word2vec.c needs them."""
    vectors = cased[0]
    words = [f"É{word}" if i % 5 == 0 else f"é{word}" if i % 5 == 1 else word for i, word in enumerate(vectors.words)]
    rng = np.random.default_rng(6)
    lines = []
    for number in range(7):
        lines.append(f": section{number}")
        for i, j in rng.integers(0, 60, (60, 2)):
            four = [words[3 * i], words[3 * i + 2], words[3 * j], words[3 * j + 1 + number % 2]]
            lines.append(" ".join(word.upper() if number % 3 == 0 else word for word in four))
    path = tmp_path / "questions.txt"
    path.write_text("\n".join(lines) + "\n")
    return KeyedVectors(words, vectors.vectors), path


@pytest.mark.parametrize("top", [30_000, 100])
def test_accuracy_equals_the_word2vec_protocol(top: int, word2vec_set: tuple[KeyedVectors, Path]) -> None:
    vectors, path = word2vec_set
    got = evaluate_analogies(vectors, path, top=top, candidates=1, case="ascii")
    assert got[:-1] == word2vec_protocol(vectors, path, top)
    assert 0.1 < got[-1].accuracy < 0.95
    assert got[-1].skipped > 0  # É is no é
    for other in ({"candidates": 5, "case": "ascii"}, {"candidates": 1, "case": "unicode"}):
        assert evaluate_analogies(vectors, path, top=top, **other) != got


@pytest.mark.skipif(not COMPUTE_ACCURACY.exists(), reason="word2vec-compute-accuracy is in the bench extra")
@pytest.mark.parametrize("top", [30_000, 100])
def test_accuracy_equals_the_program_of_word2vec(top: int, word2vec_set: tuple[KeyedVectors, Path]) -> None:
    vectors, path = word2vec_set
    got = evaluate_analogies(vectors, path, top=top, candidates=1, case="ascii")
    vectors.save(path.with_name("v.bin"))
    command = [COMPUTE_ACCURACY, path.with_name("v.bin"), str(top)]
    with path.open() as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True)
    printed = re.findall(r"ACCURACY TOP1: .*\((\d+) / (\d+)\)", done.stdout)
    assert printed == [(str(section.correct), str(section.asked)) for section in got[:-1]]
    seen, total = re.findall(r"Questions seen / total: (\d+) (\d+)", done.stdout)[0]
    assert (int(seen), int(total)) == (got[-1].asked, got[-1].asked + got[-1].skipped)
