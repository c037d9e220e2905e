"""A conversation on the terminal: python examples/chat.py [BUNDLE]. An empty line ends it."""

from __future__ import annotations

import sys
import threading

import refact_edge

SECONDS = 20.0


def main(bundle: str | None) -> None:
    """Answer each line of standard input; the model sees the whole conversation."""
    model = refact_edge.load(bundle)
    messages: list[dict[str, str]] = []
    for line in sys.stdin:
        if not line.strip():
            break
        messages.append({"role": "user", "content": line.strip()})
        answer = _answer(model, messages)
        messages.append({"role": "assistant", "content": answer})


def _answer(model: refact_edge.Model, messages: list[dict[str, str]]) -> str:
    """Print an answer as it comes, and return it; it ends after SECONDS."""
    cancel = refact_edge.CancelToken()
    timer = threading.Timer(SECONDS, cancel.cancel)
    timer.start()
    greedy = refact_edge.Sampling(temperature=0)
    try:
        with model.chat(messages, max_tokens=128, sampling=greedy, cancel=cancel) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
    finally:
        timer.cancel()
    print("" if stream.finish == "stop" else f" ({stream.finish})")
    return stream.text


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
