"""Check Equations 1 to 8, each against an independent witness, and draw ŷ − y.

    python -m experiments.gradient_check [--out out]

Time: 8 s on 2 cores of an AMD EPYC, no accelerator. Expected: every row ok and the wrong equation rejected, as in

    8           U[ŷ − y]: naive_softmax_gradients                 jax.grad of naive_softmax_loss   0.2  ok

and OUT/gradient_check.png: ŷ, y and ŷ − y over the vocabulary, for the pair (banking, into) of Figure 1.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

import w2v_jax as w2v
from w2v_jax.config import TILE
from w2v_jax.errors import InputError
from w2v_jax.files import atomic_write
from w2v_jax.sampling.windows import context_weights

FIGURE_1 = ["problems", "turning", "into", "banking", "crises", "as"]
OTHERS = ["government", "debt", "happened", "in", "2009", "europe", "needs", "unified", "regulation", "system"]
WORDS = FIGURE_1 + OTHERS
CENTER, PICTURED, WINDOW, DIM, PASSES, SEED = "banking", "into", 2, 8, 6, 0
NEGATIVES = ["debt", "europe", "europe", "in"]  # a word drawn twice counts twice
BOUND = 8  # ulp, as in tests/objectives/test_gradients.py
ABOUT = f"""\
V = {len(WORDS)}, D = {DIM}, vectors normal(0, ½), seed {SEED}. Equations in float64, as written; functions in float32.
ulp: the largest difference over the pairs, in float32 ulp of the sum of the absolute terms, at most {BOUND} where an
equation holds. (In ulp of the result right answers fail too: where terms cancel, their rounding stays.)
"""


def outside_words() -> list[str]:
    """Return the words within the window of Figure 1's center."""
    lines = jnp.zeros(TILE + 2 * WINDOW, jnp.int32)
    weights = context_weights(lines, window=WINDOW)[FIGURE_1.index(CENTER) - WINDOW, : len(FIGURE_1)]
    return [word for word, weight in zip(FIGURE_1, weights.tolist(), strict=True) if weight]


def checks(v_c: Float[Array, " D"], o: int, u: Float[Array, "V D"]) -> list[tuple[str, str, str, float]]:
    """For one pair (equation, one side, the other, their difference in ulp) of every equation, the wrong one last."""
    v, U, y = np.asarray(v_c, np.float64), np.asarray(u, np.float64), np.eye(len(u))[o]
    words = range(len(U))

    def equation_1(o: int) -> Any:
        return np.exp(U[o] @ v) / sum(np.exp(U[w] @ v) for w in words)

    def equation_4(v: Any, U: Any) -> Any:
        return -U[o] @ v + np.log(sum(np.exp(U[w] @ v) for w in words))

    equation_5 = -U[o] + sum(np.exp(U[w] @ v) * U[w] for w in words) / sum(np.exp(U[x] @ v) for x in words)
    equation_6 = -U[o] + sum(equation_1(w) * U[w] for w in words)
    differences = slope(lambda v: equation_4(v, U), v), slope(lambda U: equation_4(v, U), U)

    log_probs, loss = w2v.log_probs(v_c, u), w2v.naive_softmax_loss(v_c, o, u)
    y_hat = np.exp(np.asarray(log_probs, np.float64))
    equation_7 = -U[o] + sum(y_hat[w] * U[w] for w in words)
    witness = optax.softmax_cross_entropy(u @ v_c, jnp.asarray(y, jnp.float32))
    hand = w2v.naive_softmax_gradients(v_c, o, u)
    grad = jax.grad(w2v.naive_softmax_loss, (0, 2))(v_c, o, u)
    negatives = jnp.array([WORDS.index(word) for word in NEGATIVES])
    sampled_hand = w2v.negative_sampling_gradients(v_c, o, negatives, u)
    sampled_grad = jax.grad(w2v.negative_sampling_loss, (0, 3))(v_c, o, negatives, u)

    # The sums of absolute terms, a probability taken for 1.
    scores = np.abs(U) @ np.abs(v)
    of_log_probs = scores + np.log(np.exp(scores).sum())
    of_loss, times = of_log_probs[o], 1 + y
    of_v, of_u = times @ np.abs(U), np.outer(times, np.abs(v))
    drawn = np.bincount(negatives, minlength=len(U)) + y
    of_sampled = drawn @ np.abs(U), np.outer(drawn, np.abs(v))

    by_hand, by_grad, by_loss = "naive_softmax_gradients", "jax.grad of naive_softmax_loss", "naive_softmax_loss"
    sampled, sampled_by_grad = "negative_sampling_gradients", "jax.grad of negative_sampling_loss"
    every = np.log([equation_1(w) for w in words])
    return [
        ("1", "log(exp(u_o·v_c) / Σ_w exp(u_w·v_c))", "log_probs", ulp(every, log_probs, of_log_probs)),
        ("2", "−log P(O=o | C=c)", by_loss, ulp(-every[o], loss, of_loss)),
        ("3", "−Σ_w y_w log ŷ_w: optax.softmax_cross_entropy", by_loss, ulp(witness, loss, of_loss)),
        ("4", "−u_o·v_c + log Σ_w exp(u_w·v_c)", by_loss, ulp(equation_4(v, U), loss, of_loss)),
        ("5", "−u_o + Σ_w exp(u_w·v_c) u_w / Σ_x exp(u_x·v_c)", by_hand, ulp(equation_5, hand[0], of_v)),
        ("6", "−u_o + Σ_w P(O=w | C=c) u_w", by_hand, ulp(equation_6, hand[0], of_v)),
        ("7", "−u_o + Σ_w ŷ_w u_w, ŷ of log_probs", by_hand, ulp(equation_7, hand[0], of_v)),
        ("8", f"U[ŷ − y]: {by_hand}", by_grad, ulp(hand[0], grad[0], of_v)),
        ("∂J/∂u_w", f"(ŷ_w − y_w) v_c: {by_hand}", by_grad, ulp(hand[1], grad[1], of_u)),
        ("8, ∂J/∂u_w", "finite differences of Equation 4", by_hand, ulp(differences, hand, (of_v, of_u))),
        ("negatives", f"both halves: {sampled}", sampled_by_grad, ulp(sampled_hand, sampled_grad, of_sampled)),
        ("not 8", "U ŷ, −y dropped on purpose", by_grad, ulp(y_hat @ U, grad[0], of_v)),
    ]


