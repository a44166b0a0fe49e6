"""Examples before an item: drawn for each item anew, by a seed, and never the item itself."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Generic, TypeVar

from backbone.errors import PolygraftError
from crosslingual.evaluation.items_part import Item, Sentence

E = TypeVar("E", Item, Sentence)


class Shots(Generic[E]):
    """A pool of solved examples.

    Those of an item's own language are drawn from, and all where there is none of it: then, as in mGPT's labelling,
    the examples are in another language than the item.

    Args:
        examples: the pool; it may hold the items themselves.
        count: examples before each item.
        seed: what is drawn for an item depends on it and on the item's number alone.
    """

    def __init__(self, examples: Sequence[E], count: int, seed: int) -> None:
        self.count = count
        self._seed = seed
        self._all: Sequence[E] = examples
        self._of_language: dict[str, list[E]] = defaultdict(list)
        for example in examples:
            self._of_language[example.language].append(example)
        self._copies = Counter(example.identity for example in examples)

    def draw(self, number: int, item: E) -> list[E]:
        """Return the examples for an item.

        Args:
            number: of the item in its file.
            item: which no example is a copy of.

        Raises:
            PolygraftError: the pool is too small.
        """
        pool = self._of_language.get(item.language) or self._all
        wanted = min(self.count + self._copies[item.identity], len(pool))
        drawn = random.Random(f"{self._seed}:{number}").sample(pool, wanted)
        others = [example for example in drawn if example.identity != item.identity][: self.count]
        if len(others) < self.count:
            raise PolygraftError(
                f"{self.count} shots asked for, but item {number + 1} finds only {len(others)} examples other than "
                "itself: give more examples or ask for fewer shots"
            )
        return others
