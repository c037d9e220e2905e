"""Prompts on a laptop's own GPU: int4's graph on onnxruntime's WebGPU plugin, an experiment.

Usage: python -m bench.webgpu BUNDLE [--prompt N] [--rounds N]

Wants `pip install onnxruntime onnxruntime-ep-webgpu`. First the numbers: how far logits are from
those of onnxruntime on the CPU, for a prompt and for tokens behind it. Then the speed, of prompts
and of single tokens, as parts of what the CPU's usual engine takes, turn by turn. Without a GPU, a
software Vulkan does for the numbers (VK_ICD_FILENAMES, ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from refact_edge.quant.texts.shipped import REPORT
from refact_edge.runtime.backends.onnxruntime import (
    OnnxruntimeSession,
    SessionOptions,
    import_onnxruntime,
    is_onnxruntimes,
)
from refact_edge.runtime.bundle.contract import (
    INPUT_IDS,
    LOGITS,
    LOGITS_TO_KEEP,
    past_name,
    present_name,
    read_bundle,
)
from refact_edge.runtime.bundle.verified import Verified, verify
from refact_edge.runtime.engine.cache import row_width
from refact_edge.runtime.engine.generation import CHUNK_TOKENS
from refact_edge.runtime.engine.session import Session
from refact_edge.runtime.errors import one_line
from refact_edge.runtime.opening.load import load
from refact_edge.runtime.text.tokens import Tokens

Ids = npt.NDArray[np.int64]
Past = dict[str, npt.NDArray[np.float32]]
Logits = npt.NDArray[np.float32]
AFTER = (1, 8)  # tokens in the steps behind the prompt


class WebGpu:
    """int4's graph on WebGPU; keys and values come to the CPU and go back at each step."""

    def __init__(self, verified: Verified) -> None:
        """Open it on the first adapter that the plugin finds.

        Raises:
            ClickException: when the plugin is not installed, or finds none.

        """
        ort = import_onnxruntime()
        try:
            import onnxruntime_ep_webgpu as plugin
        except ModuleNotFoundError as error:
            raise click.ClickException(
                "onnxruntime-ep-webgpu is not installed: pip install onnxruntime-ep-webgpu"
            ) from error
        ort.register_execution_provider_library("webgpu", plugin.get_library_path())
        ours = [d for d in ort.get_ep_devices() if d.ep_name == plugin.get_ep_name()]
        if not ours:
            raise click.ClickException("the WebGPU plugin finds no GPU on this machine")
        settings = ort.SessionOptions()
        settings.log_severity_level = 3  # errors alone
        settings.add_provider_for_devices(ours[:1], {})
        device = ours[0].device
        self.adapter = f"{device.vendor} {device.type.name}"
        try:
            self._session = ort.InferenceSession(str(verified.graph_file), settings)
        except Exception as error:  # of onnxruntime's own types, not exported
            if not is_onnxruntimes(error):
                raise
            raise click.ClickException(f"no session on WebGPU: {one_line(str(error))}") from error
        self._names = [output.name for output in self._session.get_outputs()]
        self._sizes = verified.sizes
        self._parts = [
            (past_name(layer, part), present_name(layer, part))
            for layer in range(verified.sizes.layers)
            for part in ("key", "value")
        ]

    def start(self) -> Past:
        """Return the keys and values of nothing."""
        nothing = np.zeros((1, 1, 0, row_width(self._sizes)), np.float32)
        return {past: nothing for past, _ in self._parts}

    def step(self, ids: Ids, past: Past, keep: int = 1) -> Logits:
        """Run `ids` [T] behind `past`, which then holds them too; return [keep, V] logits."""
        feeds = {INPUT_IDS: ids[None], LOGITS_TO_KEEP: np.array(keep, np.int64), **past}
        made = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        for before, new in self._parts:
            past[before] = np.concatenate([past[before], made[new]], axis=2)
        first: Logits = made[LOGITS][0]
        return first


def compare(webgpu: WebGpu, cpu: Session, ids: Ids) -> None:
    """Print how far the logits of a prompt and of steps behind it are from the CPU's."""
    past, cache = webgpu.start(), cpu.new_cache()
    at = len(ids) - sum(AFTER)
    click.echo(f"{'step':22} {'largest difference':>19} {'same first choice':>18}")
    for start, new in ((0, at), *((at + sum(AFTER[:i]), n) for i, n in enumerate(AFTER))):
        part = ids[start : start + new]
        got, want = webgpu.step(part, past, new), cpu.step(part, cache, new)
        same = float((got.argmax(axis=1) == want.argmax(axis=1)).mean())
        click.echo(f"{new:4} behind {start:<10} {np.abs(got - want).max():19.2g} {same:18.1%}")


def turn(step: Callable[[Ids], object], ids: Ids) -> tuple[float, float]:
    """Return the seconds that all ids but the last take, and the last one behind them."""
    prompt, last = ids[:-1], ids[-1:]
    start = time.perf_counter()
    for at in range(0, len(prompt), CHUNK_TOKENS):
        step(prompt[at : at + CHUNK_TOKENS])
    between = time.perf_counter()
    step(last)
    return between - start, time.perf_counter() - between


def race(webgpu: WebGpu, cpu: Session, ids: Ids, rounds: int) -> None:
    """Print how long a prompt and a token take on WebGPU, as parts of the CPU's time."""
    shares = []
    for _ in range(rounds + 1):
        own = turn(partial(webgpu.step, past=webgpu.start()), ids)
        other = turn(partial(cpu.step, cache=cpu.new_cache()), ids)
        shares.append((own[0] / other[0], own[1] / other[1]))
    # Shaders are compiled in the first turn.
    prompts, tokens = (statistics.median(share) for share in zip(*shares[1:], strict=True))
    click.echo(f"a prompt of {len(ids) - 1} tokens: {prompts:.2f} of the CPU's time")
    click.echo(f"one token behind it: {tokens:.2f} of the CPU's time")


@click.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--prompt", default=512, show_default=True, help="Tokens of the prompt.")
@click.option("--rounds", default=5, show_default=True, help="Rounds in which speed is measured.")
def main(path: Path, prompt: int, rounds: int) -> None:
    """Print how near and how fast int4 is on WebGPU."""
    bundle = read_bundle(path)
    verified = verify(bundle, "int4")
    webgpu = WebGpu(verified)
    tokens = Tokens(path / "tokenizer.json")
    text = [i for source in REPORT.read() for i in tokens.encode(source.text)]
    length = min(prompt, bundle.sizes.context - sum(AFTER))
    ids = np.array(text[: length + sum(AFTER)], np.int64)
    click.echo(f"WebGPU on: {webgpu.adapter}")
    compare(webgpu, OnnxruntimeSession(verified, SessionOptions()), ids)
    cpu = load(path, variant="int4", device="cpu").session
    click.echo(f"the CPU's engine: {cpu.engine}")
    race(webgpu, cpu, ids[: length + 1], rounds)


if __name__ == "__main__":
    main()
