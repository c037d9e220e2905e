"""A language server in a thread: what `lsp --tcp` runs, without the time that a process takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import refact_edge
from refact_edge.runtime.serve.lsp.features import create_server
from refact_edge.runtime.serve.process.listening import listening
from refact_edge.runtime.serve.service.settings import Settings


@contextmanager
def language_server(bundle: Path, variant: str | None = None) -> Iterator[int]:
    """Yield the port at which a server waits for its one editor, who must leave before the end."""
    server = create_server(
        lambda: refact_edge.load(bundle, variant=variant, hashes=False), Settings(slots=1)
    )
    with listening(0, None, "--tcp") as (listener, address):
        thread = threading.Thread(target=server.run_tcp, args=(listener,))
        thread.start()
        try:
            yield int(address.rpartition(":")[2])
        finally:
            thread.join(20)
            server.shutdown()
            assert not thread.is_alive(), "the server did not end"
