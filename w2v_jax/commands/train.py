"""The command `train`."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from ..config import CheckpointConfig, MeshConfig, ProcessConfig, TextConfig, TrainConfig
from ..counts.config import CountOptions, CountsConfig
from ..errors import InputError
from ..models.registry import MODELS
from ..paths import expand
from ..vectors.endings import check_ending
from .vectors import check_paths_differ

if TYPE_CHECKING:
    from ..text.corpus import Corpus
    from ..training.reports import Callback, Report
    from ..training.warm_start import WarmStart
    from ..vectors.keyed_vectors import KeyedVectors

NAMED_CORPORA = ("docstrings", "text8")
COUNT_FITS = {"softmax-counts": "fit_softmax", "ppmi-svd": "fit_ppmi_svd"}  # objective → function of counts/train.py
NOISE = {"negative", "noise_power", "shared_negatives"}
IGNORED = {"naive-softmax": NOISE, "softmax": NOISE, "ppmi-svd": {"epochs", "metrics"}}  # beside `_ignored_options`
NEEDS = {"freeze": {"init"}, "checkpoint_every": {"checkpoint_dir"}, "timeout": {"coordinator", "cluster"}}
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
    training: TrainOptions,
    text: TextConfig,
    checkpoints: CheckpointConfig,
    counting: CountOptions,
    devices: MeshConfig,
    processes: ProcessConfig,
    cache: Path | None = None,
    metrics: Path | None = None,
    init: str | None = None,
    freeze: bool = False,
    typed: tyro.conf.Suppress[tuple[str, ...]] = (),
) -> None:
    """Train word vectors on a text.

    Example: python -m w2v_jax train corpus.txt.gz --out vectors.bin

    Args:
        corpus: A text file, words separated by spaces, a sentence or a document a line or one endless
            line; plain or compressed (gz, bz2, xz, zst, zip), local or a URL; - is standard input. Or JSON lines,
            CSV or Parquet, with --field. Or a named corpus:
            docstrings (of the installed Python packages) or text8 (100 MB of Wikipedia, downloaded). Where several
            processes train, each reads its part of a plain file, or, with {process} in the name, its own file.
        out: Where the vectors go: word2vec binary (.bin) or text (.txt, .vec); .safetensors, which also keeps
            the counts and both tables; .tsv with its .metadata.tsv, for TensorBoard's projector.
        cache: Folder for encoded corpora, their counts, and downloads.
        metrics: File for reports, one line of JSON each.
        init: Start from these vectors: a vectors file, or a folder of checkpoints. Their words stay, whatever
            their count in the text, and new words join them. --whitening is then 0 by default: the vectors of a
            file have been whitened already.
        freeze: Keep the rows of --init as they are; train new words, and all of a table that the file lacks.
        typed: The options that the command line names, even with their defaults.
    """
    out, metrics, cache = Path(expand(out)), metrics and Path(expand(metrics)), cache and Path(expand(cache))
    corpus, init = expand(corpus), init and expand(init)
    written = [out, *([out.with_suffix(".metadata.tsv")] if out.suffix.lower() == ".tsv" else [])]
    check_paths_differ(*written, metrics, checkpoints.checkpoint_dir, counting.counts_dir, corpus, init)
    options = {"metrics": metrics, "init": init, "freeze": freeze}
    _check_options(training.objective, set(typed), options, training, checkpoints, counting, devices, processes)
    check_ending(out)
    shard = None
    if processes.coordinator or processes.cluster:
        from ..distributed.processes import join_processes

        shard = join_processes(processes)
    if devices.devices or devices.vocabulary_shards > 1:
        from ..distributed.mesh import make_mesh

        make_mesh(devices)  # now, before anything else lets JAX begin with fewer devices
    is_first = shard is None or shard.index == 0  # which alone writes files and prints
    if is_first:
        from ..files import check_folder, check_writable

        for path in written:
            check_writable(path)
        if checkpoints.checkpoint_dir:
            check_folder(checkpoints.checkpoint_dir)
        if counting.counts_dir and not os.path.exists(counting.counts_dir):  # what exists may be only read
            check_folder(counting.counts_dir)
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
    size, free = 4 * len(encoded.vocabulary) * training.dim, shutil.disk_usage(out.absolute().parent).free
    if is_first and size > free:
        raise InputError(f"{out}: the vectors take {size:,} bytes, and {free:,} are free there; name another folder")
    log(
        f"{encoded.source_tokens:,} words, {len(encoded.ids):,} of them among the {len(encoded.vocabulary):,} "
        f"with vectors; encoded in {encoded.folder}" + (f"; part 1 of {shard.count}" if shard else "")
    )
    reports: list[Report] = []
    keep_report: Callback = lambda report, _: reports.append(report)
    callbacks = [] if "metrics" in _ignored_options(training.objective) else [keep_report]
    if metrics and is_first:
        callbacks.append(write_json_lines(metrics))
    try:
        if training.objective in COUNT_FITS:
            from ..counts import train as counts

            values = {**vars(training), **vars(counting)}
            config = CountsConfig(**{name: values[name] for name in _names(CountsConfig)})
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
    from ..params import named_tables
    from ..training.loop import train
    from ..training.warm_start import grow, old_ids

    model, tables, frozen = named_model(config, corpus.vocabulary), None, None
    if start:
        fresh = model.init(jax.random.key(config.seed), corpus.vocabulary)
        if not start.tables.keys() & named_tables(fresh).keys():
            raise InputError(f"--init has the tables {', '.join(start.tables)}, and {config.objective} trains "
                             f"{', '.join(named_tables(fresh))}; name vectors or checkpoints that have one of "
                             "these")  # fmt: skip
        known = old_ids(start.vocabulary, corpus.vocabulary) >= 0
        log(f"{known.sum():,} of these words known from --init, {(~known).sum():,} new")
        tables = grow(start.tables, start.vocabulary, corpus.vocabulary, fresh)
        if config.whitening is None:
            config = dataclasses.replace(config, whitening=0.0)
        if freeze:
            if known.all() and start.tables.keys() >= named_tables(fresh).keys():
                raise InputError("freeze leaves nothing to learn: the text has no new words; give a lower --min-count")
            frozen = {name: known & (name in start.tables) for name in named_tables(fresh)}
    return train(
        corpus, config, model=model, callbacks=callbacks, checkpoints=checkpoints, tables=tables, frozen=frozen,
        mesh=devices,
    )  # fmt: skip


def _check_options(objective: str, typed: set[str], options: dict[str, Any], *configs: Any) -> None:
    """Refuse options that the objective ignores, or that do nothing without another; `typed` may be defaults."""
    given = {name for name, value in options.items() if value}
    for config in configs:
        given |= {field.name for field in dataclasses.fields(config) if getattr(config, field.name) != field.default}
    spell = lambda name: f"--{name.replace('_', '-')}"
    for name in sorted((given | typed) & _ignored_options(objective)):
        raise InputError(f"{objective} does not use {spell(name)}; leave it out")
    for name, others in NEEDS.items():
        if name in given | typed and not given & others:
            raise InputError(f"{spell(name)} needs {' or '.join(map(spell, sorted(others)))}; add it, or leave out "
                             f"{spell(name)}")  # fmt: skip


def _ignored_options(objective: str) -> set[str]:
    unused = _names(CountOptions)
    if objective in COUNT_FITS:
        unused = _names(TrainConfig, CheckpointConfig, MeshConfig, ProcessConfig) - _names(CountsConfig) - {"objective"}
        unused |= {"init", "freeze"}
    return unused | IGNORED.get(objective, set())


def _names(*configs: Any) -> set[str]:
    return {field.name for config in configs for field in dataclasses.fields(config)}


def _summary(last: "Report", *, by_passes: bool) -> str:
    held_out = "" if last.held_out_loss is None else f", held out {last.held_out_loss:.4f}"
    words = round(last.words_per_second * last.seconds)
    work = f"{words:,} words in {last.seconds:.1f} s ({last.words_per_second:,.0f} words/s)"
    if by_passes:
        work = f"{last.step} passes over the counts in {last.seconds:.1f} s, with set-up,"
    return f"{work} after {last.compile_seconds:.1f} s of compilation; loss {last.loss:.4f} nats a target{held_out}"
