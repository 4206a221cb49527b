"""The command line: arguments in, one line for each thing that went wrong; the work is done elsewhere."""

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .config import CheckpointConfig, CountsConfig, TextConfig, TrainConfig
from .errors import InputError, Stopped

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
    from .files import check_writable
    from .vectors.formats import check_ending

    written = [path for path in (out, metrics, checkpoints.checkpoint_dir, counting.counts) if path]
    for one, other in itertools.combinations([*written, Path(corpus)], 2):
        if one.resolve() == other.resolve():
            raise InputError(f"{one}: would overwrite another file of this command; choose another name")
    check_ending(out)
    check_writable(out)
    if metrics:
        check_writable(metrics)
    with contextlib.ExitStack() as stack:
        from .text.corpus import Corpus
        from .text.named import named_corpus

        source = named_corpus(corpus, cache=cache) if corpus in NAMED_CORPORA and not Path(corpus).exists() else corpus
        encoded = Corpus.from_file(source, text, cache=cache)
        print(
            f"{encoded.source_tokens:,} words, {len(encoded.ids):,} of them among the {len(encoded.vocabulary):,} "
            f"with vectors; encoded in {encoded.folder}"
        )
        from jax.errors import JaxRuntimeError

        from .params import Params
        from .training.loop import train
        from .training.metrics import write_json_lines
        from .training.reports import Callback, Report

        reports: list[Report] = []
        writers: list[Callback] = []

        def record(report: Report, params: Params) -> None:
            if metrics and not reports:  # not before: a training that is refused leaves the old file alone
                mode = "a" if report.resumed else "w"
                writers.append(write_json_lines(stack.enter_context(open(metrics, mode, encoding="utf-8"))))
            reports.append(report)
            for write in writers:
                write(report, params)

        try:
            vectors = train(encoded, training, callbacks=[record], checkpoints=checkpoints, counts=counting)
        except (MemoryError, JaxRuntimeError) as error:
            raise InputError(f"training does not fit into memory: {error}") from error
    vectors.save(out)
    if reports:  # none where nothing was trained: resumed at the end, or ppmi-svd
        last = reports[-1]
        held_out = "" if last.held_out_loss is None else f", held out {last.held_out_loss:.4f}"
        words = round(last.words_per_second * last.seconds)
        print(
            f"{words:,} words in {last.seconds:.1f} s ({last.words_per_second:,.0f} words/s) after "
            f"{last.compile_seconds:.1f} s of compilation; loss {last.loss:.4f} nats a target{held_out}"
        )
    print(f"{len(vectors):,} vectors in {out}")


