"""A scanner in the manner of lex: the longest match of all rules wins, and among equals the first rule.

Python's `re` stops at the first alternative that fits, so it cannot stand in for a lexer. Here the patterns become one
nondeterministic automaton (Thompson 1968), and the deterministic one is built state by state as texts ask for it.

The notation is that of regular expressions, without anchors and captures: `|`, `*`, `+`, `?`, `{m}`, `{m,n}`, groups,
classes. Letters outside a class match both cases; a class matches exactly what it lists, and is read by `re`. `{NAME}`
stands for another pattern and `{name}`, inside a class, for a set of characters.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

# Both cases of these letters include a character outside ASCII: dotted and dotless i, long s, the Kelvin sign.
_OTHER_CASES = {"i": "\u0130\u0131", "s": "\u017f", "k": "\u212a"}
_REFERENCE = re.compile(r"\{([A-Z]\w*|[a-z]\w*)\}")
_TIMES = re.compile(r"[*+?]|\{(\d+)(?:,(\d+))?\}")
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]")
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)")


class Rule(NamedTuple):
    """What becomes of the text, what it matches, and what must follow (counted in the length, then given back)."""

    form: Callable[[str], str] | str
    pattern: str
    ahead: str = ""


class Match(NamedTuple):
    """The rule of this number matched the characters from `start` to `end`."""

    rule: int
    start: int
    end: int


class _State:
    """A state of the deterministic automaton; `after` maps a character to the next state, None where none is left."""

    __slots__ = ("after", "core", "index")

    def __init__(self, core: frozenset[int], index: int) -> None:
        self.core = core
        self.index = index
        self.after: dict[str, _State | None] = {}


class _Network:
    """The nondeterministic automaton: per state, arcs that read a class and empty ones, and the rule accepted there."""

    def __init__(self) -> None:
        self.empty: list[list[int]] = []
        self.arcs: list[list[tuple[int, int]]] = []
        self.accepts: dict[int, int] = {}
        self.classes: dict[str, int] = {}

    def state(self) -> int:
        self.empty.append([])
        self.arcs.append([])
        return len(self.arcs) - 1

    def read(self, start: int, body: str) -> int:
        end = self.state()
        self.arcs[start].append((self.classes.setdefault(body, len(self.classes)), end))
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """What the states reach without reading, less those that neither read nor accept."""
        todo = list(states)
        seen = set(todo)
        while todo:
            fresh = [target for target in self.empty[todo.pop()] if target not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return frozenset(state for state in seen if self.arcs[state] or state in self.accepts)


class _Builder:
    """Reads one pattern and lays it into the network from a given state."""

    def __init__(self, network: _Network, pattern: str) -> None:
        self.network = network
        self.pattern = pattern
        self.at = 0

    def choice(self, start: int) -> int:
        ends = [self.sequence(start)]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            ends.append(self.sequence(start))
        if len(ends) == 1:
            return ends[0]
        end = self.network.state()
        for each in ends:
            self.network.empty[each].append(end)
        return end

    def sequence(self, start: int) -> int:
        # A state of its own: the loop of a repetition must not lead back into the neighbouring alternatives.
        end = self.network.state()
        self.network.empty[start].append(end)
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            end = self.repeated(end)
        return end

    def repeated(self, start: int) -> int:
        begin = self.at
        low, high = self._times()
        after = self.at

        def once(state: int) -> int:
            self.at = begin
            return self.atom(state)

        end = start
        for _ in range(low):
            end = once(end)
        if high is None:
            loop = self.network.state()
            self.network.empty[end].append(loop)
            self.network.empty[once(loop)].append(loop)
            end = loop
        elif high > low:
            skipped = self.network.state()
            for _ in range(high - low):
                self.network.empty[end].append(skipped)
                end = once(end)
            self.network.empty[end].append(skipped)
            end = skipped
        self.at = after
        return end

    def _times(self) -> tuple[int, int | None]:
        """How often the atom here is repeated; leaves `at` behind the atom and its sign."""
        self._skip_atom()
        sign = _TIMES.match(self.pattern, self.at)
        if sign is None:
            return 1, 1
        self.at = sign.end()
        if sign[1]:
            return int(sign[1]), int(sign[2] or sign[1])
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign[0]]

    def _skip_atom(self) -> None:
        depth = 0
        while True:
            text = self._token()
            self.at += len(text)
            depth += (text == "(") - (text == ")")
            if depth == 0:
                return

    def _token(self) -> str:
        found = _CLASS.match(self.pattern, self.at) or _ESCAPE.match(self.pattern, self.at)
        return found[0] if found else self.pattern[self.at]

    def atom(self, start: int) -> int:
        text = self._token()
        self.at += len(text)
        if text == "(":
            end = self.choice(start)
            self.at += 1
            return end
        if text[0] == "[":
            return self.network.read(start, text)
        if text[0] == "\\":
            return self.network.read(start, f"[{text}]")
        both = {text.lower(), text.upper(), *_OTHER_CASES.get(text.lower(), "")}
        return self.network.read(start, "[" + "".join(map(re.escape, sorted(both))) + "]")


def _expand(pattern: str, names: Mapping[str, str]) -> str:
    def inserted(found: re.Match[str]) -> str:
        body = _expand(names[found[1]], names)
        return f"({body})" if found[1][0].isupper() else body

    return _REFERENCE.sub(inserted, pattern)


class Scanner:
    """Splits texts by `rules`; `names` holds the patterns (upper case) and sets (lower case) that they refer to."""

    def __init__(self, rules: Sequence[Rule], names: Mapping[str, str]) -> None:
        self.rules = rules
        self._network = _Network()
        self._states: dict[frozenset[int], _State] = {}
        self._members: dict[str, frozenset[int]] = {}
        begin = self._network.state()
        # Where a rule looks ahead, its two halves are also kept apart, to find the cut once the whole has matched.
        self._halves: dict[int, tuple[int, int]] = {}
        for index, rule in enumerate(rules):
            head, ahead = _expand(rule.pattern, names), _expand(rule.ahead, names)
            if ahead:
                self._lay(f"({head})({ahead})", begin, index)
                halves = self._network.state(), self._network.state()
                self._lay(head, halves[0], index)
                self._lay(ahead, halves[1], index)
                self._halves[index] = halves
            else:
                self._lay(head, begin, index)
        self._classes = [re.compile(body) for body in self._network.classes]
        self._begin = self._state([begin])
        self._cuts = {
            index: (self._state([head]), self._state([ahead])) for index, (head, ahead) in self._halves.items()
        }

    def _lay(self, pattern: str, start: int, index: int) -> None:
        self._network.accepts[_Builder(self._network, pattern).choice(start)] = index

    def _state(self, states: Iterable[int]) -> _State:
        core = self._network.closure(states)
        if core not in self._states:
            indices = [self._network.accepts[state] for state in core if state in self._network.accepts]
            self._states[core] = _State(core, min(indices, default=-1))
        return self._states[core]

    def _step(self, state: _State, character: str) -> _State | None:
        """The state after one more character, worked out at the first request and remembered."""
        if character not in self._members:
            fits = (number for number, pattern in enumerate(self._classes) if pattern.match(character))
            self._members[character] = frozenset(fits)
        members = self._members[character]
        targets = [end for each in state.core for number, end in self._network.arcs[each] if number in members]
        following = self._state(targets) if targets else None
        state.after[character] = following
        return following

    def _walk(self, state: _State, text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(position, rule accepted there) after each character read from `start`, the empty match left out."""
        reached: _State | None
        for position in range(start, stop):
            character = text[position]
            reached = state.after[character] if character in state.after else self._step(state, character)
            if reached is None:
                return
            state = reached
            if state.index >= 0:
                yield position + 1, state.index

    def _cut(self, index: int, text: str, start: int, end: int) -> int:
        """Where the rule's own text ends: as late as what follows still matches up to `end`."""
        head, ahead = self._cuts[index]
        cuts = [position for position, _ in self._walk(head, text, start, end)]
        return next(
            cut for cut in reversed(cuts) if any(position == end for position, _ in self._walk(ahead, text, cut, end))
        )

    def scan(self, text: str) -> Iterator[Match]:
        """The matches from left to right; a character that no rule matches is passed over."""
        start, stop = 0, len(text)
        while start < stop:
            index, end = -1, start
            for position, accepted in self._walk(self._begin, text, start, stop):
                end, index = position, accepted
            if index < 0:
                start += 1
                continue
            if index in self._cuts:
                end = self._cut(index, text, start, end)
            yield Match(index, start, end)
            start = end
