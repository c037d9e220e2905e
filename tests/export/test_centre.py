"""Mean-centring."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from refact_edge.export.architectures.gpt_refact import reference
from refact_edge.export.centre import centred
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.export.weights import load_weight


class RMSNorm(nn.Module):
    """The norm that does not subtract the mean."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return scaled * self.weight


def test_centred_weights_under_rms_norm_give_the_logits_of_the_model(tiny_checkpoint: Path) -> None:
    found = inspect_checkpoint(tiny_checkpoint, SILENT)
    specs = found.architecture.weight_specs(found.config, set(found.checkpoint.tensors))
    logits = {}
    ids = torch.arange(3, 60)[None]
    for name, rewrite, swap in (
        ("model", False, False),
        ("centred", True, False),
        ("centred, RMSNorm", True, True),
        ("RMSNorm alone", False, True),
    ):
        model = reference(found.config)
        state = {}
        for spec in specs:
            weight = load_weight(found.checkpoint, spec)
            # The tiny checkpoint's embedding has next to no mean by itself.
            weight = weight + 0.02 if spec.role == "embedding" else weight
            weight = centred(spec, weight) if rewrite else weight
            state[spec.name] = torch.from_numpy(np.ascontiguousarray(weight.reshape(spec.shape)))
        model.load_state_dict(state)
        if swap:
            for module in list(model.modules()):
                for part, norm in list(module.named_children()):
                    if isinstance(norm, nn.LayerNorm):
                        setattr(module, part, RMSNorm(norm))
        with torch.inference_mode():
            logits[name] = model(ids)[0].numpy()
    scale = np.abs(logits["model"]).max()
    for name in ("centred", "centred, RMSNorm"):
        assert np.abs(logits[name] - logits["model"]).max() < 1e-4 * scale
    assert np.abs(logits["RMSNorm alone"] - logits["model"]).max() > 1e-2 * scale
