"""What the transformers see, and in which order."""

import pytest
import torch
from torch.nn import functional

from dtcbench.models.transformer import Attention

SMALL = {"width": 8, "depth": 2, "heads": 2}


@pytest.fixture
def tokens():
    return torch.randint(10, (2, 6), generator=torch.Generator().manual_seed(0))


def test_later_tokens_do_not_change_earlier_logits(build, tokens):
    gpt, changed = build("gpt-nano", (6,), **SMALL), tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 10
    before, after = gpt(tokens), gpt(changed)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).any(2).all()


def test_a_shorter_text_gives_the_first_logits_of_the_longer(build, tokens):
    gpt = build("gpt-nano", (6,), **SMALL)
    torch.testing.assert_close(gpt(tokens[:, :4]), gpt(tokens)[:, :4])


def test_where_a_patch_is_matters_through_its_position_alone(build):
    vit, image = build("vit-tiny", (1, 8, 8), **SMALL), torch.rand(1, 1, 8, 8)
    exchanged = image.roll(4, 3)  # the left patches and the right ones
    assert (vit(image) - vit(exchanged)).abs().max() > 1e-5
    with torch.no_grad():
        vit.positions.weight.zero_()
    torch.testing.assert_close(vit(image), vit(exchanged), rtol=0, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torch_s_own(causal):
    torch.manual_seed(0)
    attention, x = Attention(8, heads=2, bias=True), torch.rand(3, 5, 8)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    q, k, v = (
        layer(x).reshape(3, 5, 2, 4).permute(0, 2, 1, 3) for layer in (attention.query, attention.key, attention.value)
    )
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(attention(x, hidden), attention.proj(mixed.permute(0, 2, 1, 3).reshape(3, 5, 8)))
