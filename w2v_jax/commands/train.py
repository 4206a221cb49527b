"""`train`."""

import itertools
from pathlib import Path

import tyro

from ..config import CheckpointConfig, CountsConfig, TextConfig, TrainConfig
from ..errors import InputError

NAMED_CORPORA = ("docstrings", "text8")


def train(
    corpus: tyro.conf.Positional[str],
    out: Path,
    training: tyro.conf.OmitArgPrefixes[TrainConfig],
    text: tyro.conf.OmitArgPrefixes[TextConfig],
    checkpoints: tyro.conf.OmitArgPrefixes[CheckpointConfig],
    counting: tyro.conf.OmitArgPrefixes[CountsConfig],
    cache: Path | None = None,
    metrics: Path | None = None,
) -> None:
    """Train word vectors on a text.

    Example: python -m w2v_jax train corpus.txt.gz --out vectors.bin

    Args:
        corpus: A text file, words separated by spaces, a sentence or a document a line or one endless
            line; plain or compressed (gz, bz2, xz, zst, zip), local or a URL. Or a named corpus:
            docstrings (what is installed here) or text8 (100 MB of Wikipedia, downloaded).
        out: Where the vectors go: word2vec binary (.bin) or text (.txt, .vec); .safetensors or .npz, which
            also keep the counts and both tables; .tsv with its .metadata.tsv, for TensorBoard's projector.
        cache: Folder for encoded corpora, their counts, and downloads.
        metrics: File for reports, one line of JSON each.
    """
    from ..files import check_writable
    from ..vectors.endings import check_ending

    written = [path for path in (out, metrics, checkpoints.checkpoint_dir, counting.counts) if path]
    for one, other in itertools.combinations([*written, Path(corpus)], 2):
        if one.resolve() == other.resolve():
            raise InputError(f"{one}: would overwrite another file of this command; choose another name")
    check_ending(out)
    check_writable(out)
    if metrics:
        check_writable(metrics)
    from ..text.corpus import Corpus
    from ..text.named import named_corpus

    source = named_corpus(corpus, cache=cache) if corpus in NAMED_CORPORA and not Path(corpus).exists() else corpus
    encoded = Corpus.from_file(source, text, cache=cache)
    print(
        f"{encoded.source_tokens:,} words, {len(encoded.ids):,} of them among the {len(encoded.vocabulary):,} "
        f"with vectors; encoded in {encoded.folder}"
    )
    from jax.errors import JaxRuntimeError

    from ..params import Params
    from ..training.loop import train
    from ..training.metrics import write_json_lines
    from ..training.reports import Report

    reports: list[Report] = []

    def keep(report: Report, params: Params) -> None:
        reports.append(report)

    callbacks = [keep, *([write_json_lines(metrics)] if metrics else [])]
    try:
        vectors = train(encoded, training, callbacks=callbacks, checkpoints=checkpoints, counts=counting)
    except (MemoryError, JaxRuntimeError) as error:
        raise InputError(f"training does not fit into memory: {error}") from error
    vectors.save(out)
    if reports:  # none where nothing was trained: resumed at the end, or ppmi-svd
        last = reports[-1]
        held_out = "" if last.held_out_loss is None else f", held out {last.held_out_loss:.4f}"
        words = round(last.words_per_second * last.seconds)
        did = f"{words:,} words in {last.seconds:.1f} s ({last.words_per_second:,.0f} words/s)"
        if training.objective == "softmax-counts":
            did = f"{last.step} passes over the counts in {last.seconds:.1f} s, with the start,"
        print(f"{did} after {last.compile_seconds:.1f} s of compilation; loss {last.loss:.4f} nats a target{held_out}")
    print(f"{len(vectors):,} vectors in {out}")
