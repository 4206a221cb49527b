"""The command `train`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from ..config import CheckpointConfig, MeshConfig, ProcessConfig, TextConfig, TrainConfig
from ..counts.config import CountOptions, CountsConfig
from ..errors import InputError
from ..models.registry import MODELS
from ..vectors.endings import check_ending
from .vectors import check_paths_differ

if TYPE_CHECKING:
    from ..text.corpus import Corpus
    from ..training.reports import Callback, Report
    from ..training.warm_start import WarmStart
    from ..vectors.keyed_vectors import KeyedVectors

NAMED_CORPORA = ("docstrings", "text8")
COUNT_FITS = {"softmax-counts": "fit_softmax", "ppmi-svd": "fit_ppmi_svd"}  # objective → function of counts/train.py
WITHOUT_PASSES = ("fit_ppmi_svd",)  # and so without reports
Objective = Literal[(*MODELS, *COUNT_FITS)]  # type: ignore[valid-type]


@dataclasses.dataclass(frozen=True)
class TrainOptions(TrainConfig):
    """`TrainConfig`, with the objectives that learn from counts."""

    objective: Objective = "negative-sampling"
    """softmax scores every word of the vocabulary for every center: exact, and slow; naive-softmax is the same,
    and holds all the scores at once. softmax-counts is exact too, and learns from the co-occurrence counts of the
    whole corpus in each pass, whatever its length; ppmi-svd factors those counts, without training."""


def train(
    corpus: tyro.conf.Positional[str],
    out: Path,
    training: tyro.conf.OmitArgPrefixes[TrainOptions],
    text: tyro.conf.OmitArgPrefixes[TextConfig],
    checkpoints: tyro.conf.OmitArgPrefixes[CheckpointConfig],
    counting: tyro.conf.OmitArgPrefixes[CountOptions],
    devices: tyro.conf.OmitArgPrefixes[MeshConfig],
    processes: tyro.conf.OmitArgPrefixes[ProcessConfig],
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
            docstrings (of the installed Python packages) or text8 (100 MB of Wikipedia, downloaded). Where several
            processes train, each reads its part of a plain file, or, with {process} in the name, its own file.
        out: Where the vectors go: word2vec binary (.bin) or text (.txt, .vec); .safetensors, which also keeps
            the counts and both tables; .tsv with its .metadata.tsv, for TensorBoard's projector.
        cache: Folder for encoded corpora, their counts, and downloads.
        metrics: File for reports, one line of JSON each.
        init: Start from these vectors: a vectors file, or a folder of checkpoints. Their words stay, whatever
            their count in the text, and new words join them. --whitening is then 0 by default: the vectors of a
            file have been whitened already.
        freeze: Keep the rows of --init as they are, and train new words only; and all outside vectors where
            the file has none (.bin, .txt).
    """
    check_paths_differ(out, metrics, checkpoints.checkpoint_dir, counting.counts_dir, corpus, init)
    _check_unused_options(training, counting, checkpoints, devices, processes, init)
    if freeze and not init:
        raise InputError("freeze keeps the vectors of --init as they are; name them")
    check_ending(out)
    shard = None
    if processes.coordinator or processes.cluster:
        from ..distributed.processes import join_processes

        shard = join_processes(processes)
    if devices.devices:
        from ..distributed.mesh import make_mesh

        make_mesh(devices)  # now, before anything else lets JAX begin with fewer devices
    is_first = shard is None or shard.index == 0  # which alone writes files and prints
    if is_first:
        from ..files import check_writable

        check_writable(out)
        if metrics and not metrics.is_fifo():
            check_writable(metrics)
    from jax.errors import JaxRuntimeError

    from ..text.corpus import Corpus
    from ..text.named import named_corpus
    from ..training.reports import write_json_lines
    from ..training.warm_start import load_warm_start

    start = load_warm_start(init) if init else None
    if start and (dim := next(iter(start.tables.values())).shape[1]) != training.dim:
        raise InputError(f"{init}: has vectors of {dim} numbers, and dim is {training.dim}; give --dim {dim}")
    source = named_corpus(corpus, cache=cache) if corpus in NAMED_CORPORA and not Path(corpus).exists() else corpus
    encoded = Corpus.from_file(source, text, cache=cache, known=start and start.vocabulary, shard=shard)
    log = print if is_first else lambda *_: None
    log(
        f"{encoded.source_tokens:,} words, {len(encoded.ids):,} of them among the {len(encoded.vocabulary):,} "
        f"with vectors; encoded in {encoded.folder}" + (f"; part 1 of {shard.count}" if shard else "")
    )
    reports: list[Report] = []
    no_reports = COUNT_FITS.get(training.objective) in WITHOUT_PASSES
    callbacks: list[Callback] = [] if no_reports else [lambda report, _: reports.append(report)]
    if metrics and is_first:
        callbacks.append(write_json_lines(metrics))
    try:
        if training.objective in COUNT_FITS:
            from ..counts import train as counts

            names = {field.name for field in dataclasses.fields(CountsConfig)}
            options = {**vars(training), **vars(counting)}
            config = CountsConfig(**{name: options[name] for name in names})
            fit = getattr(counts, COUNT_FITS[training.objective])
            vectors = counts.train_counts(encoded, config, fit=fit, callbacks=callbacks)
        else:
            vectors = _train_stream(encoded, training, start, freeze, log, callbacks, checkpoints, devices)
    except (MemoryError, JaxRuntimeError) as error:
        raise InputError(f"training does not fit into memory: {error}") from error
    if not is_first:
        return
    vectors.save(out)
    if reports:  # none where nothing was trained: resumed at the end, or ppmi-svd
        print(_summary(reports[-1], by_passes=training.objective in COUNT_FITS))
    print(f"{len(vectors):,} vectors in {out}")


