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
# # Notebook: an autoencoder of card payments
#
# Published workflows train an autoencoder on legitimate payments and read a threshold off the test rows. This notebook
# does the same on simulated payments, but sets the threshold on validation rows, and asks what training was worth.

# %%
import polars as pl
from IPython.display import SVG

from oddrow import AutoencoderDetector, Rule, Training, metrics, plots, simulate
from oddrow.explain import counterfactuals, reasons

rows = simulate(20_000)
columns = ["amount", "customer_count_7d", "customer_mean_amount_7d", "terminal_count_7d", "terminal_risk_7d"]
past, new = rows.head(14_000), rows.tail(6_000)
for name, part in {"past": past, "new": new}.items():
    print(f"{part['is_fraud'].sum()} of {part.height:,} {name} rows are fraud")

# %% [markdown]
# ## Look at the data
#
# Frauds are rare, so the plot counts each class separately.

# %%
SVG(plots.as_svg(plots.column_by_class(rows["amount"], rows["is_fraud"], name="amount")))

# %% [markdown]
# ## Train
#
# The latest 2,000 past rows are validation rows. Known frauds are excluded from both parts.

# %%
train, validation = past.head(12_000), past.tail(2_000)
normal = validation.filter(pl.col("is_fraud") == 0)
detector = AutoencoderDetector(training=Training(epochs=20), random_state=0)
detector.fit(train[columns], train["is_fraud"], validation=normal[columns])
print(detector)

# %%
losses = [epoch["loss"] for epoch in detector.loss_curve_]
SVG(plots.as_svg(plots.loss_curve({"training": losses}, unit="loss")))

# %% [markdown]
# ## Set a threshold
#
# At most 1 % of future normal rows should be alerts.

# %%
threshold = Rule.parse("false-alarms:0.01").threshold(detector.anomaly_score(normal[columns]))
threshold

# %%
scores, y = detector.anomaly_score(new[columns]), new["is_fraud"].to_numpy()
alerts = threshold.alerts(scores)
print(
    f"{alerts.sum()} alerts, {(alerts & (y == 1)).sum()} of them fraud; {(alerts & (y == 0)).mean():.1%} false alarms"
)
SVG(plots.as_svg(plots.score_histogram(scores, y, {"threshold": threshold.value})))

# %% [markdown]
# ## Was training worth it?
#
# Compare the average precision with that of the amount alone.

# %%
for name, ranking in {"autoencoder": scores, "amount alone": new["amount"].to_numpy()}.items():
    print(f"{name}: AP {metrics.average_precision(y, ranking):.3f}, AUROC {metrics.auroc(y, ranking):.3f}")

# %% [markdown]
# ## Why is a row an alert?

# %%
oddest = new[scores.argsort()[-3:]][columns]
for of_row in reasons(detector, oddest, n=2):
    print(*of_row, sep="; ")

# %%
counterfactuals(detector, oddest, threshold.value)

# %% [markdown]
# ## Where to go next
#
# - [Published autoencoders](../recipes.md): the same on real payments and heartbeats
# - [Set a threshold](../how-to/set-a-threshold.md)
