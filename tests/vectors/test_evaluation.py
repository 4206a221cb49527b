"""How the words of evaluation sets are found."""

import numpy as np
import pytest

from w2v_jax.vectors.evaluation import UPPER, Case, Lookup
from w2v_jax.vectors.keyed_vectors import KeyedVectors

VECTORS = KeyedVectors(["be", "Be", "été", "ÉTÉ", "late"], np.eye(5, 2, dtype=np.float32) + 1)


@pytest.mark.parametrize(("case", "spelled"), [("unicode", [0, 0, 2, 2]), ("ascii", [0, 0, 2, 3])])
def test_the_first_of_a_spelling_counts(case: Case, spelled: list[int]) -> None:
    lookup = Lookup.of(VECTORS, 4, case)
    assert lookup.spelled().tolist() == spelled
    assert lookup.ids([*map(UPPER[case], ["bE", "ÉTÉ"]), "LATE"]) == [0, spelled[3], 4]


def test_the_last_row_is_the_mean_of_the_known() -> None:
    lookup = Lookup.of(VECTORS, 2)
    np.testing.assert_allclose(lookup.rows(np.array([2, 0])), [[1.5, 1.5], [2, 1]])
