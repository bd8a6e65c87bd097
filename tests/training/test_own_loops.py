"""The loops of docs/library.md, run as they are written there on tiny networks."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import dtcbench

LIBRARY = (Path(__file__).parents[2] / "docs/library.md").read_text(encoding="utf-8")
NEEDS = "needs `pip install 'dtcbench[loops]'`"
X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
DATA = list(zip(X, X[:, :3].argmax(1), strict=True))


def written(words, **names):
    """What the block of Python with these words defines, run with these names."""
    [code] = [block for block in re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL) if words in block]
    defined = {"dtcbench": dtcbench, "torch": torch, **names}
    exec(code, defined)  # noqa: S102
    return defined


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 3))


def refuse_other_moments(layer, optimizer):
    """The optimiser goes on with the smaller layer's parameters, and with their moments."""
    held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    assert set(layer.parameters()) <= held
    assert optimizer.state[layer.weight]["exp_avg"].shape == layer.weight.shape


def test_a_plain_loop():
    def train_for_a_while(model, optimizer):
        for x, y in DataLoader(DATA, batch_size=16):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()

    model = network()
    defined = written("for cycle in range(10)", model=model, example=X[:1], train_for_a_while=train_for_a_while)
    assert model[0].out_features == round(40 * 0.8**10) == 4
    refuse_other_moments(model[0], defined["optimizer"])


def test_a_callback_of_lightning():
    lightning = pytest.importorskip("pytorch_lightning", reason=NEEDS)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()

        def training_step(self, batch, _):
            x, y = batch
            return cross_entropy(self.network(x), y)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    callback = written("pytorch_lightning.Callback", pytorch_lightning=lightning, example=X[:1])["Compress"]()
    quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", callbacks=[callback], **quiet)
    module = Module()
    trainer.fit(module, DataLoader(DATA, batch_size=16))
    assert module.network[0].out_features == round(40 * 0.8**3) == 20
    refuse_other_moments(module.network[0], trainer.optimizers[0])


def test_a_callback_of_hugging_face(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason=NEEDS)
    pytest.importorskip("accelerate", reason=NEEDS)
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)  # it would find tests/datasets
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 40}
    config = transformers.BertConfig(vocab_size=16, max_position_embeddings=8, num_labels=3, **sizes)
    model = transformers.BertForSequenceClassification(config)
    example = torch.zeros(1, 6, dtype=torch.int64)
    callback = written("transformers.TrainerCallback", transformers=transformers, example=example)["Compress"]()
    options = {"num_train_epochs": 3, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(str(tmp_path), **options),
        train_dataset=[{"input_ids": torch.full((6,), n), "labels": torch.tensor(n % 3)} for n in range(16)],
        callbacks=[callback],
    )
    trainer.train()
    layer = model.bert.encoder.layer[0].intermediate.dense
    assert layer.out_features == round(40 * 0.8**3) == 20
    refuse_other_moments(layer, callback.compressor.optimizer)
