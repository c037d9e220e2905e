"""Mean-centring."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from refact_edge.export.centre import centred
from refact_edge.export.inspect import inspect_checkpoint
from refact_edge.export.progress import SILENT
from refact_edge.export.roles import weight_specs


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
    logits = {}
    ids = torch.arange(3, 60)[None]
    for name, rewrite, swap in (
        ("model", False, False),
        ("centred", True, False),
        ("centred, RMSNorm", True, True),
        ("RMSNorm alone", False, True),
    ):
        model = found.architecture.reference(found.checkpoint)
        state = {}
        for spec in weight_specs(found.decoder):
            weight = found.weight(spec.name)
            # The tiny checkpoint's embedding has next to no mean by itself.
            weight = weight + 0.02 if spec.role == "embedding" else weight
            weight = centred(spec, weight) if rewrite else weight
            (tensor,) = found.tensor_names(spec.name)
            state[tensor] = torch.from_numpy(np.ascontiguousarray(weight.reshape(spec.shape)))
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
