# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Notebook: DAGMM on rows that form groups
#
# DAGMM models a latent space with a Gaussian mixture. Its published workflow uses network connections, whose normal
# rows form a few large groups. This notebook simulates such rows: two groups of connections,
# and anomalies that mix them.

# %%
import numpy as np
from IPython.display import SVG

from oddrow import AutoencoderDetector, DAGMMDetector, Training, fit_many, metrics, plots

rng = np.random.default_rng(0)


def connections(group, n):
    """Eight columns that depend on two hidden numbers."""
    hidden = rng.normal(size=(n, 2))
    weights = np.random.default_rng(group).normal(size=(2, 8))
    return np.tanh(hidden @ weights) + 3 * group + rng.normal(0, 0.1, (n, 8))


normal = np.concatenate([connections(0, 2_000), connections(1, 2_000)])
rng.shuffle(normal)
mixed = np.where(rng.random((200, 8)) < 0.5, connections(0, 200), connections(1, 200))
train, X = normal[:2_500], np.concatenate([normal[2_500:], mixed])
y = np.repeat([0, 1], [1_500, 200])
print(train.shape, X.shape)

# %% [markdown]
# ## Train five seeds at once
#
# The networks are small, so several of them train together at little more than the cost of one.

# %%
training = Training(epochs=300, learning_rate=3e-3)
detectors = fit_many(
    [DAGMMDetector(n_components=4, training=training, random_state=seed) for seed in range(5)], [train] * 5
)
for seed, detector in enumerate(detectors):
    print(f"seed {seed}: AP {metrics.average_precision(y, detector.anomaly_score(X)):.3f}")

# %% [markdown]
# ## Look at the latent space
#
# The mixture sees a code, the relative Euclidean distance of the reconstruction, and its cosine similarity.

# %%
SVG(plots.as_svg(plots.latent_space(detectors[0].code(X), y)))

# %% [markdown]
# ## Look at the scores
#
# The score is an energy, a negative log density. It may be negative; only its rank matters.

# %%
scores = np.mean([detector.anomaly_score(X) for detector in detectors], axis=0)
SVG(plots.as_svg(plots.score_histogram(scores, y)))

# %% [markdown]
# ## Compare with an autoencoder
#
# Always measure the simpler model too. On these rows it is clearly better: anomalies that mix two groups are hard to
# reconstruct, and an autoencoder needs no mixture to notice. DAGMM is ahead if anomalies are among the training rows,
# as [its published table](../dagmm.md#kdd99-contaminated) shows.

# %%
autoencoder = AutoencoderDetector(training=Training(epochs=60), random_state=0).fit(train)
for name, ranking in {"DAGMM, mean of five seeds": scores, "autoencoder": autoencoder.anomaly_score(X)}.items():
    print(f"{name}: AP {metrics.average_precision(y, ranking):.3f}")

# %% [markdown]
# ## Where to go next
#
# - [DAGMM](../explanation/dagmm.md): what to set
# - [The published table, rerun](../dagmm.md)
