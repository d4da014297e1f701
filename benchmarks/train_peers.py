"""oddrow and its peers, each training one of the networks in its usual way; every call starts from the same weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from race import Once
from train_networks import MIXTURE, NETWORKS, Floats, Network, Weights, training_flops

ADAM_EPSILON = 1e-8
# PyOD has one activation for all hidden layers: the commonest, or what comes nearest.
PYOD_ACTIVATIONS = {"keras": "tanh", "dropout": "relu", "wide": "relu"}
PYOD_DEFAULT_HIDDEN = (64, 32)


def oddrow_train(*, network: str, n_rows: int, epochs: int, n_held_out: int, threads: int) -> Once:
    """`oddrow.train.loop.train`, as the detectors call it, with the number of threads that JAX chooses."""
    from oddrow.train.loop import train
    from oddrow.train.training import Training

    of = NETWORKS[network]
    rows, held_out = (_without_categories(part) for part in of.rows(n_rows, n_held_out))
    training = Training(
        epochs=epochs,
        batch_size=of.batch_size,
        learning_rate=of.learning_rate,
        clip_norm=None,
        patience=None,
    )
    start = oddrow_network(of)

    def once() -> list[float]:
        history = train(start, rows, training, seed=0, validation=held_out if n_held_out else None).loss_curve
        return [entry["validation_loss" if n_held_out else "loss"] for entry in history]

    return once


def oddrow_network(of: Network) -> Any:
    """The network with the weights that everybody starts from."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    key, n_columns = jax.random.key(0), of.widths[0]
    if of.is_dagmm:
        from oddrow.nets.dagmm import DAGMM

        hidden = of.widths[1 : of.widths.index(of.n_code)]
        *estimation, n_components = of.estimation
        sizes: tuple[Any, ...] = (hidden, of.n_code, estimation, n_components, of.activations[: len(hidden)])
        network: Any = DAGMM(n_columns, (), *sizes, **MIXTURE, key=key)
    else:
        from oddrow.nets.autoencoder import Autoencoder

        *hidden_activations, output = of.activations
        shape = (n_columns, (), of.hidden, hidden_activations, 0.0)
        network = Autoencoder(*shape, dropout=of.dropout, output=output, key=key)
    start = [jnp.asarray(values) for layer in of.start() for values in layer]
    return eqx.tree_at(_layers, network, start)


def _layers(network: Any) -> list[Any]:
    """Weight and bias of every layer of oddrow's network, in the order of `Network.start`."""
    names = [name for name in ("stack", "encoder", "decoder", "estimator") if hasattr(network, name)]
    layers = [layer for name in names for layer in getattr(network, name).layers]
    return [values for layer in layers for values in (layer.weight, layer.bias)]


def _without_categories(rows: Floats) -> tuple[Floats, Any]:
    return rows, np.empty((len(rows), 0), dtype=np.int32)


def keras_fit(*, network: str, n_rows: int, epochs: int, n_held_out: int, threads: int) -> Once:
    """Keras on TensorFlow: one `fit` of a compiled model, which weighs its validation rows batch by batch."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    of = NETWORKS[network]
    rows, held_out = of.rows(n_rows, n_held_out)
    model = keras_network(of)
    model.compile(keras.optimizers.Adam(of.learning_rate, epsilon=ADAM_EPSILON), "mse")
    restart = keras_restart(model, of.start())
    validation = {"validation_data": (held_out, held_out)} if n_held_out else {}

    def once() -> list[float]:
        restart()
        history = model.fit(rows, rows, of.batch_size, epochs, verbose=0, **validation).history
        return list(history["val_loss" if n_held_out else "loss"])

    return once


def keras_network(of: Network) -> Any:
    """The network as `keras.Sequential`."""
    import keras

    activations = {
        "gelu": lambda x: keras.activations.gelu(x, approximate=True),
        "leaky-relu": lambda x: keras.activations.leaky_relu(x, negative_slope=0.2),
    }
    layers: list[Any] = [keras.layers.Input((of.widths[0],))]
    for place, (width, name) in enumerate(zip(of.widths[1:], of.activations, strict=True)):
        layers.append(keras.layers.Dense(width, activations.get(name, name)))
        if any(of.dropout[place : place + 1]):
            layers.append(keras.layers.Dropout(of.dropout[place]))
    return keras.Sequential(layers)


def keras_restart(model: Any, start: Weights) -> Callable[[], None]:
    """A function that puts weights and optimiser back where they began, so that nothing is compiled anew."""
    model.optimizer.build(model.trainable_variables)
    values = [part for layer in start for part in layer]
    at_first = [variable.numpy() for variable in model.optimizer.variables]

    def restart() -> None:
        model.set_weights(values)
        for variable, value in zip(model.optimizer.variables, at_first, strict=True):
            variable.assign(value)

    return restart


def pytorch_loop(*, network: str, n_rows: int, epochs: int, n_held_out: int, threads: int) -> Once:
    """A plain eager loop with fused Adam over batches of rows that were shuffled once an epoch."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    of = NETWORKS[network]
    rows, held_out = (torch.from_numpy(part) for part in of.rows(n_rows, n_held_out))

    def once() -> list[float]:
        model, loss_of = pytorch_network(of)
        adam = torch.optim.Adam(model.parameters(), of.learning_rate, eps=ADAM_EPSILON, fused=True)
        losses = []
        for _ in range(epochs):
            loss = pytorch_epoch(model, loss_of, adam, rows, of.batch_size)
            losses.append(pytorch_validation(model, loss_of, held_out) if n_held_out else loss)
        return losses

    return once


