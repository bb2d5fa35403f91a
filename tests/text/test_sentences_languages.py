"""Sentences in French, Spanish, Italian, Portuguese and Dutch: where a full stop ends one and where it does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.normalization.data import load_boundaries
from wyoming_pocket_tts.text.sentences import SentenceSplitter, split_sentences

# Each example is one text with its sentence ends marked by a bar.
SPLIT = {
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
EXAMPLES = [(language, example) for language, examples in SPLIT.items() for example in examples]


def stream(deltas: list[str], language: str) -> list[str]:
    sentences = SentenceSplitter(language, cut_first_early=False)
    pieces = [piece for delta in deltas for piece in sentences.feed(delta)]
    return [*pieces, *sentences.finish()]


@pytest.mark.parametrize(("language", "example"), EXAMPLES)
def test_sentences_end_where_they_end(language: str, example: str) -> None:
    expected = [part.strip() for part in example.split("|")]
    assert split_sentences(example.replace("|", ""), language) == expected


@pytest.mark.parametrize(("language", "example"), EXAMPLES)
def test_one_character_at_a_time_gives_the_same(language: str, example: str) -> None:
    expected = [part.strip() for part in example.split("|")]
    assert stream(list(example.replace("|", "")), language) == expected


@pytest.mark.parametrize("tag", ["pt-BR", "pt_PT", "PT"])
def test_a_region_has_the_boundaries_of_its_language(tag: str) -> None:
    assert split_sentences("O Exmo. Silva ligou. Volta já.", tag) == ["O Exmo. Silva ligou.", "Volta já."]


def fragments(language: str) -> st.SearchStrategy[str]:
    words = [
        word + space for example in SPLIT[language] for word in example.replace("|", "").split() for space in ("", " ")
    ]
    return st.lists(st.sampled_from([*words, *" .!?…5\n¿¡«»'"]), max_size=40).map("".join)


@given(st.sampled_from(list(SPLIT)).flatmap(lambda lang: st.tuples(st.just(lang), fragments(lang))), st.data())
@settings(max_examples=300, deadline=None)
def test_the_cutting_does_not_matter_and_nothing_is_lost(case: tuple[str, str], data: st.DataObject) -> None:
    language, text = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = stream([text], language)
    assert stream(deltas, language) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())


@pytest.mark.parametrize("language", list(SPLIT))
def test_words_stand_in_one_list_and_as_they_are_looked_up(language: str) -> None:
    """In lower case and without their last dot; starters are words that may follow, not abbreviations."""
    kind = load_boundaries(language)
    lists = [kind.never, kind.before_number, kind.before_starter, kind.before_capital]
    words = [word for words in lists for word in words]
    assert len(words) == len(set(words))
    assert all(word == word.lower() and not word.endswith(".") for word in [*words, *kind.starters])
