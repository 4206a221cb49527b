"""Equations 1 to 8, each held against something that does not know it, and a picture of ŷ − y.

    python -m experiments.gradient_check [--out out]

Time: TIME on 2 cores of an AMD EPYC, no accelerator. Expected: every equation ok, the wrong one rejected, as in

    8              U[ŷ − y]: w2v.naive_softmax_gradients         jax.grad of w2v.naive_softmax_loss         0.5  ok

and OUT/gradient_check.png: ŷ, y and ŷ − y over the vocabulary for the pair (banking, into) of Figure 1.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float
from matplotlib.figure import Figure

import w2v_jax as w2v
from w2v_jax.errors import InputError
from w2v_jax.files import writing
from w2v_jax.windows import context_mask

FIGURE_1 = "problems turning into banking crises as".split()
WORDS = [*FIGURE_1, *"government debt happened in 2009 europe needs unified regulation system".split()]
CENTER, WINDOW, DIM, SEED = "banking", 2, 8, 0
NEGATIVES = "debt europe europe in".split()  # a word drawn twice counts twice
BOUND = 8  # ulp, as in tests/objectives/test_gradients.py


class Check(NamedTuple):
    """Two values that an equation says are one, and the size of what was added up to make them."""

    equation: str
    this: str
    that: str
    values: tuple[Any, Any]
    terms: Any
    holds: bool = True

    @property
    def ulp(self) -> float:
        one = np.spacing(np.asarray(self.terms, np.float32)).astype(np.float64)
        this, that = (np.asarray(value, np.float64) for value in self.values)
        return float(np.max(np.abs(this - that) / one))


def figure_1() -> list[str]:
    """The outside words of Figure 1's center word."""
    centers = len(FIGURE_1) - 2 * WINDOW
    lines = jnp.zeros(len(FIGURE_1), jnp.int32)
    mask = context_mask(lines, jnp.full(centers, WINDOW), window=WINDOW)[FIGURE_1.index(CENTER) - WINDOW]
    return [word for word, near in zip(FIGURE_1, mask, strict=True) if near]


def checks(center: jax.Array, o: int, outside: jax.Array) -> list[Check]:
    """Every equation for one pair: as it is written, in NumPy's float64, or by a witness; and by w2v in float32."""
    v_c, u, y = np.asarray(center, np.float64), np.asarray(outside, np.float64), np.eye(len(outside))[o]
    words = range(len(u))
    p = [np.exp(u[w] @ v_c) / sum(np.exp(u[x] @ v_c) for x in words) for w in words]
    y_hat = np.exp(np.asarray(w2v.log_probs(center, outside), np.float64))

    def equation_4(v_c: Any, u: Any) -> Any:
        return -u[o] @ v_c + np.log(sum(np.exp(u[w] @ v_c) for w in words))

    equation_5 = -u[o] + sum(np.exp(u[w] @ v_c) * u[w] for w in words) / sum(np.exp(u[x] @ v_c) for x in words)
    loss = w2v.naive_softmax_loss(center, o, outside)
    by_hand, by_hand_u = w2v.naive_softmax_gradients(center, o, outside)
    by_grad, by_grad_u = jax.grad(w2v.naive_softmax_loss, (0, 2))(center, o, outside)
    negatives = jnp.array([WORDS.index(word) for word in NEGATIVES])
    sampled = w2v.negative_sampling_gradients(center, o, negatives, outside)
    sampled_grad = jax.grad(w2v.negative_sampling_loss, (0, 3))(center, o, negatives, outside)

    # The same sums with every sign a plus, |ŷ_w|, |y_w| ≤ 1.
    scores = np.abs(u) @ np.abs(v_c)
    log_p = scores + np.log(np.exp(scores).sum())
    d_center, d_outside = np.abs(u).sum(0) + np.abs(u[o]), np.outer(1 + y, np.abs(v_c))
    drawn = np.bincount(negatives, minlength=len(u)) + y
    d_sampled = np.abs(u).T @ (drawn + y), np.outer(np.maximum(drawn + y, 1), np.abs(v_c))

    grad, hand = "jax.grad of w2v.naive_softmax_loss", "w2v.naive_softmax_gradients"
    return [
        Check("1", "log(exp(u_o·v_c) / Σ_w exp(u_w·v_c))", "w2v.log_probs", (np.log(p), np.log(y_hat)), log_p),
        Check("2", "−log P(O=o | C=c)", "w2v.naive_softmax_loss", (-np.log(p[o]), loss), log_p[o]),
        Check("3", "−Σ_w y_w log ŷ_w: optax.softmax_cross_entropy", "w2v.naive_softmax_loss",
              (optax.softmax_cross_entropy(outside @ center, jnp.asarray(y, jnp.float32)), loss), log_p[o]),
        Check("4", "−u_o·v_c + log Σ_w exp(u_w·v_c)", "w2v.naive_softmax_loss", (equation_4(v_c, u), loss), log_p[o]),
        Check("5", "−u_o + Σ_w exp(u_w·v_c) u_w / Σ_x exp(u_x·v_c)", hand, (equation_5, by_hand), d_center),
        Check("6", "−u_o + Σ_w P(O=w | C=c) u_w", hand, (-u[o] + sum(p[w] * u[w] for w in words), by_hand), d_center),
        Check("7", "−u_o + Σ_w ŷ_w u_w, ŷ of w2v.log_probs", hand,
              (-u[o] + sum(y_hat[w] * u[w] for w in words), by_hand), d_center),
        Check("8", f"U[ŷ − y]: {hand}", grad, (by_hand, by_grad), d_center),
        Check("8", "finite differences of Equation 4", hand,
              (finite_differences(lambda v_c: equation_4(v_c, u), v_c), by_hand), d_center),
        Check("∂J/∂u_w", "(ŷ_w − y_w) v_c: " + hand, grad, (by_hand_u, by_grad_u), d_outside),
        Check("∂J/∂u_w", "finite differences of Equation 4", hand,
              (finite_differences(lambda u: equation_4(v_c, u), u), by_hand_u), d_outside),
        Check("neg. sampling", "∂J/∂v_c: w2v.negative_sampling_gradients", "jax.grad of w2v.negative_sampling_loss",
              (sampled[0], sampled_grad[0]), d_sampled[0]),
        Check("neg. sampling", "∂J/∂U: w2v.negative_sampling_gradients", "jax.grad of w2v.negative_sampling_loss",
              (sampled[1], sampled_grad[1]), d_sampled[1]),
        Check("8, y dropped", "U ŷ, wrong on purpose", grad, (u.T @ y_hat, by_grad), d_center, holds=False),
    ]  # fmt: skip


