"""How fast a bundle is on a GPU: prompts, tokens with drafts at several depths, memory, the limit.

The limit of decoding is the time that reading the weights once takes at the speed with which this
card copies memory, measured in the same run.
"""

from __future__ import annotations

import ctypes
import statistics
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ..backends.cuda import card
from ..bundle.contract import weights_file
from ..engine.generation import GPU_CHUNK_TOKENS
from ..engine.session import Session
from ..errors import DeviceError
from ..opening.load import load
from .passes import Advance, Clock, random_ids

PROMPTS = (512, 2048)
DEPTHS = (64, 512, 2048, 4000)
LENGTHS = (1, 4, 8, 16)  # a token and its draft
TIMED = 16  # steps at each depth and length
_COPIED, _COPIES = 2**30, 10
_DEVICE_TO_DEVICE = 3
_RUNTIMES = ("libcudart.so.13", "libcudart.so.12", "cudart64_13.dll", "cudart64_12.dll")


@dataclass(frozen=True)
class CardFigures:
    """What was measured on a GPU, medians over steps.

    Args:
        card: its name.
        capability: what it computes, 86 for 8.6.
        bundle: what was measured.
        variant: of it.
        engine: what computed.
        weights_bytes: what a token reads.
        copied_bytes_per_s: the card's bandwidth, bytes read and written.
        opened_ms: from the call to `load` to an open model.
        prompt_ms: by tokens.
        step_ms: by depth, and by tokens of a step.
        memory_bytes: of the card's that are taken at the end, others' among them.

    """

    card: str
    capability: int
    bundle: str
    variant: str
    engine: str
    weights_bytes: int
    copied_bytes_per_s: float
    opened_ms: float
    prompt_ms: dict[int, float]
    step_ms: dict[int, dict[int, float]]
    memory_bytes: int

    @property
    def limit_ms(self) -> float:
        """The least time of a token: the weights are read once."""
        return 1e3 * self.weights_bytes / self.copied_bytes_per_s


def work_tokens(context: int) -> int:
    """Return how much `measure_card` advances in all."""
    prompts, depths = _fitting(context)
    return sum(prompts) + TIMED * len(LENGTHS) * len(depths)


def measure_card(
    bundle: Path, variant: str | None, advance: Advance, clock: Clock = perf_counter
) -> CardFigures:
    """Open a bundle on the GPU and measure it.

    Raises:
        DeviceError: when CUDA cannot be used, or the model runs elsewhere.

    """
    start = clock()
    model = load(bundle, variant=variant, device="cuda")
    opened_ms, session = 1e3 * (clock() - start), model.session
    runtime, gpu = _runtime(), card()
    if gpu is None:
        raise DeviceError("the NVIDIA driver tells of no GPU")
    prompts, depths = _fitting(session.sizes.context)
    prompt_ms = {tokens: _prompt_ms(session, tokens, clock, advance) for tokens in prompts}
    step_ms = {depth: _steps_ms(session, depth, clock, advance) for depth in depths}
    left, total = _memory(runtime)
    return CardFigures(
        card=gpu.name,
        capability=gpu.capability,
        bundle=str(bundle),
        variant=model.variant,
        engine=session.engine,
        weights_bytes=model.bundle.files[weights_file(model.variant)]["bytes"],
        copied_bytes_per_s=_bandwidth(runtime, clock),
        opened_ms=opened_ms,
        prompt_ms=prompt_ms,
        step_ms=step_ms,
        memory_bytes=total - left,
    )


def _fitting(context: int) -> tuple[list[int], list[int]]:
    most = context - LENGTHS[-1]
    prompts, depths = ([n for n in some if n <= most] for some in (PROMPTS, DEPTHS))
    return prompts or [most], depths or [most]


def _prompt_ms(session: Session, tokens: int, clock: Clock, advance: Advance) -> float:
    """Time a prompt in chunks, as the engine has them; the first of three times is not counted."""
    ids, times = random_ids(session.sizes, tokens), []
    for _ in range(3):
        cache, start = session.new_cache(), clock()
        for at in range(0, tokens, GPU_CHUNK_TOKENS):
            session.step(ids[at : at + GPU_CHUNK_TOKENS], cache)
        times.append(1e3 * (clock() - start))
    advance(tokens)
    return statistics.median(times[1:])


