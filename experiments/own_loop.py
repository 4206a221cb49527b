"""Write a training loop of one's own, on the functional interface.

    python -m experiments.own_loop

Time: 10 s on 2 cores. Expected: Adagrad separates the two factions of a small made-up club.
"""

import jax
import numpy as np
import optax

import w2v_jax as w2v

rng = np.random.default_rng(0)
factions = [[f"left{i}" for i in range(10)], [f"right{i}" for i in range(10)]]
corpus = w2v.Corpus.from_sentences([list(rng.choice(factions[walk % 2], 12)) for walk in range(2_000)])
config = w2v.StreamConfig(window=3, sample=0.0, epochs=4)
model = w2v.skipgram(w2v.noise_table(corpus.vocabulary.counts), dim=16)

optimizer = optax.adagrad(optax.cosine_decay_schedule(0.1, w2v.expected_steps(corpus, config)))
state = w2v.init_state(model, jax.random.key(0), corpus.vocabulary, optimizer)
step = w2v.make_train_step(model, optimizer)

for dispatch in w2v.stream(corpus, config, blocks=1):
    state, metrics = step(state, jax.tree.map(lambda blocks: blocks[0], dispatch.blocks))
    if int(state.step) % 50 == 0:
        print(f"step {int(state.step):4}: {float(metrics.loss) / float(metrics.targets):.3f} nats a target")

tables = w2v.partial_whiten(state.tables)
vectors = w2v.KeyedVectors(corpus.vocabulary.words, np.asarray(tables.center))
print("left0:", ", ".join(word for word, _ in vectors.most_similar("left0", topn=5)))