def slope(f: Callable[[Any], Any], x: Any, h: float = 1e-6) -> Any:
    """∂f/∂x by central differences."""
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.reshape([(f(x + step) - f(x - step)) / (2 * h) for step in steps], x.shape)


def ulp(this: Any, that: Any, terms: Any) -> float:
    """The largest |this − that| over all their arrays, in units of the last place that float32 has for the terms."""
    a, b, scale = (np.concatenate([np.ravel(part) for part in jax.tree.leaves(tree)]) for tree in (this, that, terms))
    return float(np.max(np.abs(a.astype(np.float64) - b) / np.spacing(scale.astype(np.float32))))


def draw_residual(v_c: Float[Array, " D"], o: int, u: Float[Array, "V D"], path: Path) -> None:
    """ŷ, y and ŷ − y over the vocabulary, one above another and on one scale."""
    y_hat, y = np.exp(w2v.log_probs(v_c, u)), np.eye(len(WORDS))[o]
    top = float(y_hat.max()) + 0.1
    panels = [
        (f"ŷ: what the model expects near “{CENTER}” after {PASSES} passes over its pairs", y_hat, (0, top)),
        (f"y: what stood there, “{WORDS[o]}”", y, (0, 1.2)),
        ("ŷ − y: a step against U[ŷ − y] draws $v_c$ to words below 0, away from those above", y_hat - y, (-1, top)),
    ]
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    rows = figure.subplots(len(panels), sharex=True, height_ratios=[high - low for *_, (low, high) in panels])
    for axes, (title, values, limits) in zip(rows, panels, strict=True):
        bars = axes.bar(WORDS, values, color=["tab:orange" if w == o else "tab:blue" for w in range(len(WORDS))])
        labels = [f"{value:.2f}".replace("-", "−") if value else "" for value in values]
        axes.bar_label(bars, labels, fontsize=8, padding=2)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_yticks(np.arange(-1, 1.25, 0.25))
        axes.set_ylim(*limits)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params("x", length=0)
        axes.margins(x=0.01)
    rows[-1].set_xticks(range(len(WORDS)), WORDS, rotation=40, ha="right", rotation_mode="anchor")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def main(argv: Sequence[str] | None = None) -> None:
    """Check, print, draw; exit with 1 unless every equation holds and the wrong one does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    out: Path = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "gradient_check.png"

    params = w2v.Params(*jax.random.normal(jax.random.key(SEED), (2, len(WORDS), DIM)) / 2)
    v_c, u, near = params.center[WORDS.index(CENTER)], params.outside, outside_words()
    print(f"Pairs: {CENTER} with each of {', '.join(near)}.\n{ABOUT}\n{'ulp':>109}")
    with jax.default_matmul_precision("highest"):  # accelerators may round float32 products to fewer bits
        pairs = [checks(v_c, WORDS.index(word), u) for word in near]
    table = [(*row[0][:3], np.max([difference for *_, difference in row])) for row in zip(*pairs, strict=True)]
    verdicts = ["ok" if difference <= BOUND else "WRONG" for *_, difference in table[:-1]]
    verdicts.append("rejected" if table[-1][-1] > BOUND else "ACCEPTED")
    for (equation, this, that, difference), verdict in zip(table, verdicts, strict=True):
        print(f"{equation:<12}{this:<50}{that:<36}{difference:>11,.1f}  {verdict}")

    for word in near * PASSES:
        d_center, d_outside = w2v.naive_softmax_gradients(v_c, WORDS.index(word), u)
        v_c, u = v_c - 0.2 * d_center, u - 0.2 * d_outside
    draw_residual(v_c, WORDS.index(PICTURED), u, picture)
    print(f"picture: {picture}")
    if {"WRONG", "ACCEPTED"} & set(verdicts):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        raise SystemExit(f"gradient_check: {error}") from None
