from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms import TransformError, find_transform, transforms
from castiel.domain.json_values import same

NO_WAY_BACK = object()
HTML = "<h1>T</h1><p>Hello <b>you</b> &amp; me</p><ul><li>a<li>b</ul><script>x()</script><style>p{}</style>"
PARIS = {"zone": "Europe/Paris", "format": "%d/%m/%Y %H:%M"}
ONE_NAME = {"values": {"New": "open", "Working": "open", "Closed": "done"}}

# name, options, as it comes, as we have it, as it goes back
EXAMPLES: list[tuple[str, dict[str, Any], Any, Any, Any]] = [
    ("trim", {}, " a b\n", "a b", "a b"),
    ("collapse_spaces", {}, " a \n b\t", "a b", "a b"),
    ("lower", {}, "ÅB", "åb", "åb"),
    ("upper", {}, "straße", "STRASSE", "STRASSE"),
    ("truncate", {"length": 3}, "abcdef", "ab…", NO_WAY_BACK),
    ("truncate", {"length": 3}, "abc", "abc", NO_WAY_BACK),
    ("remove_prefix", {"prefix": "sf-"}, "sf-1", "1", "sf-1"),
    ("add_prefix", {"prefix": "sf-"}, "1", "sf-1", "1"),
    ("datetime", {}, "2025-12-10T13:01:30.120+0200", "2025-12-10T11:01:30.12Z", "2025-12-10T11:01:30.12Z"),
    ("datetime", {}, "Wed, 10 Dec 2025 13:01:30 +0200", "2025-12-10T11:01:30Z", "2025-12-10T11:01:30Z"),
    ("datetime", PARIS, "01/07/2025 10:00", "2025-07-01T08:00:00Z", "01/07/2025 10:00"),
    ("datetime", PARIS, "01/01/2025 10:00", "2025-01-01T09:00:00Z", "01/01/2025 10:00"),
    ("datetime", PARIS, "26/10/2025 02:30", "2025-10-26T00:30:00Z", "26/10/2025 02:30"),
    ("date", {}, "2025-12-31T23:00:00-05:00", "2025-12-31", "2025-12-31"),
    ("date", {"format": "%m/%d/%Y"}, "12/31/2025", "2025-12-31", "12/31/2025"),
    ("date_in_zone", {"zone": "Asia/Tokyo"}, "2025-12-31T23:30:00Z", "2026-01-01", NO_WAY_BACK),
    ("epoch", {}, "1733844090", "2024-12-10T15:21:30Z", 1733844090),
    ("epoch", {}, -0.5, "1969-12-31T23:59:59.5Z", -0.5),
    ("epoch", {"unit": "ms"}, 1733844090120, "2024-12-10T15:21:30.12Z", 1733844090120),
    ("email", {}, " Ada@EXAMPLE.com ", "ada@example.com", "ada@example.com"),
    ("email", {"lower": False}, "Ada@EXAMPLE.com", "Ada@example.com", "Ada@example.com"),
    ("email", {}, "ada@example.com.invalid", "ada@example.com.invalid", "ada@example.com.invalid"),
    ("email", {"invalid": "keep"}, "nobody", "nobody", "nobody"),
    ("email_domain", {}, "ada@Bücher.example", "bücher.example", NO_WAY_BACK),
    ("phone", {"region": "FR"}, "01 23 45 67 89", "+33123456789", "+33123456789"),
    ("phone", {"region": "FR"}, "+49 30 123456", "+4930123456", "+4930123456"),
    ("phone", {"region": "US"}, "(555) 123-4567 x12", "+15551234567;ext=12", "+15551234567;ext=12"),
    ("phone", {"invalid": "null"}, "call me", None, None),
    ("phone_display", {"region": "FR"}, "+33123456789", "01 23 45 67 89", "+33123456789"),
    ("phone_display", {"region": "FR"}, "+4930123456", "+49 30 123456", "+4930123456"),
    (
        "phone_display",
        {"region": "FR", "style": "international"},
        "0123456789",
        "+33 1 23 45 67 89",
        "+33123456789",
    ),
    ("url_host", {}, "https://www.Example.com:443/x", "example.com", NO_WAY_BACK),
    ("url_host", {}, "docs.example.com/x", "docs.example.com", NO_WAY_BACK),
    ("name_part", {"part": "last"}, "Dr. Juan Q. de la Vega III", "de la Vega", NO_WAY_BACK),
    ("name_part", {"part": "title"}, "Ada Lovelace", None, NO_WAY_BACK),
    (
        "name_parts",
        {},
        "Lovelace, Ada King",
        {"first": "Ada", "middle": "King", "last": "Lovelace"},
        NO_WAY_BACK,
    ),
    ("name_case", {}, "JUAN DE LA VEGA", "Juan de la Vega", NO_WAY_BACK),
    ("name_case", {}, "Ronald McDonald", "Ronald McDonald", NO_WAY_BACK),
    ("country", {}, "germany", "DE", "DE"),
    ("country", {}, "UK", "GB", "GB"),
    ("country", {}, "South Korea", "KR", "KR"),
    ("country", {"external": "name", "locale": "de"}, "Deutschland", "DE", "Deutschland"),
    ("country", {"to": "alpha_3", "external": "numeric"}, "276", "DEU", "276"),
    ("country", {"to": "name", "external": "alpha_2"}, "TR", "Türkiye", "TR"),
    ("decimal", {}, "1,234.50", 1234.5, "1,234.5"),
    ("decimal", {"locale": "de"}, "-1.234,50", -1234.5, "-1.234,5"),
    ("decimal", {"locale": "fr"}, "1 234,50", 1234.5, "1\u202f234,5"),
    ("decimal", {}, 5.0, 5, "5"),
    ("minor_units", {"currency": "EUR"}, 1999, 19.99, 1999),
    ("minor_units", {"currency": "JPY"}, 1999, 1999, 1999),
    ("minor_units", {"currency": "KWD"}, "1999", 1.999, 1999),
    ("currency", {}, "euro", "EUR", "EUR"),
    ("html_to_text", {}, HTML, "T\n\nHello you & me\n\n  * a\n  * b", NO_WAY_BACK),
    ("html_to_text", {}, "<p> </p>", "", NO_WAY_BACK),
    ("text_to_html", {}, "a < b\nc\n\n\nd", "<p>a &lt; b<br>c</p><p>d</p>", NO_WAY_BACK),
    ("enum", ONE_NAME, "Working", "open", "New"),
    ("enum", {"values": {"Yes": True, "No": False}}, "Yes", True, "Yes"),
    ("enum", {"values": {"A": "a"}, "unlisted": "keep"}, "B", "B", "B"),
    ("enum", {"values": {"A": "a"}, "unlisted": "null"}, "B", None, None),
    ("split", {"separator": ";"}, "a; b;;c", ["a", "b", "c"], "a;b;c"),
    ("join", {"separator": " / "}, ["a", "b"], "a / b", ["a", "b"]),
    ("pluck", {"key": "name"}, [{"name": "bug", "id": 1}, {"id": 2}, 3], ["bug"], [{"name": "bug"}]),
    ("unique", {}, ["b", "a", "b", 1, 1.0, True], ["b", "a", 1, True], ["b", "a", 1, True]),
    ("sort", {}, ["b", "a"], ["a", "b"], ["a", "b"]),
]


