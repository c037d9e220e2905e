"""The engine: from ids to ids, over a KV cache."""
