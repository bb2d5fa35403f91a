"""Sentences from deltas: every rule by example, and properties that hold for any text and any cutting."""

# ruff: noqa: RUF001  (marks that look like others are what is tested)

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.normalization.data import load_boundaries
from wyoming_pocket_tts.text.sentences import (
    FIRST_SEGMENT_CHARS,
    FIRST_SEGMENT_MIN_CHARS,
    HARD_LIMIT_CHARS,
    LOOKAHEAD_CHARS,
    SOFT_LIMIT_CHARS,
    SentenceSplitter,
    split_sentences,
)

# Each example is one text with its sentence ends marked by a bar.
SPLIT = [
    "The light is on.| The door is closed.",
    "Is it on?| Yes!| Good.",
    "Set it to 3.5 degrees.| Done.",
    "It costs 1,000 dollars.| Fine.",
    "Dr. Smith and Mr. Jones met Mrs. Lee.| They talked.",
    "Use fruit, e.g. apples, i.e. red ones.| Enjoy.",
    "Wake me at 9 a.m. tomorrow.| Good night.",
    "The alarm is at 9 a.m.| The lights go on.",
    "The call is at 9 a.m. Eastern time.| Be there.",
    "See you at 5 p.m. Monday.",
    "J. R. Smith came.| He left.",
    "J.R.R. Tolkien wrote it.",
    "Take vitamin C.| It helps.",
    "So do I.| Tell her.",
    "Update to 2026.11 now.| It is 2026.11.2 today.",
    "Python 3.| That is old.",
    "No. 5 is alive.| No.| That is wrong.",
    "Go to Main St.| The shop is open.",
    "St. John lives on Main St. near Boston.",
    "The U.S. market opens.| The U.S.| It is big.",
    "Well... maybe not.| Well...| Yes.",
    "Wait… what?| Wait…| No.",
    "What?!| Really!!!| Yes.",
    'She said "Hello."| Then she left.',
    "“Is it on?”| “Yes.”",
    '"Is it on?" he asked.| "Yes!" she said.',
    "(It is on.)| [It is off.]| Good.",
    "**It is on.**| *Really.*| Good.",
    "All done! 🎉 Next one.",
    "One\ntwo\n\nthree",
    "- milk\n- bread\n1. eggs\n2. salt",
    "1. Preheat the oven.| 2. Bake it.",
    "Title:\nText",
    "See https://example.com/a?b=c.d&e=f!g for more.| Yes.",
    "Go to www.example.com.| Mail john.doe@example.com.| Thanks.",
    "Open configuration.yaml.| Then edit light.kitchen and README.md now.",
    "Read [the manual. All of it.](https://example.com/a.b) first.| Then go.",
    "As shown here.[1]| More text.[^2]| End.",
    "灯开了。| 门关了！| 好吗？| 是。",
    "他说：“好。”| 走吧。",
    "ठीक है।| अच्छा।",
    "هل هو مفتوح؟| نعم.",
    "the door is open.| please close it.",
    "Yahoo!, the company, is here.",
    "He has a Ph.D. in physics.",
    "It is 12 ft.| The roof is low.",
    "Milk, eggs, etc.| The list is long.",
    "Milk, eggs, etc. are on it.",
]