@pytest.mark.parametrize(("name", "options", "comes", "ours", "goes"), EXAMPLES)
def test_what_a_transform_makes_of_a_value_and_back(
    name: str, options: dict[str, Any], comes: Any, ours: Any, goes: Any
) -> None:
    known = find_transform(name)
    function = known.function(options)
    assert same(function(comes), ours)
    inverse = known.inverse_function(options)
    if goes is NO_WAY_BACK:
        assert inverse is None
    elif ours is not None:
        assert inverse is not None
        assert same(inverse(ours), goes)
        assert same(function(goes), ours), "what is pushed must come back as it was"


def test_every_transform_has_an_example_and_says_what_it_is() -> None:
    assert {name for name, *_ in EXAMPLES} == set(transforms())
    for known in transforms().values():
        assert known.does
        assert known.source
        assert known.limits


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("trim", {}, 1),
        ("datetime", {}, "hidden"),
        ("datetime", {}, "0001-01-01T00:00:00+10:00"),
        ("datetime", {"format": "%d/%m/%Y"}, "2025-01-01"),
        ("date", {}, "2025-02-30"),
        ("epoch", {}, "hidden"),
        ("epoch", {}, 1e20),
        ("epoch", {}, True),
        ("email", {}, "hidden"),
        ("email", {}, "x@y.invalid"),
        ("phone", {}, "0123456789"),
        ("phone", {"region": "FR"}, "12"),
        ("url_host", {}, "http://["),
        ("country", {}, "Hidden"),
        ("decimal", {}, "12,34"),
        ("decimal", {}, "$5"),
        ("minor_units", {"currency": "EUR"}, "nan"),
        ("currency", {}, "$"),
        ("enum", ONE_NAME, "Hidden"),
        ("split", {}, ["a"]),
        ("join", {}, [1]),
        ("pluck", {"key": "a"}, {"a": 1}),
        ("sort", {}, ["a", 1]),
    ],
)
def test_a_value_it_does_not_take_is_refused_without_being_told(
    name: str, options: dict[str, Any], value: Any
) -> None:
    with pytest.raises(UnconvertibleError) as caught:
        find_transform(name).function(options)(value)
    assert "hidden" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("phone", {"region": "XX"}, "'region' is not a country's code"),
        ("phone", {"invalid": "whatever"}, "option 'invalid': Input should be 'error', 'keep' or 'null'"),
        ("phone", {"Region": "FR"}, "has no option 'Region'; did you mean 'region'?"),
        ("trim", {"x": 1}, "has no option 'x'; it takes: none"),
        ("enum", {}, "option 'values': Missing required keyword only argument"),
        ("datetime", {"zone": "Europe/Pari"}, "'Europe/Pari' is not an IANA time zone"),
        ("datetime", {"zone": "../etc/passwd"}, "is not an IANA time zone"),
        ("country", {"locale": "xx_YY"}, "'xx_YY' is not a locale"),
        ("minor_units", {"currency": "EURO"}, "'currency' is not a currency's code"),
        ("truncate", {"length": 0}, "option 'length': Input should be greater than or equal to 1"),
        ("split", {"separator": ""}, "option 'separator'"),
    ],
)
def test_options_that_can_not_work_are_refused(name: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TransformError) as caught:
        find_transform(name).function(options)
    assert problem in str(caught.value)
