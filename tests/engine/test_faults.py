"""What the log says of errors that nobody expected: everything but a person's words."""

import pytest

from wyoming_pocket_tts.core.errors import fault_kind, format_exception_without_text

NAME = "anna"


def raised(error: Exception, *, after: Exception | None = None) -> Exception:
    """The error as it comes when it was raised, from another one if that is given."""
    with pytest.raises(type(error)) as caught:
        raise error from after
    return caught.value


def test_a_message_of_its_own_is_told_with_the_place() -> None:
    told = format_exception_without_text(raised(RuntimeError("buffer too small: 12 < 13")), text="Good morning, Anna.")
    assert told.endswith("RuntimeError: buffer too small: 12 < 13")
    assert "test_faults.py" in told


@pytest.mark.parametrize("text", ["Call ANNA now", None])
def test_a_message_that_quotes_the_text_is_left_out(text: str | None) -> None:
    told = format_exception_without_text(raised(KeyError(NAME)), text=text)
    assert "anna" not in told.casefold()
    assert "KeyError: (the message may quote a text" in told


def test_what_led_to_an_error_is_told_as_carefully() -> None:
    told = format_exception_without_text(
        raised(ValueError("a wrong number"), after=raised(KeyError(NAME))), text="Anna"
    )
    assert told.index("KeyError: (") < told.index("ValueError: a wrong number")
    assert "anna" not in told.casefold()


def test_what_was_hidden_on_purpose_stays_hidden() -> None:
    error = ValueError("a wrong number")
    error.__context__, error.__suppress_context__ = KeyError("key"), True
    assert format_exception_without_text(error, text="") == "ValueError: a wrong number"


def test_the_members_of_a_group_are_told() -> None:
    group = raised(ExceptionGroup("tasks", [ValueError("one"), OSError("two")]))
    told = format_exception_without_text(group, text="")
    assert "ValueError: one" in told
    assert "OSError: two" in told


def test_circles_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert format_exception_without_text(first, text="").count("ValueError") == 2


def test_kinds_are_few() -> None:
    assert (fault_kind(MemoryError()), fault_kind(OSError())) == ("memory", "exception")
