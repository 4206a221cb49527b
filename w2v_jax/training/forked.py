"""Training from a forked process: in a new process, because a copy of a JAX in use would hang."""

import dataclasses
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from ..errors import InputError
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from ..vectors.keyed_vectors import KeyedVectors

Train = TypeVar("Train", bound=Callable[..., KeyedVectors])
CHILD = "import sys; from w2v_jax.training.forked import run; run(*sys.argv[1:])"
NEEDS_SPAWN = ("a process forked from one that has used JAX trains the objectives of the config only, without "
                     "other arguments; start processes with multiprocessing.get_context('spawn')")  # fmt: skip
jax_is_broken = False


def _after_fork() -> None:
    global jax_is_broken
    bridge: Any = sys.modules.get("jax._src.xla_bridge")
    jax_is_broken = jax_is_broken or (bridge is not None and bridge.backends_are_initialized())  # not public in jax


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def survive_fork(train: Train) -> Train:
    """Wrap `train(corpus, config=None, **options)` so that in a forked process it runs in a new one."""

    @functools.wraps(train)
    def wrapped(corpus: Corpus, config: Any = None, **options: Any) -> KeyedVectors:
        if not jax_is_broken:
            return train(corpus, config, **options)
        if options:
            raise InputError(NEEDS_SPAWN)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder, "corpus.npz"), ids=corpus.ids, line_ends=corpus.line_ends)
            vocabulary = {"words": corpus.vocabulary.words, "counts": corpus.vocabulary.counts.tolist()}
            kind = config and f"{type(config).__module__}:{type(config).__qualname__}"
            values = config and dataclasses.asdict(config)
            about = {"vocabulary": vocabulary, "tokens": corpus.source_tokens, "kind": kind, "config": values}
            Path(folder, "about.json").write_text(json.dumps(about), encoding="utf-8")
            command = [sys.executable, "-c", CHILD, folder, train.__module__, train.__name__]
            paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
            if done.returncode:
                raise InputError(
                    (done.stderr.strip() or f"training ended with status {done.returncode}").splitlines()[-1]
                )
            return KeyedVectors.load(Path(folder, "vectors.safetensors"))

    return cast(Train, wrapped)


def run(folder: str, module: str, name: str) -> None:
    """Train what a forked process has left in a folder, and leave the vectors there."""
    about = json.loads(Path(folder, "about.json").read_text(encoding="utf-8"))
    arrays, vocabulary = np.load(Path(folder, "corpus.npz")), Vocabulary(**about["vocabulary"])
    corpus = Corpus(arrays["ids"], arrays["line_ends"], vocabulary, about["tokens"])
    config = None
    if about["kind"]:
        config_module, _, kind = about["kind"].partition(":")
        config = getattr(importlib.import_module(config_module), kind)(**about["config"])
    try:
        getattr(importlib.import_module(module), name)(corpus, config).save(Path(folder, "vectors.safetensors"))
    except (InputError, FloatingPointError) as error:
        sys.exit(str(error))
