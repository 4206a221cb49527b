"""A process forked from one that has used JAX answers queries and trains, and never hangs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing
import sys

import numpy as np

import w2v_jax as w2v

rng = np.random.default_rng(0)
corpus = w2v.Corpus.from_sentences([[f"w{i}" for i in rng.integers(0, 20, 8)] for _ in range(200)])
config = w2v.TrainConfig(dim=4, epochs=1, seed=3)
vectors = w2v.train(corpus, config)
vectors.save(sys.argv[1])


def work(_):
    loaded = w2v.KeyedVectors.load(sys.argv[1])
    answers = [vectors.most_similar("w1"), loaded.most_similar("w1"), vectors.predict_outside("w1")]
    again = w2v.train(corpus, config)
    refusals = []
    for changed, options in ((config, {"callbacks": [print]}), (w2v.TrainConfig(objective="x"), {})):
        try:
            w2v.train(corpus, changed, **options)
        except w2v.InputError as error:
            refusals.append(str(error))
    return answers, again.vectors, [np.asarray(table) for table in again.params], refusals


with multiprocessing.get_context("fork").Pool(1) as pool:
    ((answers, again, tables, refusals),) = pool.map_async(work, [0]).get(60)
assert answers == [vectors.most_similar("w1")] * 2 + [vectors.predict_outside("w1")]
np.testing.assert_array_equal(again, vectors.vectors)
np.testing.assert_array_equal(tables, vectors.params)
assert "spawn" in refusals[0] and "objective" in refusals[1], refusals
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_process_answers_queries_and_trains(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "vectors.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
