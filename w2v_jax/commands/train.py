"""`train`."""

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from ..config import CheckpointConfig, CountsConfig, MeshConfig, ProcessConfig, TextConfig, TrainConfig
from ..errors import InputError

if TYPE_CHECKING:
    from ..params import Params
    from ..text.part import Part
    from ..text.vocabulary import Vocabulary
    from ..training.freezing import Frozen
    from ..training.reports import Report
    from ..training.start import Start

NAMED_CORPORA = ("docstrings", "text8")


def train(
    corpus: tyro.conf.Positional[str],
    out: Path,
    training: tyro.conf.OmitArgPrefixes[TrainConfig],
    text: tyro.conf.OmitArgPrefixes[TextConfig],
    checkpoints: tyro.conf.OmitArgPrefixes[CheckpointConfig],
    counting: tyro.conf.OmitArgPrefixes[CountsConfig],
    devices: tyro.conf.OmitArgPrefixes[MeshConfig],
    together: tyro.conf.OmitArgPrefixes[ProcessConfig],
    cache: Path | None = None,
    metrics: Path | None = None,
    init: str | None = None,
    freeze: bool = False,
) -> None:
    """Train word vectors on a text.

    Example: python -m w2v_jax train corpus.txt.gz --out vectors.bin

    Args:
        corpus: A text file, words separated by spaces, a sentence or a document a line or one endless
            line; plain or compressed (gz, bz2, xz, zst, zip), local or a URL. Or a named corpus:
            docstrings (what is installed here) or text8 (100 MB of Wikipedia, downloaded). Where several
            processes train, each reads its stretch of a plain file, or, with {process} in the name, its own.
        out: Where the vectors go: word2vec binary (.bin) or text (.txt, .vec); .safetensors or .npz, which
            also keep the counts and both tables; .tsv with its .metadata.tsv, for TensorBoard's projector.
        cache: Folder for encoded corpora, their counts, and downloads.
        metrics: File for reports, one line of JSON each.
        init: Go on from these vectors: a vectors file, or a folder of checkpoints. Their words stay, whatever
            their count in the text, and new ones join them.
        freeze: The rows that --init has stay as they are, and new words learn; so do all outside vectors where
            the file has none (.bin, .txt).
    """
    from ..files import check_writable
    from ..vectors.endings import check_ending

    _check_that_all_differ(out, metrics, checkpoints.checkpoint_dir, counting.counts, corpus, init)
    if freeze and not init:
        raise InputError("freeze keeps the vectors of --init as they are; name them")
    check_ending(out)
    part = _join(together) if together.coordinator or together.cluster else None
    if devices.devices:
        _make_mesh(devices)  # now, that none of what follows begins JAX with fewer
    first = part is None or part.number == 0  # which alone writes, and speaks
    if first:
        check_writable(out)
        if metrics and not metrics.is_fifo():
            check_writable(metrics)
    from ..text.corpus import Corpus
    from ..text.named import named_corpus

    start = _start(init, training.dim) if init else None
    source = named_corpus(corpus, cache=cache) if corpus in NAMED_CORPORA and not Path(corpus).exists() else corpus
    encoded = Corpus.from_file(source, text, cache=cache, known=start and start.vocabulary, part=part)
    say = print if first else lambda *_: None
    say(
        f"{encoded.source_tokens:,} words, {len(encoded.ids):,} of them among the {len(encoded.vocabulary):,} "
        f"with vectors; encoded in {encoded.folder}" + (f"; part 1 of {part.of}" if part else "")
    )
    from jax.errors import JaxRuntimeError

    from ..params import Params
    from ..training.loop import train
    from ..training.metrics import write_json_lines

    reports: list[Report] = []

    def keep(report: "Report", params: Params) -> None:
        reports.append(report)

    callbacks = [keep, *([write_json_lines(metrics)] if metrics and first else [])]
    try:
        params, frozen = None, None
        if start:
            params, known = _grown(start, encoded.vocabulary, training.seed)
            say(f"{known.sum():,} of these words known from {init}, {(~known).sum():,} new")
            frozen = _frozen(start, known) if freeze else None
        vectors = train(
            encoded, training, callbacks=callbacks, checkpoints=checkpoints, counts=counting,
            params=params, frozen=frozen, mesh=devices,
        )  # fmt: skip
    except (MemoryError, JaxRuntimeError) as error:
        raise InputError(f"training does not fit into memory: {error}") from error
    if not first:
        return
    vectors.save(out)
    if reports:  # none where nothing was trained: resumed at the end, or ppmi-svd
        print(_summary(reports[-1], training.objective))
    print(f"{len(vectors):,} vectors in {out}")


def _check_that_all_differ(*paths: str | Path | None) -> None:
    for one, other in itertools.combinations([Path(path) for path in paths if path], 2):
        if os.path.realpath(one) == os.path.realpath(other):
            raise InputError(f"{one}: would overwrite another file of this command; choose another name")


def _summary(last: "Report", objective: str) -> str:
    held_out = "" if last.held_out_loss is None else f", held out {last.held_out_loss:.4f}"
    words = round(last.words_per_second * last.seconds)
    did = f"{words:,} words in {last.seconds:.1f} s ({last.words_per_second:,.0f} words/s)"
    if objective == "softmax-counts":
        did = f"{last.step} passes over the counts in {last.seconds:.1f} s, with the start,"
    return f"{did} after {last.compile_seconds:.1f} s of compilation; loss {last.loss:.4f} nats a target{held_out}"


def _join(together: ProcessConfig) -> "Part | None":
    from ..training.processes import join

    return join(together)


def _make_mesh(devices: MeshConfig) -> None:
    from ..training.mesh import make_mesh

    make_mesh(devices)


def _start(init: str, dim: int) -> "Start":
    from ..training.start import load_start

    start = load_start(init)
    has = start.params.center.shape[1]
    if has != dim:
        raise InputError(f"{init}: has vectors of {has} numbers, and dim is {dim}; give --dim {has}")
    return start


def _grown(start: "Start", vocabulary: "Vocabulary", seed: int) -> "tuple[Params, Any]":
    """The tables for a vocabulary, and which of its words were known."""
    import jax

    from ..training.growth import grow, places

    known = places(start.vocabulary, vocabulary) >= 0
    return grow(start.params, start.vocabulary, vocabulary, jax.random.key(seed)), known


def _frozen(start: "Start", known: Any) -> "Frozen":
    """The rows that were read; a table that the file did not have must learn."""
    from ..training.freezing import Frozen

    if known.all() and start.has_outside:
        raise InputError("freeze leaves nothing to learn: the text has no new words; give a lower --min-count")
    return Frozen(known, known & start.has_outside)
