"""Networks of torchvision, timm and transformers, where these are installed."""

import pytest
import torch

from dtcbench.errors import UserError
from dtcbench.models.from_timm import TIMM
from dtcbench.models.from_torchvision import TORCHVISION
from dtcbench.models.from_transformers import TRANSFORMERS

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL_GQA = {**SMALL, "num_key_value_heads": 2}


def needing(library):
    """Marks a test that is skipped where the library is not installed."""
    return pytest.mark.skipif(bool(library.missing), reason=library.missing)


def tokens(count=2, length=6):
    return torch.randint(10, (count, length), generator=torch.Generator().manual_seed(0))


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


@needing(TORCHVISION)
def test_torchvision_has_the_network_of_the_literature_and_takes_grey_images(build):
    network = build("torchvision", (1, 8, 8), 1000, architecture="resnet18").eval()
    assert size_of(network) == 11_689_512
    grey = torch.rand(2, 1, 8, 8)
    logits = network(grey)
    assert logits.shape == (2, 1000)
    coloured = build("torchvision", (3, 8, 8), 1000, architecture="resnet18").eval()
    assert torch.equal(coloured(grey.expand(-1, 3, -1, -1)), logits)


@needing(TORCHVISION)
def test_torchvision_builds_a_transformer_for_the_size_that_images_are_brought_to(build):
    network = build("torchvision", (1, 8, 8), architecture="vit_b_32", size=64)
    assert network.image_size == 64
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@needing(TORCHVISION)
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 8, 8), {"architecture": "resnet81"}, "unknown architecture 'resnet81'; did you mean 'resnet18'"),
        ((1, 8, 8), {"architecture": "fcn_resnet50"}, "unknown architecture 'fcn_resnet50'"),  # no classifier
        ((1, 8, 8), {"architecture": "resnet18", "arguments": {"weights": "DEFAULT"}}, "argument weights"),
        ((2, 8, 8), {"architecture": "resnet18"}, "images of 2 channels; choose images of 1 or 3, or model timm"),
        ((16,), {"architecture": "resnet18"}, "torchvision takes images"),
    ],
)
def test_torchvision_refuses_what_cannot_work(build, shape, options, message):
    with pytest.raises(UserError, match=message):
        build("torchvision", shape, **options)


@needing(TIMM)
def test_timm_builds_for_the_channels_and_the_size_of_the_images(build):
    network = build("timm", (1, 28, 28), architecture="vit_tiny_patch16_224", arguments={"patch_size": 7, "depth": 1})
    assert network.patch_embed.proj.weight.shape == (192, 1, 7, 7)
    assert network.pos_embed.shape == (1, 4 * 4 + 1, 192)
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert not any(getattr(module, "fused_attn", False) for module in network.modules())


@needing(TIMM)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "hf-hub:timm/resnet18"}, "unknown architecture 'hf-hub:timm/resnet18'"),
        ({"architecture": "resnet18", "arguments": {"pretrained": True}}, "argument pretrained"),
        ({"architecture": "resnet18", "arguments": {"checkpoint_path": "x.pth"}}, "argument checkpoint_path"),
    ],
)
def test_timm_loads_no_weights(build, options, message):
    with pytest.raises(UserError, match=message):
        build("timm", (3, 32, 32), **options)


@needing(TRANSFORMERS)
@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
        ("llama", SMALL_GQA),
        ("bert", SMALL),  # an encoder, used as a decoder
        ("roberta", SMALL),  # counts positions of tokens that are not its padding
    ],
)
def test_transformers_see_no_later_token_and_take_every_token_for_one(build, architecture, arguments):
    network = build("transformers", (6,), architecture=architecture, arguments=arguments).eval()
    x = tokens()
    before, x[:, 3] = network(x), (x[:, 3] + 1) % 10
    after = network(x)
    assert before.shape == (2, 6, 10)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).any(2).all()
    padded = network(torch.ones(1, 6, dtype=torch.int64))  # 1 is RoBERTa's padding
    assert (padded[0, 0] - padded[0, 5]).abs().max() > 1e-6 or architecture == "llama"


@needing(TRANSFORMERS)
def test_transformers_take_vocabulary_and_positions_from_the_data(build):
    network = build("transformers", (6,), 7, architecture="gpt2", arguments={"n_embd": 32, "n_layer": 1, "n_head": 2})
    assert network.transformer.wte.weight.shape == (7, 32)
    assert network.transformer.wpe.weight.shape == (6, 32)
    assert not network.config.use_cache
    longer = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 20}
    assert build("transformers", (6,), 7, architecture="gpt2", arguments=longer).transformer.wpe.weight.shape[0] == 20


@needing(TRANSFORMERS)
def test_transformers_take_images(build):
    arguments = {**SMALL, "patch_size": 4}
    network = build("transformers", (1, 8, 8), architecture="vit", arguments=arguments)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@needing(TRANSFORMERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "lama"}, "unknown architecture 'lama'; did you mean .*'llama'"),
        ({"architecture": "vit"}, "no network of vit predicts the next token"),
        ({"architecture": "bert", "arguments": {"architectures": ["BertForMaskedLM"]}}, r"write \[BertLMHeadModel\]"),
        ({"architecture": "gpt2", "arguments": {"architectures": ["GPT2ForSequenceClassification"]}}, "have no labels"),
        ({"architecture": "t5"}, "no network of t5 predicts the next token, as it has an encoder and a decoder"),
        ({"architecture": "gpt2", "arguments": {"n_positions": 5}}, "n_positions 5 for texts of 6 tokens; raise it"),
        ({"architecture": "llama", "arguments": {"auto_map": {"AutoModel": "x--y.Z"}}}, "argument auto_map"),
        ({"architecture": "llama", "arguments": {"_attn_implementation": "x/y"}}, "argument _attn_implementation"),
        ({"architecture": "llama", "arguments": {"vocab_size": 5}}, "argument vocab_size"),
        ({"architecture": "xlm", "arguments": {"n_words": 5}}, "argument n_words"),
        ({"architecture": "gemma3n", "arguments": {"vision_config": {"architecture": "hf-hub:x/y"}}}, "hf-hub:x/y"),
        ({"config": "x.json"}, "x.json is not read yet; plan it from a suite"),
    ],
)
def test_transformers_refuse_what_cannot_work(build, options, message):
    with pytest.raises(UserError, match=message):
        build("transformers", (6,), **options)


@needing(TRANSFORMERS)
def test_transformers_build_no_network_of_timm(build):
    with pytest.raises(UserError, match="timm_wrapper is a network of timm; choose model timm"):
        build("transformers", (3, 32, 32), architecture="timm_wrapper", arguments={"architecture": "resnet18"})


@needing(TRANSFORMERS)
def test_attention_that_is_not_written_out_is_refused_however_it_was_set(build, monkeypatch):
    import transformers

    class Fused(transformers.LlamaConfig):
        def __post_init__(self, **kwargs):
            super().__post_init__(**kwargs)
            self._attn_implementation = "sdpa"

    network = build("transformers", (6,), architecture="llama", arguments=SMALL)
    assert network.config._attn_implementation == "eager"
    monkeypatch.setattr(transformers, "CONFIG_MAPPING", {"llama": Fused})
    monkeypatch.setattr(transformers, "MODEL_FOR_CAUSAL_LM_MAPPING", {Fused: transformers.LlamaForCausalLM})
    with pytest.raises(UserError, match="llama has attn_implementation 'sdpa', not 'eager'"):
        build("transformers", (6,), architecture="llama", arguments=SMALL)
