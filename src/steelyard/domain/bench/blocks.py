"""Prompts made of blocks that have a name, so that equal names give equal beginnings.

Source: the trace format of Mooncake (Qin et al., "Mooncake: a KVCache-centric disaggregated
architecture for LLM serving", FAST'25): a request lists the hash of each block of its prompt; two
requests share the prefix that their lists share.
"""

from collections import OrderedDict
from collections.abc import Sequence

from steelyard.domain.bench.arrival import STREAM_BLOCK, generator
from steelyard.domain.bench.ports import Tokenizer

BLOCK_TOKENS = 512
_BLOCKS_KEPT = 4096
_TRIES = 8


class BlockTexts:
    """Texts by block, each a pure function of seed and hash.

    Args:
        tokenizer: makes and counts them.
        seed: of the run.
        block_tokens: tokens of a whole block.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int, block_tokens: int = BLOCK_TOKENS) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        self._block_tokens = block_tokens
        self._kept: OrderedDict[int, str] = OrderedDict()

    def prompt(self, tokens: int, hash_ids: Sequence[int]) -> tuple[str, int]:
        """Return a prompt and how many tokens it really has.

        All but the last block are whole; the last one takes what is left, at least a token. Where
        a tokenizer merges tokens over the border of blocks, it is longer or shorter to make up.

        Args:
            tokens: wanted; above `block_tokens * (len(hash_ids) - 1)`.
            hash_ids: one for each block, at least one.
        """
        whole = [self._block(hash_id) for hash_id in hash_ids[:-1]]
        head = " ".join(whole)
        last = tokens - self._block_tokens * len(whole)
        text, counted = "", 0
        for _ in range(_TRIES):
            tail = self._draw(hash_ids[-1], last)
            text = f"{head} {tail}" if head else tail
            counted = self._tokenizer.count(text)
            if counted == tokens or last + tokens - counted < 1:
                break
            last += tokens - counted
        return text, counted

    def _block(self, hash_id: int) -> str:
        text = self._kept.get(hash_id)
        if text is None:
            text = self._kept[hash_id] = self._draw(hash_id, self._block_tokens)
            if len(self._kept) > _BLOCKS_KEPT:
                self._kept.popitem(last=False)
        return text

    def _draw(self, hash_id: int, tokens: int) -> str:
        return self._tokenizer.text_of(tokens, generator(self._seed, STREAM_BLOCK, 0, hash_id))
