"""The demo's tokenizer: byte-level BPE with the pipeline and the special ids of Refact-1.6B.

The rules are the same, the vocabulary is the demo's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from refact_edge.export.starcoder import SPECIAL_TOKENS

END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD = range(5)
EMPTY_OUTPUT = SPECIAL_TOKENS.index("<empty_output>")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Return a tokenizer of `vocabulary` ids, the specials first; nothing is added to a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # User text may spell a special; only ids that we put in ourselves count as one. This is a state
    # of the object and is not written to tokenizer.json.
    tokenizer.encode_special_tokens = True
    return tokenizer
