"""Mixtures: FineWeb-2's sizes for sixty languages under each rule, and what every plan must keep to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError, UsageError
from crosslingual.language_model.mixture import plan_mixture, plan_tokens
from crosslingual.options import MixtureOptions

# UTF-8 gigabytes of FineWeb-2 (Penedo et al., 2025) for languages of mGPT
_SIZES = """
ru 6400 de 1650 ja 1650 es 1450 fr 1220 it 794 pt 611 pl 464 id 374 vi 343 fa 327 ar 315 tr 305 th 299 uk 274 el 238
ko 229 sv 218 hu 214 ro 200 da 162 bg 156 fi 154 hi 130 bn 93.5 he 73.8 lt 60.7 et 43.8 ta 39.7 lv 35.8 ms 34.3 az 28.9
ka 27.1 mr 24.2 ml 23.9 kk 22.2 ur 21.4 te 15.5 my 13.3 be 12.3 mn 9.15 tl 8.73 af 8.25 hy 7.7 uz 4.78 ky 4.68 eu 4.62
tg 4.03 sw 3.31 tt 1.64 ba .885 jv .821 tk .737 sah .513 cv .42 yo .307 os .289 tyv .11 bxr .0759 xal .00784
""".split()
SIZES = dict(zip(_SIZES[::2], map(float, _SIZES[1::2]), strict=True))
BUDGET = 1600.0
LANGUAGES = ("ru", "hi", "ka", "tt", "sah", "tyv", "xal")
# percent of the stream and passes over the data, None where too small to be given
TABLE = {
    "proportional": (
        MixtureOptions(mixture="proportional"),
        (34.0, 0.69, 0.144, 0.0087, 0.0027, 0.0006, None),
        (0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09),
    ),
    "alpha 0.5": (
        MixtureOptions(mixture="temperature", temperature=2.0),
        (11.8, 1.68, 0.77, 0.19, 0.11, 0.049, 0.013),
        (None, 0.21, 0.45, 1.8, 3.3, 7.1, 27),
    ),
    "alpha 0.3": (
        MixtureOptions(mixture="temperature", temperature=1 / 0.3),
        (6.3, 1.94, 1.21, 0.52, 0.37, 0.23, 0.105),
        (None, 0.24, 0.72, 5.1, 11.5, 34, 215),
    ),
    "unimax 1": (
        MixtureOptions(mixture="unimax", max_passes=1),
        (2.77, 2.77, 1.69, 0.10, 0.032, 0.0069, 0.0005),
        (None, 0.34, 1, 1, 1, 1, 1),
    ),
    "unimax 4": (
        MixtureOptions(mixture="unimax", max_passes=4),
        (2.12, 2.12, 2.12, 0.41, 0.13, 0.027, 0.002),
        (None, 0.26, 1.25, 4, 4, 4, 4),
    ),
}


@pytest.mark.parametrize("rule", TABLE)
def test_the_table_of_sixty_languages(rule):
    options, shares, passes = TABLE[rule]
    plan = plan_mixture(SIZES, BUDGET, options)
    assert len(SIZES) == 60 and sum(portion.share for portion in plan.values()) == pytest.approx(1)
    for language, share, times in zip(LANGUAGES, shares, passes, strict=True):
        if share is not None:
            assert 100 * plan[language].share == pytest.approx(share, rel=0.05)
        if times is not None:
            assert plan[language].passes == pytest.approx(times, rel=0.05, abs=0.005)


AMOUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(1e-3, 1e6), min_size=1)


@given(AMOUNTS, st.floats(1e-3, 1e7), st.floats(0.1, 10))
def test_unimax_is_as_even_as_the_bound_lets_it_be(sizes, budget, passes):
    plan = plan_mixture(sizes, budget, MixtureOptions(mixture="unimax", max_passes=passes))
    read = sum(portion.amount for portion in plan.values())
    assert read == pytest.approx(min(budget, passes * sum(sizes.values())))
    most = max(portion.amount for portion in plan.values())
    for portion in plan.values():
        assert portion.passes <= passes * (1 + 1e-9)
        # whoever has less than another has all that it may
        assert portion.amount == pytest.approx(most) or portion.passes == pytest.approx(passes)


@given(AMOUNTS, st.floats(1e-3, 1e7), st.floats(0.2, 100))
def test_a_temperature_evens_out_and_one_changes_nothing(sizes, budget, temperature):
    plain = plan_mixture(sizes, budget, MixtureOptions(mixture="proportional"))
    one = plan_mixture(sizes, budget, MixtureOptions(mixture="temperature", temperature=1))
    assert {name: portion.share for name, portion in one.items()} == pytest.approx(
        {name: portion.share for name, portion in plain.items()}
    )
    plan = plan_mixture(sizes, budget, MixtureOptions(mixture="temperature", temperature=temperature))
    assert sum(portion.amount for portion in plan.values()) == pytest.approx(budget)
    if temperature >= 1:
        assert max(p.share for p in plan.values()) <= max(p.share for p in plain.values()) * (1 + 1e-9)


@given(AMOUNTS, st.floats(1, 20), st.floats(0.01, 3), st.sampled_from(["proportional", "unimax", "temperature"]))
def test_a_budget_of_tokens_is_shared_by_bytes(sizes, fineness, passes, rule):
    """Tokens that are as many bytes in all languages change nothing; where one is cut finely, it has more of them."""
    options = MixtureOptions(mixture=rule, max_passes=2)
    even = {name: size / 4 for name, size in sizes.items()}
    budget = passes * sum(even.values())
    by_tokens = plan_mixture(even, budget, options)
    by_bytes = plan_tokens(even, sizes, budget, replace(options, count="bytes"))
    assert {name: p.passes for name, p in by_bytes.items()} == pytest.approx(
        {name: p.passes for name, p in by_tokens.items()}, rel=1e-6
    )
    fine = {name: count * (fineness if name == min(even) else 1) for name, count in even.items()}
    plan = plan_tokens(fine, sizes, budget, replace(options, count="bytes"))
    limit = 2 * sum(fine.values()) if rule == "unimax" else budget
    assert sum(p.amount for p in plan.values()) == pytest.approx(min(budget, limit), rel=1e-6)
    if rule == "proportional":
        assert len({round(p.passes, 6) for p in plan.values()}) == 1


def test_content_is_bytes_without_their_premium():
    options = MixtureOptions(mixture="unimax", max_passes=10, count="content")
    plan = plan_tokens({"en": 100, "ka-GE": 100}, {"en": 1000, "ka-GE": 4340}, 150, options)
    assert plan["en"].passes == pytest.approx(0.75) and plan["ka-GE"].passes == pytest.approx(0.75)


def test_weights_are_what_is_asked_for():
    plan = plan_mixture({"en": 10, "fr": 10}, 20, MixtureOptions(mixture="weights"), weights={"en": 3, "fr": 1})
    assert [(portion.share, portion.amount, portion.passes) for portion in plan.values()] == [
        (0.75, 15, 1.5),
        (0.25, 5, 0.5),
    ]


@pytest.mark.parametrize(
    ("sizes", "budget", "more", "told"),
    [
        ({}, 1, {}, "at least one language"),
        ({"en": 1}, 0, {}, "a budget above 0"),
        ({"en": 1, "fr": 0}, 1, {}, "there is no text of fr"),
        ({"en": 1}, 1, {"weights": {"fr": 1}}, "weights are given for fr, but the languages are en"),
        ({"en": 1}, 1, {}, "weights are given for none"),
        ({"en": 1}, 1, {"weights": {"en": -1}}, "the weight of en is -1"),
    ],
)
def test_what_does_not_fit_is_told(sizes, budget, more, told):
    with pytest.raises(PolygraftError, match=told):
        plan_mixture(sizes, budget, MixtureOptions(mixture="weights"), **more)


def test_wrong_options_are_told():
    for name in ("temperature", "max_passes"):
        with pytest.raises(UsageError, match=f"{name} is 0"):
            MixtureOptions(**{name: 0})