def _steps_ms(session: Session, depth: int, clock: Clock, advance: Advance) -> dict[int, float]:
    """Time steps of each length behind so many tokens, as greedy decoding has them."""
    ids = random_ids(session.sizes, depth + LENGTHS[-1])
    cache = session.new_cache()
    for at in range(0, depth, GPU_CHUNK_TOKENS):
        session.step(ids[at : min(depth, at + GPU_CHUNK_TOKENS)], cache)
    cache.candidates_suffice = True
    medians = {}
    for length in LENGTHS:
        times = []
        for _ in range(TIMED + 1):
            start = clock()
            session.step(ids[depth : depth + length], cache, length)
            times.append(1e3 * (clock() - start))
            cache.rewind(depth)
        medians[length] = statistics.median(times[1:])
        advance(TIMED)
    return medians


def _runtime() -> ctypes.CDLL:
    """Return CUDA's runtime, which onnxruntime has loaded."""
    for name in _RUNTIMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise DeviceError(f"none of CUDA's runtimes can be loaded: {', '.join(_RUNTIMES)}")


def _memory(runtime: ctypes.CDLL) -> tuple[int, int]:
    left, total = ctypes.c_size_t(), ctypes.c_size_t()
    _check(runtime.cudaMemGetInfo(ctypes.byref(left), ctypes.byref(total)), "ask for its memory")
    return left.value, total.value


def _bandwidth(runtime: ctypes.CDLL, clock: Clock) -> float:
    """Return bytes read and written a second by copies within the card's memory."""
    buffers = [ctypes.c_void_p(), ctypes.c_void_p()]
    size = ctypes.c_size_t(_COPIED)
    try:
        for buffer in buffers:
            _check(runtime.cudaMalloc(ctypes.byref(buffer), size), "take 2 GB to copy")
        to, source = buffers
        times = []
        for _ in range(3):
            start = clock()
            for _ in range(_COPIES):
                _check(runtime.cudaMemcpy(to, source, size, _DEVICE_TO_DEVICE), "copy")
            _check(runtime.cudaDeviceSynchronize(), "wait for it")
            times.append(clock() - start)
    finally:
        for buffer in buffers:
            runtime.cudaFree(buffer)
    return 2 * _COPIED * _COPIES / min(times)


def _check(status: int, doing: str) -> None:
    if status:
        raise DeviceError(f"CUDA error {status}: cannot {doing}; close what else uses the GPU")


def card_lines(figures: CardFigures) -> list[str]:
    """Return what `refact-edge bench --device cuda` prints."""
    bandwidth = figures.copied_bytes_per_s
    lines = [
        f"{figures.bundle}: {figures.variant} on {figures.card} (sm_{figures.capability}) by "
        f"{figures.engine}",
        f"memory is copied at {bandwidth / 1e9:.0f} GB/s: {figures.weights_bytes / 1e6:.0f} MB of "
        f"weights a token take {figures.limit_ms:.3g} ms at least",
        f"opened in {figures.opened_ms:.0f} ms; {figures.memory_bytes / 1e9:.2f} GB of the card's "
        "memory are taken, others' among them",
        "",
        f"{'prefill':>10} {'ms':>10} {'tokens/s':>10}",
    ]
    lines += [
        f"{tokens:10} {ms:10.4g} {1e3 * tokens / ms:10.0f}"
        for tokens, ms in figures.prompt_ms.items()
    ]
    heads = " ".join(f"{f'{length} at once':>12}" for length in LENGTHS)
    lines += ["", f"{'decode at':>10} {heads} {'of the limit':>13}"]
    for depth, steps in figures.step_ms.items():
        cells = " ".join(f"{steps[length]:12.4g}" for length in LENGTHS)
        lines.append(f"{depth:10} {cells} {figures.limit_ms / steps[1]:13.0%}")
    return [*lines, "", "decode is in ms a step: a token, or one and its draft"]