def pytorch_epoch(model: Any, loss_of: Callable[..., Any], adam: Any, rows: Any, batch_size: int) -> float:
    """One pass over all rows; returns the mean loss."""
    import torch

    model.train()
    total = torch.zeros(())
    for batch in rows[torch.randperm(len(rows))].split(batch_size):
        adam.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        adam.step()
        total += loss.detach() * len(batch)
    return float(total.item() / len(rows))


def pytorch_validation(model: Any, loss_of: Callable[..., Any], held_out: Any) -> float:
    """The loss of all held-out rows at once, without gradients or dropout."""
    import torch

    model.eval()
    with torch.no_grad():
        return float(loss_of(model, held_out))


def pytorch_network(of: Network, start: Weights | None = None) -> tuple[Any, Callable[..., Any]]:
    """The network as modules of torch, with these weights or those everybody starts from, and its loss."""
    from torch import nn

    import dagmm_torch

    start = of.start() if start is None else start
    if of.is_dagmm:
        return dagmm_torch.dagmm(of, start), dagmm_torch.loss
    activations: dict[str, Callable[[], nn.Module]] = {
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "leaky-relu": lambda: nn.LeakyReLU(0.2),
        "gelu": lambda: nn.GELU(approximate="tanh"),
        "linear": nn.Identity,
    }
    layers: list[nn.Module] = []
    for place, (layer, name) in enumerate(zip(start, of.activations, strict=True)):
        layers += [dagmm_torch.linear(*layer), activations[name]()]
        if any(of.dropout[place : place + 1]):
            layers.append(nn.Dropout(of.dropout[place]))
    return nn.Sequential(*layers), lambda model, batch: nn.functional.mse_loss(model(batch), batch)


def pyod_fit(*, network: str, n_rows: int, epochs: int, alike: bool, threads: int) -> Once:
    """PyOD's AutoEncoder with its own defaults, or as much like the network as it can be.

    Its `fit` ends with the scores of all training rows, which is no part of training and is left out here.
    """
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(threads)
    of = NETWORKS[network]
    rows, _ = of.rows(n_rows)
    settings = pyod_settings(of) if alike else {}

    def once() -> list[float]:
        detector = AutoEncoder(epoch_num=epochs, verbose=0, **settings)
        detector.decision_function = lambda X: np.zeros(len(X))
        detector.fit(rows)
        return []

    return once


def pyod_settings(of: Network) -> dict[str, Any]:
    """What comes nearest: the encoder's widths, which its decoder mirrors, and one dropout and activation for all."""
    return {
        "hidden_neuron_list": list(pyod_encoder(of)),
        "hidden_activation_name": PYOD_ACTIVATIONS[of.name],
        "batch_norm": False,
        "dropout_rate": max(of.dropout, default=0.0),
        "preprocessing": False,
        "batch_size": of.batch_size,
        "lr": of.learning_rate,
        "optimizer_params": {},
    }


def pyod_encoder(of: Network) -> tuple[int, ...]:
    """The widths from the first hidden layer to the narrowest."""
    return of.hidden[: of.hidden.index(of.n_code) + 1]


def pyod_widths(of: Network, *, alike: bool) -> tuple[int, ...]:
    """The widths of PyOD's network, from left to right."""
    encoder = (of.widths[0], *(pyod_encoder(of) if alike else PYOD_DEFAULT_HIDDEN))
    return (*encoder, *encoder[-2::-1])


def pyod_flops_per_row(of: Network, *, alike: bool) -> int:
    """As `Network.flops_per_row`."""
    return training_flops([pyod_widths(of, alike=alike)])
