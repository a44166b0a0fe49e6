"""Selects the methods that make the rows of a transfer, by the options and the available inputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from backbone.errors import PolygraftError
from crosslingual.arrays import Array
from crosslingual.options import TransferOptions
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary, Matches
from crosslingual.vectors.procrustes import Alignment, AlignmentScore, align, held_out_precision
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.inputs import Evidence
from crosslingual.vocabulary_transfer.methods import clp, focus, from_dictionary, fvt, ofa, omp, transtoken, wechsel
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.overlap import copies
from crosslingual.vocabulary_transfer.subword_vectors import Mean, Reason, TokenVectors, token_vectors


@dataclass(kw_only=True)
class Methods:
    """The methods on two vocabularies, each a list of mixings of which the first counts most."""

    source: Vocabulary
    target: Vocabulary
    evidence: Evidence
    options: TransferOptions
    # what they find out on their way
    matches: int = 0
    alignment: AlignmentScore | None = None
    reasons: tuple[Reason, ...] = ()

    def chosen(self) -> list[Mixing]:
        """Return the rows that the options ask for; none for inits that are drawn."""
        init = self.options.init
        if init == "auto":
            return self._every()
        alone: dict[str, Callable[[], list[Mixing]]] = {
            "wechsel": self._wechsel,
            "ofa": self._ofa,
            "focus": self._focus,
            "transtoken": self._transtoken,
            "dict": self._from_dictionary,
            "clp": lambda: [clp(self.source, self.target, self._donor)],
            "omp": lambda: [omp(self.source, self.target, self._donor, atoms=self.options.atoms)],
            "fvt": lambda: [fvt(self.source, self.target)],
        }
        return alone[init]() if init in alone else []

    def _every(self) -> list[Mixing]:
        """Return what can be had, the likeliest to be good first."""
        given = self.evidence
        has_both = given.source_vectors is not None and given.target_vectors is not None
        counted = self._transtoken() if given.parallel is not None else []
        # what is counted knows better than the spelling what a word means
        signs = copies(self.source, self.target, letters=False)
        parts = [signs, *counted[:1], copies(self.source, self.target)]
        if has_both:
            parts += self._wechsel()
        elif given.dictionary is not None:
            parts += self._from_dictionary()
        if given.donor is not None:
            parts += [omp(self.source, self.target, given.donor, atoms=self.options.atoms)]
        if given.token_vectors is not None or (given.target_vectors is not None and not has_both):
            parts += self._focus()
        return [*parts, *counted[1:], fvt(self.source, self.target)]

    def _transtoken(self) -> list[Mixing]:
        if self.evidence.parallel is None:
            raise PolygraftError("transtoken needs parallel text: give two files of as many lines, or choose dict")
        least = self.options.least_count
        return list(transtoken(self.source, self.target, self.evidence.parallel, least=least))

    def _from_dictionary(self) -> list[Mixing]:
        if self._dictionary is None:
            raise PolygraftError("dict needs a dictionary: give one, or choose fvt or multivariate")
        least = 0.5 if self.options.least_count is None else self.options.least_count
        return [from_dictionary(self.source, self.target, self._dictionary, least=least)]

    @property
    def _donor(self) -> Array:
        if self.evidence.donor is None:
            raise PolygraftError(
                f"{self.options.init} needs a donor, a model that has the new tokenizer: give one, or choose another"
            )
        return self.evidence.donor

    @cached_property
    def _dictionary(self) -> Dictionary | None:
        given = self.evidence.dictionary
        return given if given is None or not self.options.clean_dictionary else given.cleaned()

    def _focus(self) -> list[Mixing]:
        vectors = self.evidence.token_vectors
        if vectors is None:
            if self.evidence.target_vectors is None:
                raise PolygraftError("focus needs vectors of the target's tokens or words: give vectors or text")
            own = self._token_vectors(self.target, self.evidence.target_vectors)
            self.reasons = own.reasons
            vectors = own.vectors
        return [focus(self.source, self.target, vectors)]

    def _token_vectors(self, tokens: Vocabulary, vectors: WordVectors, mean: Mean = "frequency") -> TokenVectors:
        options = self.options
        in_words = mean == "plain" or (options.init == "auto" and not vectors.has_ngrams)
        route = "words" if in_words else options.route
        return token_vectors(tokens, vectors, route, max_words=options.max_words, mean=mean)

    def _both(self, mean: Mean = "frequency") -> tuple[TokenVectors, TokenVectors]:
        given = self.evidence
        if given.source_vectors is None or given.target_vectors is None:
            init = "ofa" if self.options.init == "ofa" else "wechsel"
            raise PolygraftError(
                f"{init} needs word vectors of both languages: give both, or choose fvt or multivariate"
            )
        theirs = self._token_vectors(self.source, given.source_vectors, mean)
        ours = self._token_vectors(self.target, given.target_vectors, mean)
        self.reasons = ours.reasons
        return theirs, ours

    def _wechsel(self) -> list[Mixing]:
        theirs, ours = self._both()
        if self._dictionary is not None:
            alignment = self._align(self._dictionary)
            theirs = replace(theirs, vectors=alignment.source(theirs.vectors))
            ours = replace(ours, vectors=alignment.target(ours.vectors))
        _check_widths(theirs, ours, "give a dictionary to align them")
        options = self.options
        return [wechsel(theirs, ours, neighbors=options.neighbors, temperature=options.temperature)]

    def _ofa(self) -> list[Mixing]:
        both = self._both("plain")
        _check_widths(*both, "give vectors that are aligned already, or choose wechsel and a dictionary")
        options = self.options
        return [ofa(self.source, self.target, both, neighbors=options.neighbors, temperature=options.temperature)]

    def _align(self, dictionary: Dictionary) -> Alignment:
        """Fit the alignment to the vectors of the words it looks at alone: those matched and, to refine, the frequent.

        Only where both word vectors are given.
        """
        source, target, options = self.evidence.source_vectors, self.evidence.target_vectors, self.options.alignment
        assert source is not None and target is not None
        matches = dictionary.matched(source, target, repeats=not self.options.clean_dictionary)
        frequent = options.refine_words if options.refine else 0
        x_words, x_rows = _compact(matches.source, min(frequent, len(source.words)))
        y_words, y_rows = _compact(matches.target, min(frequent, len(target.words)))
        x = source.vectors([source.words[number] for number in x_words])
        y = target.vectors([target.words[number] for number in y_words])
        inner = Matches(source=x_rows, target=y_rows)
        self.matches = len(matches)
        self.alignment = held_out_precision(x, y, inner, options)
        return align(x, y, inner, options)


def _check_widths(theirs: TokenVectors, ours: TokenVectors, remedy: str) -> None:
    widths = theirs.vectors.shape[1], ours.vectors.shape[1]
    if widths[0] != widths[1]:
        raise PolygraftError(f"vectors of widths {widths[0]} and {widths[1]} are not in one space: {remedy}")


def _compact(rows: Array, frequent: int) -> tuple[Array, Array]:
    """Return the words needed in order of frequency, and the places of ``rows`` among them."""
    words = np.union1d(rows, np.arange(frequent))
    return words, np.searchsorted(words, rows)
