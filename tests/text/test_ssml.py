"""SSML in pieces: what each element does, that nothing wrong costs a word, and that no cutting changes anything."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.segments import LONGEST_PAUSE_SECONDS, ProsodyStyle, Segment
from wyoming_pocket_tts.text.ssml import DEEPEST, LONGEST_ASIDE, MOST_PROBLEMS, SILENT_DB, SsmlReader, say_as


def read(deltas: list[str], language: str = "en") -> tuple[list[Segment], list[str]]:
    """The pieces and the problems."""
    ssml = SsmlReader(language)
    pieces = [*(piece for delta in deltas for piece in ssml.feed(delta)), *ssml.finish()]
    return pieces, [problem.what for problem in ssml.problems()]


def texts(document: str, language: str = "en") -> list[str]:
    return [piece.text for piece in read([document], language)[0]]


def test_a_document_as_people_write_them() -> None:
    pieces, problems = read(
        [
            """<?xml version="1.0"?>
            <!-- good night -->
            <speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-US">
                <p>
                    <s>Good
                       night.</s>
                    It is <say-as interpret-as="time">22:00</say-as>. Sleep well!
                </p>
                <break time="1s"/>
                <prosody rate="slow" volume="-6dB">The lights go <emphasis>off</emphasis></prosody>.
                <voice name="Anna">Bye.</voice> <lang xml:lang="de-DE">Gute Nacht</lang>
                <break strength="weak"/>
            </speak>
            """
        ]
    )
    assert problems == []
    assert pieces == [
        Segment(text="Good night."),
        Segment(text="It is 22:00."),
        Segment(text="Sleep well!"),
        Segment(text="The lights go off.", pause_seconds=1, style=ProsodyStyle(speed=0.8, volume_db=-6)),
        Segment(text="Bye.", style=ProsodyStyle(voice="Anna")),
        Segment(text="Gute Nacht", style=ProsodyStyle(language="de-DE")),
        Segment(text="", pause_seconds=0.25),
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("One two", ["One two"]),
        ("<p>One</p><p>Two</p>", ["One", "Two"]),
        ("<s>One</s>Two<s>Three", ["One", "Two", "Three"]),
        ("<speak>One.\n\n  Two\nthree</speak>", ["One.", "Two three"]),
        ("The <sub alias='World Wide Web'>WWW</sub> is big.", ["The World Wide Web is big."]),
        ("The <sub>WWW</sub> is big.", ["The WWW is big."]),
        ("<sub alias='a'>x<sub alias='b'>y</sub>z</sub>", ["a"]),
        ("Say <say-as interpret-as='characters'>a1</say-as> now.", ["Say A, one now."]),
        ("Row <say-as interpret-as='ordinal'>3</say-as>.", ["Row third."]),
        ("It <emphasis level='strong'>is</emphasis> un<b>believ</b>able.", ["It is unbelievable."]),
        ("A <phoneme ph='x'>tomato</phoneme>.", ["A tomato."]),
        ("<audio src='x.wav'><desc>a dog</desc>Woof</audio>!", ["Woof !"]),
        ("<metadata><a>secret</a></metadata>One<lexicon uri='x'/><mark name='y'/> two", ["One two"]),
        ("<lexicon uri='x'/>One <![CDATA[<two> & ]]>three", ["One <two> & three"]),
        ("<div>One</div><div>two</div>", ["One two"]),
        ("<mstts:express-as style='sad'>One</mstts:express-as>", ["One"]),
        ("Fish &amp; chips for &#8364;5", ["Fish & chips for €5"]),
        ("<prosody rate='fast'>Are you</prosody>?! Yes.", ["Are you?!", "Yes."]),
        ("AT&T <3 you & me", ["AT&T <3 you & me"]),
        ("<voice name='Anna>One</voice> two", ["One two"]),
        ("<p>One</s> two</p> three</speak>", ["One two", "three"]),
        ("<p><prosody rate='slow'>One</p> two", ["One", "two"]),
        ("", []),
        ("<speak> \n </speak>", []),
    ],
)  # fmt: skip
def test_what_is_said(document: str, expected: list[str]) -> None:
    assert texts(document) == expected


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", 0.5),
        ("time='250ms'", 0.25),
        ("time=' 1.5s ' strength='none'", 1.5),
        ("time='60s'", LONGEST_PAUSE_SECONDS),
        ("time='0s'", 0),
        ("strength='none'", 0),
        ("strength='x-strong'", 1.25),
        ("time='soon' strength='strong'", 0.75),
        ("time='-1s'", 0.5),
        ("strength='mighty'", 0.5),
    ],
)
def test_break(attributes: str, seconds: float) -> None:
    pieces, _ = read([f"One <break {attributes}/> two"])
    assert [(piece.text, piece.pause_seconds) for piece in pieces] == [("One", 0), ("two", seconds)]


@pytest.mark.parametrize(
    ("opening", "style"),
    [
        ("<prosody rate='x-slow'>", ProsodyStyle(speed=0.6)),
        ("<prosody rate='80%'>", ProsodyStyle(speed=0.8)),
        ("<prosody rate='+20%'>", ProsodyStyle(speed=1.2)),
        ("<prosody rate='-25%'>", ProsodyStyle(speed=0.75)),
        ("<prosody rate='1.5'>", ProsodyStyle(speed=1.5)),
        ("<prosody rate='medium' volume='default'>", ProsodyStyle()),
        ("<prosody volume='silent'>", ProsodyStyle(volume_db=SILENT_DB)),
        ("<prosody volume='x-soft'>", ProsodyStyle(volume_db=-12)),
        ("<prosody volume='+4.5dB'>", ProsodyStyle(volume_db=4.5)),
        ("<prosody volume='100'>", ProsodyStyle()),
        ("<prosody volume='0'>", ProsodyStyle(volume_db=SILENT_DB)),
        ("<prosody volume='-100%'>", ProsodyStyle(volume_db=SILENT_DB)),
        ("<prosody volume='10'>", ProsodyStyle(volume_db=-20)),
        ("<prosody rate='50%' volume='6dB'><prosody rate='50%' volume='-2dB'>", ProsodyStyle(speed=0.25, volume_db=4)),
        ("<prosody rate='slow'><voice name=' Anna '>", ProsodyStyle(speed=0.8, voice="Anna")),
        ("<voice gender='female'>", ProsodyStyle()),
        ("<voice xml:lang='fr'>", ProsodyStyle(language="fr")),
        ("<p xml:lang='pt-BR'>", ProsodyStyle(language="pt-BR")),
        ("<speak xml:lang='fr'>", ProsodyStyle()),
        ("<lang xml:lang=''>", ProsodyStyle()),
    ],
)
def test_styles(opening: str, style: ProsodyStyle) -> None:
    pieces, problems = read([f"{opening}One"])
    assert [(piece.text, piece.style) for piece in pieces] == [("One", style)]
    assert [problem for problem in problems if "not closed" not in problem] == []


def test_a_style_ends_with_its_element_and_a_sentence_goes_on_across_it() -> None:
    pieces, _ = read(["The <prosody rate='fast'>light</prosody> is on. <prosody rate='fast'>Good.</prosody> Bye."])
    assert [(piece.text, piece.style.speed, piece.continues) for piece in pieces] == [
        ("The", 1, False),
        ("light", 1.25, True),
        ("is on.", 1, True),
        ("Good.", 1.25, False),
        ("Bye.", 1, False),
    ]


PROBLEMS = {
    "<speak>One": "SSML: <speak> is not closed",
    "<s><voice name='x'>One</s>": "SSML: <voice> is not closed where the element around it is",
    "One</s>": "SSML: an end tag closes nothing",
    "<blink>One</blink>": "SSML: <blink> is not known: its text is read",
    "AT&T": "SSML: an '&' begins no entity; write &amp;",
    "<prosody rate='quick'>One</prosody>": "SSML: <prosody rate='quick'> cannot be understood: it is ignored",
    "<prosody rate='+1'>One</prosody>": "SSML: <prosody rate='+1'> cannot be understood: it is ignored",
    "<prosody volume='loud!'>One</prosody>": "SSML: <prosody volume='loud!'> cannot be understood: it is ignored",
    "<prosody pitch='high'>One</prosody>": "SSML: <prosody pitch> is not supported: the voice keeps its own",
    "<break time='1'/>One": "SSML: <break time='1'>: write a time such as 500ms or 1.5s",
    "<break strength='x'/>One": "SSML: <break strength='x'>: write one of none, x-weak, weak, medium, strong, x-strong",
    "<say-as interpret-as='music'>One</say-as>": "SSML: <say-as interpret-as='music'> is not known: its text is read",
    "<sub>One</sub>": "SSML: <sub> without an alias: its text is read",
    "<phoneme ph='x'>One</phoneme>": "SSML: the pronunciation in <phoneme> is not used: its text is read",
    "<audio src='x'>One</audio>": "SSML: <audio> is not played: the text in it is read",
    "<lang xml:lang='#!'>One</lang>": "SSML: xml:lang='#!' is no language tag such as de or en-US",
}


@pytest.mark.parametrize("document", PROBLEMS)
def test_problems_are_told_once_and_the_text_is_spoken(document: str) -> None:
    ssml = SsmlReader("en")
    pieces = [*ssml.feed(document + " " + document), *ssml.finish()]
    assert [problem.what for problem in ssml.problems()] == [PROBLEMS[document]]
    assert ssml.problems() == []
    words = re.findall("One|AT&T", " ".join(piece.text for piece in pieces))
    assert len(words) == 2


def test_one_document_cannot_fill_the_log() -> None:
    _, problems = read(["".join(f"<e{number}>{'&' * 9}</e{number}>" for number in range(500))])
    assert len(problems) == MOST_PROBLEMS
    _, problems = read([f"<{'x' * 900}>One"])
    assert max(map(len, problems)) < 150


def test_pieces_come_before_the_document_is_complete() -> None:
    ssml = SsmlReader("en")
    assert ssml.feed("<speak><p>One is he") == []
    assert ssml.feed("re. Two is") == [Segment(text="One is here.")]
    assert ssml.feed("</p>") == [Segment(text="Two is")]
    assert ssml.feed("Three<break/>") == [Segment(text="Three")]
    assert ssml.feed("<s>Four</s>") == [Segment(text="Four", pause_seconds=0.5)]


def test_a_bomb_of_entities_does_not_go_off() -> None:
    entities = "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE lolz [<!ENTITY lol0 "lol">{entities}]><speak>&lol9; One</speak>'
    pieces, problems = read([bomb])
    assert [piece.text for piece in pieces] == ["&lol9; One"]
    assert len(problems) == 2
    external = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><speak>&f;</speak>'
    assert [piece.text for piece in read([external])[0]] == ["&f;"]


def test_elements_too_deep_are_ignored_and_the_others_stay_in_step() -> None:
    document = (
        "<emphasis>" * (DEEPEST + 5) + "One" + "</emphasis>" * (DEEPEST + 5) + "<prosody rate='slow'>two</prosody>"
    )
    pieces, problems = read([document])
    assert [(piece.text, piece.style.speed) for piece in pieces] == [("One", 1), ("two", 0.8)]
    assert problems == [f"SSML: more than {DEEPEST} elements within one another; those inside are ignored"]


@pytest.mark.parametrize("opening", ["<sub alias='x'>", "<say-as interpret-as='characters'>", "<desc>", "<metadata>"])
def test_what_replaces_or_hides_text_without_end_loses_none(opening: str) -> None:
    words = ["word", "and", "so", "on"] * (LONGEST_ASIDE // 8)
    for count in (3, len(words)):
        pieces, problems = read([f"{opening}{' '.join(words[:count])}"])
        assert " ".join(piece.text for piece in pieces).split() == words[:count]
        assert problems


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        ("characters", "AB-9", "A, B, -, nine"),
        ("spell-out", "usb", "U, S, B"),
        ("digits", "007", "zero zero seven"),
        ("cardinal", "1,234", "one thousand two hundred and thirty-four"),
        ("number", "-2.5", "minus two point five"),
        ("number", "1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
        ("number", "many", "many"),
        ("ordinal", "21", "twenty-first"),
        ("ordinal", "3rd", "third"),
        ("telephone", "+49 (30) 12-3", "plus four nine, three zero, one two, three"),
        ("date' format='mdy", "11/21/2026", "2026-11-21"),
        ("date' format='dmy", "21.11.2026", "2026-11-21"),
        ("date' format='dmy", "21 November", "21 November"),
        ("date' format='mdy", "21/21/2026", "21/21/2026"),
        ("date", "11/21/2026", "11/21/2026"),
        ("time", "2:30pm", "2:30pm"),
        ("currency", "$5", "$5"),
    ],
)  # fmt: skip
def test_say_as(kind: str, written: str, said: str) -> None:
    assert texts(f"<say-as interpret-as='{kind}'> {written}\n</say-as>") == [said]


def test_say_as_speaks_the_language_of_its_text() -> None:
    assert texts("<say-as interpret-as='cardinal'>21</say-as>", "de") == ["einundzwanzig"]
    assert texts("<lang xml:lang='fr-FR'><say-as interpret-as='digits'>21</say-as></lang>") == ["deux un"]
    assert texts("<lang xml:lang='xx'><say-as interpret-as='cardinal'>21</say-as></lang>") == ["21"]


MARKUP = st.sampled_from(
    ["<speak>", "</speak>", "<p>", "</p>", "<s>", "</s>", "<break/>", "<break time='1s'>",
     "<prosody rate='slow'>", "</prosody>", "<voice name='Anna'>", "</voice>", "<lang xml:lang='de'>", "</lang>",
     "<emphasis>", "</emphasis>", "<blink a='b'>", "<!-- > & -->", "<?a b?>", "<prosody rate='x>",
     "< ", "& ", "&#; ", "<3 ", "<br", "<![CDATA[", "]]>", "<desc>", "</desc>"]
)  # fmt: skip
WORDS = st.from_regex(r"\A[a-z]{1,5}[.?,]?\Z")


@given(st.lists(st.one_of(MARKUP, WORDS, WORDS), max_size=40))
@settings(max_examples=500, deadline=None)
def test_all_words_of_any_document_are_spoken_once_and_in_order(parts: list[str]) -> None:
    """Words carry a mark that no markup holds. What is hidden on purpose is not among them."""
    parts = [part for part in parts if "desc" not in part]
    marked = [f"{part[:-1]}ß{number}ß{part[-1]}" if part[0].isalpha() else part for number, part in enumerate(parts)]
    spoken = " ".join(piece.text for piece in read([" ".join(marked)])[0])
    expected = [str(number) for number, part in enumerate(parts) if part[0].isalpha()]
    assert re.findall(r"ß(\d+)ß", spoken) == expected


@given(st.lists(st.one_of(MARKUP, WORDS, st.just("word " * 20), st.text(max_size=5)), max_size=40), st.data())
@settings(max_examples=500, deadline=None)
def test_the_cutting_does_not_matter(parts: list[str], data: st.DataObject) -> None:
    document = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(document)), max_size=12)))
    deltas = [document[start:end] for start, end in zip([0, *cuts], [*cuts, len(document)], strict=True)]
    whole = read([document])
    assert read(deltas) == whole
    assert read(list(document)) == whole


@pytest.mark.perf
@pytest.mark.parametrize(
    "unit", ["<p>", "<s>a</s>", "<prosody rate='slow'>a", "<sub alias='x'>", "</p>", "<say-as interpret-as='digits'>1"]
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    """A quadratic reading would run into the time limit of a test."""
    document = unit * (100_000 // len(unit))
    assert read([document])[0] == read(list(document))[0]


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("en", "007", "seven"),
        ("en", "+1,234.5", "one thousand two hundred and thirty-four point five"),
        ("de", "2.5", "zwei Komma fünf"),
        ("fr", "-71", "moins soixante et onze"),
        ("it", "12.345", "dodici virgola tre quattro cinque"),
        ("it", "1234567.8", "un milione e duecentotrentaquattromilacinquecentosessantasette virgola otto"),
        ("en", "1" * 16, " ".join(["one"] * 16)),
    ],
)  # fmt: skip
def test_numbers_are_said(language: str, written: str, said: str) -> None:
    assert say_as(written, "number", "", language) == said


@pytest.mark.parametrize("written", ["-1234567890123456", "3.141592653589793238", "0.000000000001"])
def test_a_number_without_words_is_left_with_sign_and_point(written: str) -> None:
    assert say_as(written, "number", "", "it") == written


@pytest.mark.parametrize("kind", ["cardinal", "ordinal"])
def test_whole_numbers_are_no_decimals(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The words of a decimal of 15 digits take 20 ms."""
    asked_for: list[object] = []

    def note(value: object, **_: object) -> str:
        asked_for.append(value)
        return "many"

    monkeypatch.setattr("num2words.num2words", note)
    assert say_as("987654321098765", kind, "", "de") == "many"
    assert [type(value) for value in asked_for] == [int]