SPLIT_GERMAN = [
    "Das Licht ist an.| Die Tür ist zu.",
    "Am 3. Oktober ist Feiertag.| Am 4. nicht.",
    "Heute ist der 3. Oktober.| Morgen ist der 4. Oktober 2026.",
    "Vom 3. bis 5. Oktober ist zu.| Danach nicht.",
    "Vom 3.–5. Mai und am 7./8. Juni.| Gut.",
    "Der 2. Versuch klappte.| Der 3. auch.",
    "Ihr 40. Geburtstag naht.| Feiern!",
    "Licht im 2. Stock ist an.| Das im 1. Stock auch.",
    "Es sind 3.| Das ist gut.",
    "Es sind 21.| Lampen gibt es genug.",
    "Der Termin ist am 3.| Bitte komm.",
    "Sie kam 2026.| Dann ging sie.",
    "Am 3.10. Anna fragen.| Am 3.10. ist frei.",
    "Am Montag, 5. Mai, ist frei.| Am Mo, 5. Mai auch.",
    "Obst, z. B. Äpfel, d. h. rote.| Lecker.",
    "Obst, z.B. Äpfel, u.a. rote.| Lecker.",
    "Nr. 5 lebt.| Haus Nr. 7 auch.",
    "Äpfel, Birnen usw. sind da.| Äpfel usw.| Die Liste ist lang.",
    "Dr. Müller und Prof. Schmidt, ca. 50.| Nett.",
    "Hr. Meier, Fr. Meier u. a. waren da.| Ja.",
    "In 5 Min. ist es so weit.| Noch 5 Min.| Dann ist Schluss.",
    "Siehe Abb. 3 und Art. 5.| Das ist eine neue Art.| Sie lebt.",
    "Das gilt max. 5 Tage.| Das ist Max.| Hallo!",
    "Die Hauptstr. 5 ist da.| Die Hauptstr. in Köln auch.",
    "1. Mehl sieben.| 2. Butter rühren.",
    "Ludwig XIV. war König.| Kaiser Wilhelm II.| Er war es.",
    "Update auf 2026.11.| Das ist neu.",
    "21,5 Grad.| 1.000 Watt.| Fertig.",
]
"""The same in German, where digits with a full stop are ordinals."""
SPLIT_ELSEWHERE = {
    "fr": [
        "La lampe est allumée.| La porte est fermée.",
        "Il fait 21.5 degrés.| Il est 14.30 ici.",
        "M. Dupont et Mme Durand ont appelé le Dr. Martin.| Ils arrivent.",
        "M. le maire est là.| Bonjour !",
        "Du lait, des œufs, etc.| La liste est longue.",
        "Du lait, des œufs, etc. sont sur la liste.",
        "Un fruit, p. ex. une pomme.| C'est bon.",
        "Le rouge, c.-à-d. le premier.| Oui.",
        "Rendez-vous le 5 janv. à midi.| À demain.",
        "Voir p. 12.| Puis chap. 3 du livre.",
        "La pièce fait 5 m.| Elle est grande.",
        "C'était en 44 av. J.-C. à Rome.| Il y a longtemps.",
        "Est-ce fermé ?| Oui !| «Très bien.»| Merci.",
        "J. R. Martin habite av. Foch.| Il est absent.",
        "La temp. max. est haute.| Fermez les volets.",
    ],
    "es": [
        "La luz está encendida.| La puerta está cerrada.",
        "El Sr. García y la Dra. Ruiz llamaron.| Vuelven mañana.",
        "Una fruta, p. ej. una manzana.| Está buena.",
        "Vive en los EE. UU. desde 2020.| Le gusta.",
        "Vive en EE. UU.| La casa es grande.",
        "Son las 9 a. m. en Lima.| Son las 3 p. m.| La cena espera.",
        "Leche, huevos, etc.| La lista es larga.",
        "Leche, huevos, etc. están en la lista.",
        "El n.º 5 está en el 2.º piso.| Sube.",
        "La cita es el 5 ene. por la tarde.| No faltes.",
        "¿Está cerrada?| ¡Sí!| ¿Seguro?",
        "Hola Sr. ¿Cómo está?",
        "D. Luis vive en la Avda. Goya.| Está en casa.",
        "César murió en 44 a. C. en Roma.| Fue en marzo.",
        "El total es 1.234,56.| Gracias.",
    ],
    "it": [
        "La luce è accesa.| La porta è chiusa.",
        "Il Sig. Rossi e la Sig.ra Bianchi hanno chiamato il dott. Verdi.| Arrivano.",
        "Latte, uova, ecc.| La lista è lunga.",
        "Latte, uova, ecc. sono nella lista.",
        "Un frutto, ad es. una mela.| È buona.",
        "Un frutto, p.es. una mela.| È buona.",
        "Il n. 5 è pronto.| Vedi pag. 12 del libro.",
        "Nel 44 a.C. morì Cesare.| Era marzo.",
        "Il treno parte alle 19.30.| Non fare tardi.",
        "Ci vediamo il 5 gen. di mattina.| Ciao.",
        "È chiusa?| Sì!| Bene.",
        "Abita in C.so Italia.| È lontano.",
        "S. Giovanni è il 24 giugno.| È festa a Torino.",
    ],
    "pt": [
        "A luz está acesa.| A porta está fechada.",
        "O Sr. Silva e a Dra. Reis ligaram.| Voltam amanhã.",
        "Uma fruta, p. ex. uma maçã.| É boa.",
        "Leite, ovos, etc.| A lista é longa.",
        "Leite, ovos, etc. estão na lista.",
        "O n.º 5 está no 2.º andar.| Sobe.",
        "A consulta é a 5 jan. de manhã.| Não faltes.",
        "César morreu em 44 a.C. em Roma.| Foi em março.",
        "D. João vive na Av. Brasil.| Está em casa.",
        "O Exmo. senhor diretor chegou.| Ver pág. 12.",
        "Está fechada?| Sim!| Ótimo.",
        "O total é 1.234,56.| Obrigado.",
    ],
    "nl": [
        "De lamp is aan.| De deur is dicht.",
        "Dhr. Jansen en mevr. de Vries belden dr. Smit.| Ze komen.",
        "Fruit, bijv. een appel.| Dat is lekker.",
        "Melk, eieren, enz.| De lijst is lang.",
        "Melk, eieren, enz. staan op de lijst.",
        "De rode, d.w.z. de eerste.| Er is o.a. melk.",
        "Nr. 5 is klaar.| Zie blz. 12 van het boek.",
        "De trein gaat om 19.30 uur.| Wees op tijd.",
        "Tot 5 jan. in Utrecht.| Dag.",
        "Deur dicht a.u.b.| Het is koud.",
        "Kom z.s.m. thuis.| We eten.",
        "Het duurt ca. 5 minuten.| Is het klaar?| Ja!",
        "J. Bakker komt.| Hij is laat.",
    ],
}
EXAMPLES = {"en": SPLIT, "de": SPLIT_GERMAN, **SPLIT_ELSEWHERE}