def neighbors(
    vectors: tyro.conf.Positional[str],
    words: tyro.conf.Positional[tuple[str, ...]],
    top: int = 10,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """List the words nearest to each of some words.

    Example: python -m w2v_jax neighbors vectors.bin king paris

    Args:
        vectors: A vectors file: word2vec binary (.bin), word2vec, fastText or GloVe text (.txt, .vec),
            .safetensors or .npz.
        words: The words to ask about.
        top: How many neighbours of each.
        json_: Print one JSON object instead.
    """
    from .vectors.keyed_vectors import KeyedVectors

    if not words:
        raise InputError("name at least one word to find the neighbours of")
    if top < 1:
        raise InputError(f"top is {top}; it must be at least 1")
    nearest = KeyedVectors.load(vectors).most_similar_each(words, topn=top)
    if json_:
        print(json.dumps(dict(zip(words, nearest, strict=True)), ensure_ascii=False))
        return
    for word, near in zip(words, nearest, strict=True):
        print(f"{word}: " + ", ".join(f"{other} {cosine:.3f}" for other, cosine in near))


def evaluate(
    vectors: tyro.conf.Positional[str],
    similarity: tuple[str, ...] = (),
    analogies: tuple[str, ...] = (),
    top: int = 30_000,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure vectors against people's judgments of similarity, and on analogy questions.

    Example: python -m w2v_jax evaluate vectors.bin --similarity ws353.txt --analogies questions-words.txt

    Args:
        vectors: A vectors file: word2vec binary (.bin), word2vec, fastText or GloVe text (.txt, .vec),
            .safetensors or .npz.
        similarity: Files of word<TAB>word<TAB>score lines.
        analogies: Files of four words a line, in sections headed by ': name' lines.
        top: Analogies use this many words, the most frequent ones.
        json_: Print one JSON object instead.
    """
    from .vectors.evaluation import evaluate_analogies, evaluate_similarity
    from .vectors.keyed_vectors import KeyedVectors

    if not similarity and not analogies:
        raise InputError("name what to evaluate on: --similarity FILE... or --analogies FILE... or both")
    if top < 1:
        raise InputError(f"top is {top}; it must be at least 1")
    loaded = KeyedVectors.load(vectors)
    similarities = {path: evaluate_similarity(loaded, path) for path in similarity}
    sections = {path: evaluate_analogies(loaded, path, top=top) for path in analogies}
    if json_:
        scores = {path: {**result._asdict(), "coverage": result.coverage} for path, result in similarities.items()}
        answers = {
            path: [{**part._asdict(), "accuracy": part.accuracy} for part in parts] for path, parts in sections.items()
        }
        print(json.dumps({"similarity": scores, "analogies": answers}))
        return
    for path, result in similarities.items():
        print(f"{Path(path).name}: Spearman {result.spearman:.4f}, Pearson {result.pearson:.4f}, "
              f"{result.pairs} pairs ({result.coverage:.1%})")  # fmt: skip
    for path, parts in sections.items():
        print(f"{Path(path).name}, {top:,} most frequent words:")
        for name, correct, asked, skipped in parts:
            share = f"{correct / asked:6.1%}" if asked else "     –"
            print(f"  {share}  {correct:6,} of {asked:6,}  ({skipped:,} skipped)  {name}")


def convert(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")],
    limit: int | None = None,
    errors: Literal["strict", "replace", "ignore"] = "strict",
) -> None:
    """Write a vectors file in another format; the endings say which.

    Example: python -m w2v_jax convert glove.6B.100d.txt.gz vectors.safetensors --limit 100000

    Args:
        source: A vectors file: word2vec binary (.bin), word2vec, fastText or GloVe text (.txt, .vec),
            .safetensors or .npz; plain or compressed, local or a URL.
        out: Where the vectors go: .bin, .txt, .vec, .safetensors, .npz, or .tsv with its .metadata.tsv, for
            TensorBoard's projector.
        limit: Only this many words, the first.
        errors: What becomes of bytes in a word that are not UTF-8: the file is refused (strict), U+FFFD
            stands for them (replace), or they are dropped (ignore).
    """
    from .files import check_writable
    from .vectors.formats import check_ending

    if out.resolve() == Path(source).resolve():
        raise InputError(f"{out}: would overwrite another file of this command; choose another name")
    check_ending(out)
    check_writable(out)
    from .vectors.keyed_vectors import KeyedVectors

    vectors = KeyedVectors.load(source, errors=errors, limit=limit)
    vectors.save(out)
    print(f"{len(vectors):,} vectors in {out}")


def _discard_output() -> None:
    """Let the interpreter flush into the void as it ends."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _unwinding_on_sigterm() -> Iterator[None]:
    """On SIGTERM, leave as Ctrl-C does, so that what is half written goes; unless somebody else handles it."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(args: list[str] | None = None) -> None:
    """Run a command; what goes wrong with its input is one line on standard error and exit status 1."""
    commands: dict[str, Callable[..., Any]] = {
        "train": train,
        "neighbors": neighbors,
        "evaluate": evaluate,
        "convert": convert,
    }
    try:
        try:
            with _unwinding_on_sigterm():
                tyro.extras.subcommand_cli_from_dict(
                    commands, prog="python -m w2v_jax", description="word2vec in JAX", args=args
                )
        finally:
            if sys.stdout:  # none where a program starts with it closed
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # the reader left; there is nobody to tell
    except (InputError, FloatingPointError, OSError) as error:
        if isinstance(error, OSError):
            _discard_output()
        sys.exit("w2v_jax: " + " ".join(str(error).splitlines()))
    except Stopped as stopped:
        print(f"w2v_jax: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print("w2v_jax: stopped; no vectors were written", file=sys.stderr)
        sys.exit(130)
