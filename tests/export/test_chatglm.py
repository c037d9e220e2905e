"""Our ChatGLM2 in torch, beside the same arithmetic number by number."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ROWS, config_json
from chatglm import chatglm_model

from refact_edge.export.reference.chatglm import rotate_pairs


def test_neighbours_are_rotated_by_their_position_and_the_second_half_is_not() -> None:
    x = torch.randn(1, 5, 2, 8, generator=torch.Generator().manual_seed(1))
    rotated = rotate_pairs(x, 100.0)
    for token in range(5):
        for pair in range(2):
            angle = token * 100.0 ** (-2 * pair / 4)
            a, b = (x[0, token, 1, 2 * pair + i].item() for i in (0, 1))
            assert rotated[0, token, 1, 2 * pair].item() == pytest.approx(
                a * math.cos(angle) - b * math.sin(angle), abs=1e-6
            )
            assert rotated[0, token, 1, 2 * pair + 1].item() == pytest.approx(
                a * math.sin(angle) + b * math.cos(angle), abs=1e-6
            )
    torch.testing.assert_close(rotated[..., 4:], x[..., 4:])


class _Plain:
    """The model with one token, one head and one number after the other, in double precision."""

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        self.config = config
        self.weights = {name: tensor.double().numpy() for name, tensor in weights.items()}
        self.keys: list[list[Any]] = [[] for _ in range(config["num_layers"])]
        self.values: list[list[Any]] = [[] for _ in range(config["num_layers"])]

    def norm(self, x: Any, name: str) -> Any:
        mean = sum(float(value) ** 2 for value in x) / len(x)
        root = math.sqrt(mean + self.config["layernorm_epsilon"])
        return np.array([value / root for value in x]) * self.weights[f"{name}.weight"]

    def rotated(self, head: Any, place: int) -> Any:
        half = len(head) // 2
        points = [complex(head[i], head[i + 1]) for i in range(0, half, 2)]
        turned = [
            point * complex(math.cos(angle), math.sin(angle))
            for point, angle in (
                (point, place * 10000.0 ** (-2 * i / half)) for i, point in enumerate(points)
            )
        ]
        parts = [part for point in turned for part in (point.real, point.imag)]
        return np.array([*parts, *head[half:]])

    def attention(self, x: Any, layer: int, place: int) -> Any:
        config, name = self.config, f"transformer.encoder.layers.{layer}.self_attention"
        heads, size = config["num_attention_heads"], config["kv_channels"]
        groups = config["multi_query_group_num"]
        weight, bias = (
            self.weights[f"{name}.query_key_value.{part}"] for part in ("weight", "bias")
        )
        qkv = (weight @ x + bias).reshape(-1, size)
        queries = [self.rotated(head, place) for head in qkv[:heads]]
        self.keys[layer].append([self.rotated(head, place) for head in qkv[heads : heads + groups]])
        self.values[layer].append(list(qkv[heads + groups :]))
        mixed = []
        for head, query in enumerate(queries):
            group = head // (heads // groups)
            scores = [float(query @ key[group]) / math.sqrt(size) for key in self.keys[layer]]
            shares = [math.exp(score - max(scores)) for score in scores]
            values = [value[group] for value in self.values[layer]]
            mixed += list(
                sum(share * value for share, value in zip(shares, values, strict=True))
                / sum(shares)
            )
        return self.weights[f"{name}.dense.weight"] @ np.array(mixed)

    def mlp(self, x: Any, layer: int) -> Any:
        name = f"transformer.encoder.layers.{layer}.mlp"
        both = self.weights[f"{name}.dense_h_to_4h.weight"] @ x
        gate, up = both[: len(both) // 2], both[len(both) // 2 :]
        opened = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)]
        return self.weights[f"{name}.dense_4h_to_h.weight"] @ np.array(opened)

    def logits(self, token: int, place: int) -> Any:
        x = self.weights["transformer.embedding.word_embeddings.weight"][token]
        for layer in range(self.config["num_layers"]):
            name = f"transformer.encoder.layers.{layer}"
            x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), layer, place)
            x = x + self.mlp(self.norm(x, f"{name}.post_attention_layernorm"), layer)
        last = self.norm(x, "transformer.encoder.final_layernorm")
        return self.weights["transformer.output_layer.weight"] @ last


def test_the_reference_computes_what_the_arithmetic_of_single_numbers_does() -> None:
    config = config_json(ROWS["octogeex"])
    model = chatglm_model(config)
    ids = [7, 300, 41, 41, 9, 128]
    with torch.inference_mode():
        mine = model(torch.tensor([ids])).logits[0].numpy()
    plain = _Plain(config, model.weights)
    theirs = np.array([plain.logits(token, place) for place, token in enumerate(ids)])
    assert np.abs(mine - theirs).max() < 1e-4
    np.testing.assert_array_equal(mine.argmax(1), theirs.argmax(1))
