"""Every reader of ours against files that nobody trusts: a coverage-guided fuzzer, an InputError or an answer.

    python -m experiments.fuzz_readers [--runs 1000000] [--readers …] [--out out]

Atheris (libFuzzer; `pip install -e .[fuzz]`) mutates small right files towards what no input reached before. A reader
passes if each input is read, or refused with an InputError of one line, while the process may take no more than 256 MB
above what it began with. Anything else, a crash, a traceback, an allocation that fails, ends the run, and the input is
left in OUT. A process a reader, two at a time; files in memory. OUT/fuzz.jsonl holds what was found.

Time: 40 minutes for a million inputs each on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import contextlib
import functools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Reader = Callable[[bytes], Any]
ROOM = 256 << 20  # bytes that a reader may take


def on_a_file(ending: str, read: Callable[[str], Any]) -> Reader:
    """A reader that takes a path, which says what format it is."""
    path = f"/dev/shm/fuzz-{os.getpid()}{ending}"

    def run(data: bytes) -> None:
        with open(path, "wb") as file:
            file.write(data)
        read(path)

    return run


def on_a_folder(files: list[str], read: Callable[[Path], Any]) -> Reader:
    """A reader that takes a folder: the data is cut where the bytes at its start say."""
    folder = Path(f"/dev/shm/fuzz-{os.getpid()}")
    folder.mkdir(exist_ok=True)

    def run(data: bytes) -> None:
        wanted = len(files) - 1
        cuts, rest = sorted(data[:wanted].ljust(wanted, b"\0")), data[wanted:]
        for name, start, end in zip(files, [0, *cuts], [*cuts, len(rest)], strict=True):
            (folder / name).write_bytes(rest[start : max(start, end)])
        read(folder)

    return run


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for whatever is none."""
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(found := json.loads(data), dict):
            return found
    return {}


def readers() -> dict[str, tuple[Callable[[], Reader], list[bytes]]]:
    """Each reader and some files that it should read; imported here, where Atheris can see what is run."""
    import numpy as np

    from w2v_jax.config import (
        CheckpointConfig,
        MeshConfig,
        ProcessConfig,
        TextConfig,
        TrainConfig,
    )  # fmt: skip
    from w2v_jax.counts import cooccurrence
    from w2v_jax.counts.config import CountsConfig
    from w2v_jax.text import corpus, encoding
    from w2v_jax.text.tokens import tokenize
    from w2v_jax.text.vocabulary import Vocabulary
    from w2v_jax.training import warm_start as start
    from w2v_jax.vectors import evaluation_sets, formats
    from w2v_jax.vectors.keyed_vectors import KeyedVectors
    from w2v_jax.vectors.plots.curves import read_reports

    vectors = KeyedVectors(("a", "b", "c", "d"), np.eye(4, 3, dtype=np.float32), np.arange(4, 0, -1))
    known = Vocabulary(("a", "b"), np.array([2, 1]))

    def saved(ending: str) -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/v{ending}"
            vectors.save(path)
            return [Path(path).read_bytes()]

    def encoded(folder: Path) -> None:
        about = parsed((folder / "about.json").read_bytes())
        corpus.lookup = lambda *_: about  # type: ignore[attr-defined]  # as if the checksums were right
        corpus._load(folder, {})

    def config(data: bytes) -> None:
        fields = parsed(data)
        for kind in (TrainConfig, TextConfig, CountsConfig, CheckpointConfig, MeshConfig, ProcessConfig):
            kind(**{name: value for name, value in fields.items() if name in kind.__dataclass_fields__})

    def vocabulary(data: bytes) -> None:
        words = data.decode("utf-8", "surrogateescape").split()
        for word in words[:3]:
            Vocabulary(tuple(words[3:]), np.ones(len(words[3:]), np.int64))[word]

    ends, columns, values = np.array([1, 2], "<i8"), np.array([1, 0], "<i4"), np.ones(2, "<f4")
    counted = bytes([16, 24]) + ends.tobytes() + columns.tobytes() + values.tobytes()
    about = json.dumps({"key": {}, "words": ["a", "b"], "counts": [2, 1], "source_tokens": 3}).encode()
    text = np.array([0, 1, 0], "<i4").tobytes() + np.array([3], "<i8").tobytes()
    load = {ending: functools.partial(on_a_file, ending, formats.load) for ending in formats.READERS}
    odd = {".safetensors": [(2).to_bytes(8, "little") + b"12"]}  # which mutations seldom come upon
    return {
        **{f"vectors {ending}": (load[ending], saved(ending) + odd.get(ending, []))
           for ending in (".bin", ".txt", ".safetensors", ".npz")},
        "vectors, no header": (load[".vec"], [b"a 1 2\nb 3 4\n", b"the .1 -2e3 nan\n"]),
        "corpus": (
            lambda: lambda data: list(tokenize([data], TextConfig(), "text")),
            [b"to be or\nnot to be\n", "\ufeffà la\r\n\u3000b".encode()],
        ),
        "encoded corpus": (
            functools.partial(on_a_folder, [encoding.IDS, encoding.LINE_ENDS, "about.json"], encoded),
            [bytes([12, 20]) + text + about],
        ),
        "counts": (
            functools.partial(on_a_folder, list(cooccurrence.FILES), lambda folder: cooccurrence._open(folder, 2)),
            [counted],
        ),
        "similarity set": (
            functools.partial(on_a_file, ".tsv", evaluation_sets.read_pairs),
            [b"# x\na\tb\t1.5\nc\td\t0\n"],
        ),
        "analogy questions": (
            functools.partial(on_a_file, ".q", evaluation_sets.read_questions),
            [b": capitals\na b c d\nb a d c\n"],
        ),
        "reports": (functools.partial(on_a_file, ".jsonl", read_reports), [b'{"words": 1, "loss": 2.5}\n']),
        "words of checkpoints": (
            functools.partial(on_a_file, ".json", lambda path: start._read_vocabulary(Path(path), known.sha256)),
            [json.dumps({"words": known.words, "counts": known.counts.tolist()}).encode()],
        ),
        "vocabulary": (lambda: vocabulary, [b"a b c alpha beta gamma"]),
        "configs": (
            lambda: config,
            [b'{"dim": 5, "sample": 1e-3, "lr": 0.1, "objective": "softmax"}',
             b'{"min_count": 1, "normalize": "NFC", "count_power": 0.5, "distance": "flat", "checkpoint_every": 3}'],
        ),
    }  # fmt: skip


