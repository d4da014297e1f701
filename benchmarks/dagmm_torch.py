"""DAGMM in plain PyTorch, written from the paper (Zong et al., ICLR 2018), to be raced against."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from train_networks import MIXTURE, Network, Weights


def dagmm(network: Network, start: Weights) -> nn.ModuleList:
    """Encoder, decoder and estimator with these weights."""
    layers = iter([linear(*of_layer) for of_layer in start])
    stacks = [[next(layers) for _ in widths[1:]] for widths in network.stacks]
    between: list[list[type[nn.Module] | Any]] = [
        [nn.Tanh],
        [nn.Tanh],
        [nn.Tanh, lambda: nn.Dropout(MIXTURE["dropout"])],
    ]
    return nn.ModuleList([_stack(dense, kinds) for dense, kinds in zip(stacks, between, strict=True)])


def _stack(dense: list[nn.Linear], between: list[Any]) -> nn.Sequential:
    *hidden, last = dense
    return nn.Sequential(*(part for layer in hidden for part in (layer, *(kind() for kind in between))), last)


def linear(weight: Any, bias: Any) -> nn.Linear:
    """A layer with this weight (d_in, d_out) and bias."""
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight).T)
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def loss(networks: nn.ModuleList, batch: torch.Tensor) -> torch.Tensor:
    """Equation 7 of the paper for one batch."""
    encoder, decoder, estimator = networks
    code = encoder(batch)
    rebuilt = decoder(code)
    distance = (batch - rebuilt).norm(dim=1) / batch.norm(dim=1)
    cosine = torch.cosine_similarity(batch, rebuilt, dim=1)
    z = torch.cat([code, distance[:, None], cosine[:, None]], dim=1)
    energy, penalty = _energy(z, estimator(z).softmax(dim=1))
    error = (batch - rebuilt).square().sum(dim=1).mean()
    return error + MIXTURE["lambda_energy"] * energy.mean() + MIXTURE["lambda_covariance"] * penalty


def _energy(z: torch.Tensor, memberships: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The energy of every row under the mixture of the batch, and the sum of inverse variances (eq. 5 and 6)."""
    n_of_each, width = memberships.sum(dim=0), z.shape[1]
    mean = memberships.T @ z / n_of_each[:, None]
    centred = z[:, None, :] - mean
    scatter = torch.einsum("nki,nkj->kij", centred * memberships[:, :, None], centred)
    covariance = scatter / n_of_each[:, None, None] + MIXTURE["covariance_floor"] * torch.eye(width)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, centred.permute(1, 2, 0), upper=False)
    log_scale = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1) + 0.5 * width * math.log(2 * math.pi)
    log_share = (n_of_each / len(z)).log()
    energy = -torch.logsumexp((log_share - log_scale)[:, None] - 0.5 * whitened.square().sum(dim=1), dim=0)
    return energy, (1 / covariance.diagonal(dim1=1, dim2=2)).sum()
