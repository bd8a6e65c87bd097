"""Tiny networks of the families whose channels go together, in float64."""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Two convolutions write one stream."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.outer = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.last, self.output = nn.Conv2d(6, 5, 3, stride=2), nn.Linear(5, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.outer(torch.relu(self.inner(x)))
        return self.output(self.last(x).amax((2, 3)))


class Concatenated(nn.Module):
    """A layer reads what two have written, one after the other."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.norm, self.third, self.output = nn.BatchNorm2d(9), nn.Conv2d(9, 6, 3), nn.Linear(6 * 36, 3)

    def forward(self, x):
        one = torch.relu(self.first(x))
        both = torch.cat([one, self.second(one)], 1)
        return self.output(torch.relu(self.third(self.norm(both))).flatten(1))


class NormAct(nn.BatchNorm2d):
    """A batch norm with its activation inside."""

    def __init__(self, width):
        super().__init__(width)
        self.act = nn.ReLU6()

    def forward(self, x):
        return self.act(super().forward(x))


class Depthwise(nn.Module):
    """An inverted residual block with a gate on its channels."""

    def __init__(self):
        super().__init__()
        self.expand, self.norm1 = nn.Conv2d(3, 8, 1, bias=False), NormAct(8)
        self.depthwise, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), NormAct(8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.project, self.output = nn.Conv2d(8, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm2(self.depthwise(self.norm1(self.expand(x))))
        x = x * torch.sigmoid(self.excite(functional.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.output(self.project(x).mean((2, 3)))


class Grouped(nn.Module):
    """A convolution in groups of channels, and a normalisation in groups of channels."""

    def __init__(self):
        super().__init__()
        self.first, self.grouped = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, groups=4)
        self.norm, self.output = nn.GroupNorm(4, 12), nn.Conv2d(12, 3, 1)

    def forward(self, x):
        return self.output(self.norm(self.grouped(self.first(x)))).mean((2, 3))


class SwiGLU(nn.Module):
    """A gated feed-forward: two producers, one consumer."""

    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 6)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class FusedGLU(nn.Module):
    """The same with both producers in one layer."""

    def __init__(self):
        super().__init__()
        self.both, self.down = nn.Linear(6, 20), nn.Linear(10, 6)

    def forward(self, x):
        return self.down(functional.glu(self.both(x), -1))


class Attention(nn.Module):
    """Causal attention of 4 heads, of which `kv_heads` have keys and values of their own."""

    def __init__(self, kv_heads=4):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = 4, kv_heads, 3
        self.query, self.key, self.value = nn.Linear(6, 12), nn.Linear(6, 3 * kv_heads), nn.Linear(6, 3 * kv_heads)
        self.out = nn.Linear(12, 6)

    def forward(self, x):
        batch, length, _ = x.shape
        query, key, value = (
            layer(x).view(batch, length, heads, self.head_dim).transpose(1, 2)
            for layer, heads in ((self.query, self.heads), (self.key, self.kv_heads), (self.value, self.kv_heads))
        )
        key, value = (part.repeat_interleave(self.heads // self.kv_heads, 1) for part in (key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, self.heads * self.head_dim))


class FusedAttention(nn.Module):
    """Queries, keys and values from one layer, as in vision transformers."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = 2, 3, 6
        self.qkv, self.proj = nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, x):
        batch, length, _ = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, self.attn_dim))


class Conv1D(nn.Module):
    """The Linear layer of GPT-2 in transformers, whose weight is transposed."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf) / 3), nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        size_out = (*x.size()[:-1], self.nf)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size_out)


class TransposedLinear(nn.Module):
    """A feed-forward and heads by `Conv1D`, the heads split from one layer."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.head_dim, self.split_size = 3, 2, 6
        self.c_attn, self.c_proj = Conv1D(18, 6), Conv1D(6, 6)
        self.c_fc, self.c_out = Conv1D(9, 6), Conv1D(6, 9)

    def forward(self, x):
        shape = (*x.shape[:2], self.num_heads, self.head_dim)
        parts = [part.view(shape).transpose(1, 2) for part in self.c_attn(x).split(self.split_size, dim=2)]
        mixed = torch.softmax(parts[0] @ parts[1].transpose(-1, -2), -1) @ parts[2]
        x = x + self.c_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1))
        return self.c_out(functional.gelu(self.c_fc(x)))


