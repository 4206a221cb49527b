"""What vectors are worth, and a picture of that against the time they took: shared by the benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import w2v_jax as w2v

MEASURES = {"WordSim": "WS-353-ALL", "SimLex": "SIMLEX-999", "MEN": "MEN-TR-3k"}


def qualities(vectors: Path, folder: Path) -> dict[str, float]:
    """Analogies among the 30,000 most frequent words, and Spearman's correlation with each similarity set."""
    loaded = w2v.KeyedVectors.load(vectors)
    total = w2v.evaluate_analogies(loaded, folder / "analogy" / "questions-words.txt", top=30_000)[-1]
    similarity = {
        name: w2v.evaluate_similarity(loaded, folder / "similarity" / f"EN-{file}.txt").spearman
        for name, file in MEASURES.items()
    }
    return {"analogies": total.accuracy, **similarity}


def panels_against_time(rows: list[dict[str, Any]], measures: Sequence[str], style: str = "o") -> Any:
    """A figure with a panel for each measure, against the time of the whole process; a colour a system."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(measures), figsize=(3.3 * len(measures), 3.6), layout="constrained")
    for panel, measure in zip(panels, measures, strict=True):
        for number, system in enumerate(dict.fromkeys(row["system"] for row in rows)):
            mine = [row for row in rows if row["system"] == system and measure in row]
            x, y = [row["process_seconds"] for row in mine], [row[measure] for row in mine]
            panel.plot(x, y, style, color=f"C{number}", label=system, markersize=4.5)
        panel.set(title=measure, xlabel="seconds, whole process", xlim=(0, None))
        panel.grid(alpha=0.3)
    return figure