def fuzz(name: str, runs: int, folder: Path) -> None:
    """One reader, in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["w2v_jax"]):
        make, seeds = readers()[name]
    from w2v_jax.errors import InputError

    read, corpus = make(), folder / "seeds"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            read(data)
        except InputError as error:
            if "\n" in str(error):
                raise ValueError("an error of more than one line") from error

    now = int(re.findall(r"VmSize:\s*(\d+) kB", Path("/proc/self/status").read_text())[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
    options = [f"-runs={runs}", "-max_len=2048", f"-artifact_prefix={folder}/", "-print_final_stats=1", "-seed=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--readers", nargs="+", default=None)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        fuzz(args.one[0], args.runs, Path(args.one[1]))
        return
    args.out.mkdir(parents=True, exist_ok=True)

    def run(name: str) -> dict[str, Any]:
        folder = Path(tempfile.mkdtemp(dir=args.out))
        started = time.perf_counter()
        command = [sys.executable, "-m", "experiments.fuzz_readers", "--runs", str(args.runs)]
        command += ["--one", name, str(folder)]
        # Each of Arrow's threads would take 64 MB of addresses for a heap of its own, which are limited here.
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        ran = re.findall(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        found = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
        row: dict[str, Any] = {"reader": name, "inputs": int(ran[-1]) if ran else 0}
        row |= {"branches": int(found[-1][0]) if found else 0, "seconds": time.perf_counter() - started}
        row["passed"] = done.returncode == 0
        if done.returncode:
            (folder / "said").write_text(done.stdout + done.stderr)
            row["said"] = str(folder / "said")
        print(f"{name:20} {row['inputs']:10,} inputs {row['seconds']:7.0f} s {row['branches']:6,} branches  "
              f"{'passed' if row['passed'] else 'FAILED: ' + row['said']}", flush=True)  # fmt: skip
        return row

    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(run, args.readers or list(readers())))
    (args.out / "fuzz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sys.exit(not all(row["passed"] for row in rows))


if __name__ == "__main__":
    main()
