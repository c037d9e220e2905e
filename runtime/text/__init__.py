"""Text: tokens, prompts, and where an answer ends."""
