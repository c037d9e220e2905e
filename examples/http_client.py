"""A client of `refact-edge serve`: python examples/http_client.py [URL].

Streams a completion from the OpenAI dialect, with the standard library alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

URL = "http://127.0.0.1:8012"


def main(url: str) -> None:
    """Print a completion at a cursor as it comes."""
    try:
        for piece in complete(url, "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"):
            print(piece, end="", flush=True)
    except HTTPError as error:
        sys.exit(f"{url}: {error.read().decode()}")
    except URLError as error:
        sys.exit(f"{url}: {error.reason}; start the server with: refact-edge serve")
    print()


def complete(url: str, prefix: str, suffix: str, max_tokens: int = 16) -> Iterator[str]:
    """Yield the pieces of a completion; closing the iterator ends the request.

    Raises:
        urllib.error.URLError: when nobody answers there, or the request is refused.

    """
    body = {"prompt": prefix, "suffix": suffix, "max_tokens": max_tokens, "temperature": 0}
    request = Request(
        f"{url}/v1/completions",
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request) as response:
        for line in response:
            event = line.decode().strip().removeprefix("data: ")
            if event == "[DONE]":
                return
            if event:
                yield json.loads(event)["choices"][0]["text"]


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else URL)
