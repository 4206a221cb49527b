"""How the words of evaluation sets are found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors.analogies import evaluate_analogies
from w2v_jax.vectors.evaluation import UPPER, Case, Lookup
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.similarity import evaluate_similarity

VECTORS = KeyedVectors(["be", "Be", "été", "ÉTÉ", "late"], np.eye(5, 2, dtype=np.float32) + 1)


@pytest.mark.parametrize(("case", "spelled"), [("unicode", [0, 0, 2, 2]), ("ascii", [0, 0, 2, 3])])
def test_the_first_of_a_spelling_counts(case: Case, spelled: list[int]) -> None:
    lookup = Lookup.of(VECTORS, 4, case)
    assert lookup.spelled().tolist() == spelled
    assert lookup.ids([*map(UPPER[case], ["bE", "ÉTÉ"]), "LATE"]) == [0, spelled[3], 4]


def test_the_last_row_is_the_mean_of_the_known() -> None:
    lookup = Lookup.of(VECTORS, 2)
    np.testing.assert_allclose(lookup.rows(np.array([2, 0])), [[1.5, 1.5], [2, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"unknown": "Skip"}, "unknown is 'Skip'; it must be one of skip, wrong, mean"), ({"top": 0}, "top is 0")],
)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("evaluate", [evaluate_similarity, evaluate_analogies])
def test_what_is_no_policy(evaluate: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "set").write_text(": one\nbe late be late\nbe\tlate\t1\nlate\tbe\t2\n")
    with pytest.raises(InputError, match=message):
        evaluate(VECTORS, tmp_path / "set", **options)


def test_an_endless_line_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(InputError, match="/dev/zero: line 1 is over 1,048,576 bytes"):
        evaluate_similarity(VECTORS, "/dev/zero")
