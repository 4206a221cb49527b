"""A text whose words fall into two groups, for every test that asks whether training learns."""

import numpy as np
import pytest

from w2v_jax.text.corpus import Corpus
from w2v_jax.training import counts_problem, step


@pytest.fixture(scope="session")
def groups() -> tuple[list[str], ...]:
    """Animals, and metals."""
    return ["cat", "dog", "horse", "cow", "pig"], ["iron", "gold", "tin", "lead", "zinc"]


@pytest.fixture(scope="session")
def corpus(groups: tuple[list[str], ...]) -> Corpus:
    """Sentences about animals and sentences about metals: what occurs together is alike."""
    rng = np.random.default_rng(0)
    words = [[*group, "the", "a"] for group in groups]
    return Corpus.from_sentences([list(rng.choice(words[i % 2], 8)) for i in range(4_000)])


@pytest.fixture
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words make several blocks: of counts, and of the vocabulary that softmax scores."""
    monkeypatch.setattr(counts_problem, "ROWS", 3)
    monkeypatch.setattr(step, "VOCAB_BLOCK", 16)