class TiedEmbedding(nn.Module):
    """Its output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding, self.position = nn.Embedding(11, 6), nn.Parameter(torch.randn(5, 6))
        self.hidden, self.back = nn.Linear(6, 7), nn.Linear(7, 6)
        self.output = nn.Linear(6, 11, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens) + self.position
        return self.output(x + self.back(torch.relu(self.hidden(x))))


class Sequence(nn.Module):
    """Convolutions over time, back and forth."""

    def __init__(self):
        super().__init__()
        self.down, self.up, self.output = nn.Conv1d(2, 6, 3, 2), nn.ConvTranspose1d(6, 4, 3, 2), nn.Conv1d(4, 3, 1)

    def forward(self, x):
        return self.output(torch.relu(self.up(torch.relu(self.down(x)))))


class Volume(nn.Module):
    """Convolutions in space, with a normalisation."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv3d(1, 6, 2), nn.BatchNorm3d(6), nn.ConvTranspose3d(6, 2, 2)

    def forward(self, x):
        return self.second(torch.relu(self.norm(self.first(x))))


class Recurrent(nn.Module):
    """Two layers of LSTM, which torch keeps equally wide."""

    def __init__(self):
        super().__init__()
        self.lstm, self.output = nn.LSTM(4, 6, 2, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.output(self.lstm(x)[0])


class WithAuxiliary(nn.Module):
    """A second head that is there in training alone."""

    def __init__(self):
        super().__init__()
        self.hidden, self.more, self.output, self.auxiliary = (
            nn.Linear(6, 8),
            nn.Linear(8, 7),
            nn.Linear(7, 3),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        hidden = torch.relu(self.hidden(x))
        output = self.output(torch.relu(self.more(hidden)))
        return output + self.auxiliary(hidden) if self.training else output


class Shuffled(nn.Module):
    """Channels that become pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.shuffle, self.second = nn.Conv2d(3, 16, 3), nn.PixelShuffle(2), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        return self.second(torch.relu(self.shuffle(self.first(x))))


IMAGE, WORDS, TOKENS = (3, 8, 8), (5, 6), "tokens"

FAMILIES = {
    Residual: (IMAGE, {"stem": 6, "inner": 4, "last": 5}),
    Concatenated: (IMAGE, {"first": 4, "second": 5, "third": 6}),
    Depthwise: (IMAGE, {"expand": 8, "squeeze": 2, "project": 4}),
    Grouped: (IMAGE, {"first": 4}),
    SwiGLU: (WORDS, {"gate": 10}),
    FusedGLU: (WORDS, {"both": 10}),
    Attention: (WORDS, {"query": 4}),
    lambda: Attention(2): (WORDS, {"query": 2}),
    FusedAttention: (WORDS, {"qkv": 2}),
    TransposedLinear: (WORDS, {"c_attn": 3, "c_fc": 9}),
    TiedEmbedding: (TOKENS, {"embedding": 6, "hidden": 7}),
    Sequence: ((2, 9), {"down": 6, "up": 4}),
    Volume: ((1, 4, 4, 4), {"first": 6}),
    Recurrent: ((5, 4), {"lstm": 6}),
    WithAuxiliary: ((6,), {"hidden": 8, "more": 7}),
    Shuffled: (IMAGE, {"first": 4}),
}
"""Each family with the shape of a sample, and its exact groups with their widths."""


def samples(shape, count):
    """A batch [count, *shape], or of tokens [count, 5]."""
    generator = torch.Generator().manual_seed(1)
    if shape == TOKENS:
        return torch.randint(0, 11, (count, 5), generator=generator)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)
