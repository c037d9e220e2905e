"""Continue ids with onnxruntime-genai, in a process of its own, and encode a text.

Arguments: a bundle, a graph, how many tokens, the ids as JSON, a text. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before its import

import onnxruntime_genai


def main(bundle: str, graph: str, count: str, start: str, text: str) -> None:
    ids = json.loads(start)
    config = onnxruntime_genai.Config(bundle)
    config.overlay(json.dumps({"model": {"decoder": {"filename": graph}}}))
    model = onnxruntime_genai.Model(config)
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=len(ids) + int(count), do_sample=False)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens(ids)
    new = []
    while not generator.is_done():
        generator.generate_next_token()
        new.append(int(generator.get_next_tokens()[0]))
    try:
        encoded = onnxruntime_genai.Tokenizer(model).encode(text).tolist()
    except RuntimeError:  # of a vocabulary that it cannot read
        encoded = None
    print(json.dumps({"type": model.type, "new": new, "encoded": encoded}))  # noqa: T201


main(*sys.argv[1:])