def marked(example: str) -> tuple[str, list[str]]:
    """The text and its sentences. A line end always ends a sentence and an emoji after a mark starts the next."""
    bars = example.replace("\n", "\n|").replace("! 🎉", "!| 🎉")
    return example.replace("|", ""), [part.strip() for part in bars.split("|") if part.strip()]


def stream(deltas: list[str], language: str = "en", *, cut_first_early: bool = True) -> list[str]:
    sentences = SentenceSplitter(language, cut_first_early=cut_first_early)
    pieces = [piece for delta in deltas for piece in sentences.feed(delta)]
    return [*pieces, *sentences.finish()]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("language", EXAMPLES)
def test_sentences_end_at_the_bars(language: str) -> None:
    """In one piece and one character at a time; all misses at once."""
    misses = {}
    for example in EXAMPLES[language]:
        text, expected = marked(example)
        for found in (split_sentences(text, language), stream(list(text), language, cut_first_early=False)):
            if found != expected:
                misses[example] = found
    assert misses == {}


def test_a_german_date_is_waited_for_but_no_longer_than_needed() -> None:
    sentences = SentenceSplitter("de")
    assert sentences.feed("Es sind 3. ") == []
    assert sentences.feed("Das ") == ["Es sind 3."]
    assert sentences.feed("war am 3. ") == []
    assert sentences.feed("Okt") == []
    assert sentences.feed("ober. ") == ["Das war am 3. Oktober."]


def test_a_sentence_comes_out_as_soon_as_it_is_certain() -> None:
    sentences = SentenceSplitter()
    assert sentences.feed("The light is on") == []
    assert sentences.feed(".") == []  # "on.5" would be something else
    assert sentences.feed(" ") == ["The light is on."]
    assert sentences.feed("At 9 a.m. ") == []
    assert sentences.feed("The ") == ["At 9 a.m."]
    assert sentences.feed("end\n") == ["The end"]
    assert sentences.finish() == []


def test_a_stream_serves_several_texts() -> None:
    sentences = SentenceSplitter()
    assert sentences.feed("One. Two") == ["One."]
    assert sentences.finish() == ["Two"]
    assert sentences.feed("Three") == []
    assert sentences.finish() == ["Three"]


def test_nothing_but_space_is_no_sentence() -> None:
    assert stream(["", " ", "\n\n", "\t"]) == []


SLOW = "When the washing machine in the basement is done, I will tell you, and the light in the hall will turn green."


def test_a_slow_first_sentence_is_cut_at_a_clause() -> None:
    sentences = SentenceSplitter()
    emitted_after = next(n for n, char in enumerate(SLOW, 1) if sentences.feed(char))
    assert FIRST_SEGMENT_CHARS < emitted_after < FIRST_SEGMENT_CHARS + 12
    assert stream([SLOW])[0] == "When the washing machine in the basement is done,"
    assert len(stream([SLOW])) == 2, "only the first piece is cut"
    assert split_sentences(SLOW) == [SLOW]


def test_an_early_cut_leaves_numbers_dates_and_links_alone() -> None:
    text = "We will all meet on Sunday, May 3, 2026 [in the house, the red one](http://a.b/c,d) to eat 1,000 cakes now"
    assert stream([text]) == ["We will all meet on Sunday,", text.removeprefix("We will all meet on Sunday, ")]


def test_a_first_clause_that_is_too_short_waits_for_a_longer_one() -> None:
    text = "Well, the washing machine in the basement of the house is done at last - and the light is green"
    first = stream([text])[0]
    assert len(first) >= FIRST_SEGMENT_MIN_CHARS
    assert first.endswith("at last -")


