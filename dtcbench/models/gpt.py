"""Character-level language models."""

from __future__ import annotations

import math

import torch
from torch import nn

from dtcbench.models.initialisation import drawn, redraw, small_normal
from dtcbench.models.shapes import Size, text_length
from dtcbench.models.transformer import TransformerBlock, check_heads
from dtcbench.registry import register_model


class GPT(nn.Module):
    """Tokens, embedded with their positions, through causal transformer layers, to the next tokens' logits."""

    # The output has weights of its own: GPT-2 ties them to the token embedding, which saves little where the
    # vocabulary is an alphabet, and a parameter that stands in two places is lost when a network is copied.

    def __init__(self, length: int, vocabulary: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.layers = nn.ModuleList(TransformerBlock(width, heads, bias=False) for _ in range(depth))
        self.norm = nn.LayerNorm(width, bias=False)
        self.output = nn.Linear(width, vocabulary, bias=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters anew from their present shapes."""
        redraw(self, small_normal, generator)
        with torch.no_grad():  # the layers that add to the residual stream: by 1/√(additions)
            for name, module in self.named_modules():
                if isinstance(module, nn.Linear) and name.endswith(".proj"):
                    module.weight.div_(math.sqrt(2 * len(self.layers)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Token ids [b, t], int64, t ≤ T -> [b, t, vocabulary]; row t has seen the tokens up to t."""
        place = torch.arange(x.shape[1], device=x.device)
        hidden = place > place[:, None]  # [t, t]: the future
        stream = self.tokens(x) + self.positions(place)
        for layer in self.layers:
            stream = layer(stream, hidden)
        out: torch.Tensor = self.output(self.norm(stream))
        return out


@register_model("gpt-nano")
def gpt_nano(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    width: Size = 384,
    depth: Size = 6,
    heads: Size = 6,
) -> GPT:
    """GPT for characters: a small decoder-only transformer.

    Token ids [b, T], int64 -> logits [b, T, num_classes], of each next token; num_classes is the vocabulary's size.
    UserError for samples that are not texts and for heads that do not divide the width. Architecture: GPT-2 (Radford
    et al. 2019) as nanoGPT's baby GPT (github.com/karpathy/nanoGPT, config/train_shakespeare_char.py): no biases;
    here without dropout and with an output layer of its own. The feed-forward widths can be pruned, attention stays
    whole. Initialisation: N(0, 0.02²), the layers that add to the residual stream divided by √(2·depth) (GPT-2, §2.3).

    Dense loss on Tiny Shakespeare in the literature (nanoGPT's README, validation, nats per character): 1.4697, which
    is 2.12 bits, for the default sizes with T = 256 and dropout 0.2; 1.88, which is 2.71 bits, for
    `{width: 128, depth: 4, heads: 4}` with T = 64, 2000 steps of 12 texts and no dropout.
    """
    length = text_length("gpt-nano", input_shape)
    check_heads("gpt-nano", width, heads)
    return drawn(lambda: GPT(length, num_classes, width, depth, heads), generator)