def _train_stream(
    corpus: "Corpus", config: TrainConfig, start: "WarmStart | None", freeze: bool, log: Callable[[str], None],
    callbacks: "list[Callback]", checkpoints: CheckpointConfig, devices: MeshConfig,
) -> "KeyedVectors":  # fmt: skip
    """Train the model that the objective names, perhaps from earlier tables."""
    import jax

    from ..models.registry import named_model
    from ..training.loop import train
    from ..training.warm_start import grow, old_ids

    tables = frozen = None
    if start:
        known = old_ids(start.vocabulary, corpus.vocabulary) >= 0
        log(f"{known.sum():,} of these words known from --init, {(~known).sum():,} new")
        fresh = named_model(config, corpus.vocabulary).init(jax.random.key(config.seed), corpus.vocabulary)
        tables = grow(start.tables, start.vocabulary, corpus.vocabulary, fresh)
        if config.whitening is None:
            config = dataclasses.replace(config, whitening=0.0)
        if freeze:
            if known.all() and set(start.tables) >= set(fresh._fields):
                raise InputError("freeze leaves nothing to learn: the text has no new words; give a lower --min-count")
            frozen = type(fresh)(*(known & (name in start.tables) for name in fresh._fields))
    return train(
        corpus, config, callbacks=callbacks, checkpoints=checkpoints, tables=tables, frozen=frozen, mesh=devices
    )


def _check_unused_options(
    training: TrainConfig, counting: CountOptions, checkpoints: CheckpointConfig, devices: MeshConfig,
    processes: ProcessConfig, init: str | None,
) -> None:  # fmt: skip
    """Refuse options that the objective does not use."""
    used = {"objective"}
    if by_counts := training.objective in COUNT_FITS:
        used |= {field.name for field in dataclasses.fields(CountsConfig)}
        if init:
            raise InputError(f"{training.objective} starts from the counts themselves; leave out --init")
    for config in (training, checkpoints, devices, processes) if by_counts else (counting,):
        for field in dataclasses.fields(config):
            if field.name not in used and getattr(config, field.name) != field.default:
                raise InputError(f"{training.objective} does not use --{field.name.replace('_', '-')}; leave it out")


def _summary(last: "Report", *, by_passes: bool) -> str:
    held_out = "" if last.held_out_loss is None else f", held out {last.held_out_loss:.4f}"
    words = round(last.words_per_second * last.seconds)
    work = f"{words:,} words in {last.seconds:.1f} s ({last.words_per_second:,.0f} words/s)"
    if by_passes:
        work = f"{last.step} passes over the counts in {last.seconds:.1f} s, with the start,"
    return f"{work} after {last.compile_seconds:.1f} s of compilation; loss {last.loss:.4f} nats a target{held_out}"