def test_an_endless_sentence_is_cut_at_a_clause_then_between_words() -> None:
    with_clauses = "and then it went on with many words, " * 40
    pieces = split_sentences(with_clauses)
    assert all(piece.endswith(",") and len(piece) <= SOFT_LIMIT_CHARS + 1 for piece in pieces)
    pieces = split_sentences("and then it went on and on " * 40)
    assert all(abs(len(piece) - SOFT_LIMIT_CHARS) <= len("went ") for piece in pieces[:-1])
    assert " ".join(pieces) == ("and then it went on and on " * 40).strip()


def test_text_without_any_space_is_cut_and_the_buffer_stays_bounded() -> None:
    sentences = SentenceSplitter()
    pieces = [piece for _ in range(5000) for piece in sentences.feed("x")]
    assert [*pieces, *sentences.finish()] == ["x" * HARD_LIMIT_CHARS] * 5


@pytest.mark.parametrize(
    "unit", ["x", ".", "!", '."', "[", "[a](", " ", "e.g. ", "a.m. ", ". ", "1 ", "J. ", "……", "[1"]
)
def test_any_repetition_keeps_the_buffer_bounded(unit: str) -> None:
    sentences = SentenceSplitter()
    longest = 0
    for _ in range(3000):
        sentences.feed(unit)
        longest = max(longest, len(sentences._text))
    assert longest <= HARD_LIMIT_CHARS + LOOKAHEAD_CHARS


FRAGMENTS = st.sampled_from(
    [*"abXYZ.!?…,;:-—()[]\"'”*_ \n\t\r5。，」🎉", ". ", ", ", "e.g.", "a.m. ", "Dr. ", "The ", "I'm ", "...", "](",
     "U.S. ", "3.5", "[1]", "http://a.b/c?d ", "word " * 15, "y" * 90, "No. ",
     "am 3. ", "Mai ", "und 4. ", "z. B. ", "usw. ", "3.–"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=60).map("".join), st.text(max_size=200))


@given(TEXTS, st.data(), st.booleans(), st.sampled_from(["en", "de"]))
@settings(max_examples=600, deadline=None)
def test_the_cutting_does_not_matter_and_nothing_is_lost(
    text: str, data: st.DataObject, early: bool, language: str
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = stream([text], language, cut_first_early=early)
    assert stream(deltas, language, cut_first_early=early) == whole
    assert stream(list(text), language, cut_first_early=early) == whole
    assert squeezed("".join(whole)) == squeezed(text)
    assert all(piece and piece == piece.strip() for piece in whole)


@pytest.mark.perf
@pytest.mark.parametrize(
    "unit", ["The light is on. ", "x", "word ", "[link, ", "e.g. ", ".", "1 ", "a.b", '"', "a, b "], ids=repr
)
def test_time_is_linear(unit: str) -> None:
    """200 kB in any pieces: a quadratic reading takes minutes."""
    text = unit * (200_000 // len(unit))
    started = time.perf_counter()
    stream([text])
    stream(list(text))
    assert time.perf_counter() - started < 20


def test_importing_is_cheap() -> None:
    code = "import sys, wyoming_pocket_tts.text.sentences; print(*{'yaml', 'pydantic', 'num2words'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize("tag", ["pt-BR", "pt_PT", "PT"])
def test_a_region_has_the_boundaries_of_its_language(tag: str) -> None:
    assert split_sentences("O Exmo. Silva ligou. Volta já.", tag) == ["O Exmo. Silva ligou.", "Volta já."]


def fragments(language: str) -> st.SearchStrategy[str]:
    words = [
        word + space
        for example in SPLIT_ELSEWHERE[language]
        for word in example.replace("|", "").split()
        for space in ("", " ")
    ]
    return st.lists(st.sampled_from([*words, *" .!?…5\n¿¡«»'"]), max_size=40).map("".join)


@given(
    st.sampled_from(list(SPLIT_ELSEWHERE)).flatmap(lambda lang: st.tuples(st.just(lang), fragments(lang))), st.data()
)
@settings(max_examples=300, deadline=None)
def test_the_cutting_does_not_matter_in_other_languages(case: tuple[str, str], data: st.DataObject) -> None:
    language, text = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = stream([text], language, cut_first_early=False)
    assert stream(deltas, language, cut_first_early=False) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())


@pytest.mark.parametrize("language", list(SPLIT_ELSEWHERE))
def test_words_stand_in_one_list_and_as_they_are_looked_up(language: str) -> None:
    """In lower case and without their last dot; starters are words that may follow, not abbreviations."""
    kind = load_boundaries(language)
    lists = [kind.never, kind.before_number, kind.before_starter, kind.before_capital]
    words = [word for words in lists for word in words]
    assert len(words) == len(set(words))
    assert all(word == word.lower() and not word.endswith(".") for word in [*words, *kind.starters])
