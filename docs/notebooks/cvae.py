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
# # Notebook: frauds from a conditional VAE
#
# A published workflow generates frauds before it splits the rows, so generated frauds end up in the test. This notebook
# generates them in the training folds only, checks that they look real, and measures whether they help.

# %%
import polars as pl
from imblearn.over_sampling import SMOTE
from IPython.display import SVG
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from oddrow import CVAESampler, Training, plots, simulate
from oddrow.evaluate import stratified_folds
from oddrow.resampling import compare

rows = simulate(20_000)
columns = ["amount", "customer_count_7d", "customer_mean_amount_7d", "terminal_count_7d", "terminal_risk_7d"]
X, y = rows[columns], rows["is_fraud"].to_numpy()
print(f"{y.sum()} frauds in {len(y):,} rows")

# %% [markdown]
# ## Generate frauds

# %%
sampler = CVAESampler(training=Training(epochs=20), random_state=0)
X_all, y_all = sampler.fit_resample(X, y)
generated = X_all.filter(sampler.synthetic_mask_)
generated.head(5)

# %% [markdown]
# ## Do they look like frauds?

# %%
frauds = X.filter(pl.Series(y == 1))
SVG(plots.as_svg(plots.marginals(frauds["amount"], generated["amount"], name="amount")))

# %%
SVG(plots.as_svg(plots.marginals(frauds["terminal_risk_7d"], generated["terminal_risk_7d"], name="terminal_risk_7d")))

# %% [markdown]
# ## Do they help a classifier?
#
# Each fold resamples its training rows only. The gain is the difference in average precision to no resampling.

# %%
small = CVAESampler(sampling_strategy=0.1, training=Training(epochs=5), random_state=0)
found = compare(
    {"nothing": None, "SMOTE": SMOTE(sampling_strategy=0.1, random_state=0), "CVAE": small},
    {
        "logistic regression": LogisticRegression(max_iter=1000),
        "random forest": RandomForestClassifier(50, random_state=0),
    },
    X.to_numpy(),
    y,
    stratified_folds(y, 3, 1, seed=0),
)
found

# %%
print(*found.verdicts, sep="\n")

# %% [markdown]
# ## Where to go next
#
# - [Generate rare rows](../how-to/generate-rare-rows.md)
# - [Resampling on three tables](../compare.md): the same on real data
