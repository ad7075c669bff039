"""Whatever is sent: refused by name, never accepted, never anything but SignatureInvalid, never slow."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castiel.domain.signatures import MAX_HEADER_CHARS, PRESETS, SignatureRefused, Verification, verify
from castiel.domain.signatures.encodings import decode, encode
from castiel.domain.signatures.template import parse_template
from tests.support.signature_cases import BODY, NOW, Case, cases, refusal

NAMES = sorted(PRESETS)
WORDS = ["sha256=", "sha1=", "v0=", "v1=", "v1,", "t=", ",", " ", "=", ".", "Bearer ", "0" * 40, "0" * 64,
         str(int(NOW.timestamp())), "key-1", "msg_1", "e30", "AAAA", "\x00", "\n", "é", "\ud800"]  # fmt: skip

VALUES = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(WORDS), max_size=12).map("".join),
    st.binary(max_size=96).map(lambda data: base64.b64encode(data).decode()),
)


def attempt(case: Case, headers: object, body: bytes) -> Verification | None:
    """The verification, or None for a refusal. Anything else that is raised fails the test."""
    try:
        return verify(case.scheme, headers, body, [case.verifying], NOW)  # type: ignore[arg-type]
    except SignatureRefused:
        return None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_made_up_headers_are_never_accepted(name: str, data: st.DataObject) -> None:
    case = cases()[name]
    own = st.sampled_from(sorted(case.headers()))
    headers = data.draw(
        st.one_of(
            st.dictionaries(own | st.text(max_size=40), VALUES, max_size=6),
            st.lists(st.tuples(own, VALUES), max_size=6),
            st.dictionaries(own, st.lists(VALUES, max_size=2), max_size=6),
        )
    )
    assert attempt(case, headers, data.draw(st.binary(max_size=64))) is None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_one_header_changed_is_never_accepted(name: str, data: st.DataObject) -> None:
    """Everything else genuine. Only another way to write the same value (letter case, padding) may pass."""
    case = cases()[name]
    headers = case.headers()
    changed = data.draw(st.sampled_from(sorted(headers)))
    genuine = headers[changed]
    position = data.draw(st.integers(0, len(genuine)))
    cut = data.draw(st.integers(0, 4))
    value = genuine[:position] + data.draw(VALUES) + genuine[position + cut :]
    if attempt(case, {**headers, changed: value}, BODY) is not None:
        assert same_meaning(case, genuine, value)


def same_meaning(case: Case, genuine: str, value: str) -> bool:
    """Whether a value holds every part of the genuine one, among others or with hex in the other case."""
    if getattr(case.scheme, "encoding", "") == "hex":
        genuine, value = genuine.lower(), value.lower()
    if case.scheme.algorithm == "timestamp-signature":
        separator = case.scheme.entry_separator
        return set(genuine.split(separator)) <= {entry.strip(" ") for entry in value.split(separator)}
    if case.scheme.algorithm == "oidc-jwt":
        return value.partition(" ")[2] == genuine.partition(" ")[2]
    return value == genuine


@pytest.mark.parametrize(
    "name", [n for n in NAMES if PRESETS[n].algorithm not in ("shared-token", "oidc-jwt")]
)
@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=300))
def test_another_body_is_never_accepted(name: str, body: bytes) -> None:
    case = cases()[name]
    assert (attempt(case, case.headers(), body) is not None) == (body == BODY)


@pytest.mark.parametrize("name", [n for n in NAMES if PRESETS[n].algorithm != "oidc-jwt"])
@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=300), message_id=st.from_regex(r"[0-9A-Za-z_-]{1,40}", fullmatch=True))
def test_whatever_is_signed_is_accepted(name: str, body: bytes, message_id: str) -> None:
    case = cases()[name]
    assert attempt(case, case.headers(body, message_id=message_id), body) is not None


@given(data=st.binary(max_size=80), encoding=st.sampled_from(["hex", "base64", "base64url"]))
def test_encodings_round_trip(data: bytes, encoding: str) -> None:
    assert decode(encode(data, encoding), encoding) == data  # type: ignore[arg-type]


@given(text=st.text(max_size=80), encoding=st.sampled_from(["hex", "base64", "base64url"]))
def test_decoding_never_raises(text: str, encoding: str) -> None:
    decode(text, encoding)  # type: ignore[arg-type]


@given(text=st.text(alphabet="{}abc. id:timestampbodyversion", max_size=60))
def test_a_template_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        template = parse_template(text)
    except ValueError:
        return
    values = {"id": "\x01", "timestamp": "1", "version": "V"}
    around = template.render("\x01", "1", "V")
    assert around is not None
    expected = text.replace("{body}", "\0")
    for name, value in values.items():
        expected = expected.replace("{" + name + "}", value)
    assert b"\0".join(around) == expected.encode()


def fastest(call: Callable[[], object], times: int = 5) -> float:
    """Seconds of this thread's processor time: waiting for a busy machine does not count."""
    best = float("inf")
    for _ in range(times):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best


HUGE = {
    "letters": "a" * MAX_HEADER_CHARS,
    "digits": "9" * MAX_HEADER_CHARS,
    "separators": ", " * (MAX_HEADER_CHARS // 2),
    "entries": ("v1,AAAA " * MAX_HEADER_CHARS)[:MAX_HEADER_CHARS],
    "fields": ("v1=00,t=1," * MAX_HEADER_CHARS)[:MAX_HEADER_CHARS],
    "dots": "Bearer " + "." * (MAX_HEADER_CHARS - 7),
    "padding": "Bearer " + "=" * (MAX_HEADER_CHARS - 7),
    "nested": "Bearer " + base64.urlsafe_b64encode(b'{"alg":' + b"[" * 6000).decode()[: MAX_HEADER_CHARS - 20] + ".e30.e30",
    "megabytes": "a" * 4_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", HUGE)
def test_no_header_makes_it_slow(name: str, value: str) -> None:
    """The bound is generous for a busy machine; a quadratic path over 8 192 characters would be far beyond it."""
    case = cases()[name]
    for header in case.headers():
        headers = {**case.headers(), header: HUGE[value]}
        assert refusal(case.scheme, headers, [case.verifying]) != "accepted"
        assert fastest(lambda headers=headers: refusal(case.scheme, headers, [case.verifying])) < 0.02


@pytest.mark.parametrize("name", ["github", "slack", "standard-webhooks", "google-iam"])
def test_time_grows_with_the_body_and_no_faster(name: str) -> None:
    """Ten times the body: about ten times the time. Refused as fast as accepted."""
    case = cases()[name]
    large = b"x" * 10_000_000
    small = large[:1_000_000]
    headers = {len(body): case.headers(body) for body in (small, large)}
    seconds = {len(b): fastest(lambda b=b: attempt(case, headers[len(b)], b)) for b in (small, large)}
    refused = fastest(lambda: attempt(case, headers[len(small)], large))
    assert seconds[10_000_000] < 25 * seconds[1_000_000]
    assert refused < 3 * seconds[10_000_000]
