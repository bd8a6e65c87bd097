"""The block of vit-tiny and gpt-nano."""

from __future__ import annotations

import math

import torch
from torch import nn

from dtcbench.errors import UserError


def check_heads(model: str, width: int, heads: int) -> None:
    """UserError if `heads` cannot share `width` equally."""
    if width % heads:
        raise UserError(f"{model}: width {width} cannot be shared by {heads} heads; make it a multiple of {heads}")


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, §3.2)."""

    # Query, key and value are layers of their own, and the products are written out: torch's fused attention
    # is not counted among the FLOPs on a CPU, and its gradient is not deterministic on every GPU.

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor | None) -> torch.Tensor:
        """[b, T, width] -> [b, T, width]; `hidden` [T, T] is true if row t must not see column s."""
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )  # each [b, heads, T, width/heads]
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])  # [b, heads, T, T]
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        out: torch.Tensor = self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Linear, GELU, Linear: four times as wide inside, which can be pruned."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 4 * width, bias=bias)
        self.gelu = nn.GELU()
        self.proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, T, width] -> [b, T, width]."""
        out: torch.Tensor = self.proj(self.gelu(self.fc(x)))
        return out


class TransformerBlock(nn.Module):
    """Attention, then the feed-forward, each normalised before and added to the residual stream."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, bias=bias)
        self.attention = Attention(width, heads, bias)
        self.norm2 = nn.LayerNorm(width, bias=bias)
        self.mlp = FeedForward(width, bias)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """[b, T, width] -> [b, T, width]; `hidden` as in Attention."""
        x = x + self.attention(self.norm1(x), hidden)
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out
