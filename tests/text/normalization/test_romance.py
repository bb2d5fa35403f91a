"""Portuguese of Brazil where it differs from that of Portugal; the cases of all else are those of Portuguese."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.text.normalization.pipeline import normalize

CASES = {
    "Ele tem 16 anos.": "Ele tem dezesseis anos.",
    "São 17h.": "São dezessete horas.",
    "O trem parte às 19h30.": "O trem parte às dezenove e trinta.",
    "Foi em 1999.": "Foi em mil novecentos e noventa e nove.",
    "O lucro foi de R$ 2.000.000.000.": "O lucro foi de dois bilhões de reais.",
    "Há 2 janelas e 22 lâmpadas.": "Há duas janelas e vinte e duas lâmpadas.",
    "2 mil pessoas": "duas mil pessoas",
    "O 1 de maio é feriado.": "O primeiro de maio é feriado.",
    "É dia 01/05/2026.": "É dia primeiro de maio de dois mil e vinte e seis.",
    "Vento a 15 km/h.": "Vento a quinze quilômetros por hora.",
    "Fica a 1 km.": "Fica a um quilômetro.",
    "Custa R$ 5,99.": "Custa cinco reais e noventa e nove centavos.",
    "Custa US$ 0,99.": "Custa noventa e nove centavos.",
    "A energia está a R$ 0,85/kWh.": "A energia está a oitenta e cinco centavos por quilowatt-hora.",
    "10 / 2 = 5": "dez dividido por dois igual a cinco",
    "Ligue (11) 91234-5678.": "Ligue um um, nove um dois três quatro, cinco seis sete oito.",
    "A hum. está em 45%.": "A umidade está em quarenta e cinco por cento.",
    "Está 21,5 °C.": "Está vinte e um vírgula cinco graus Celsius.",
    "O Dr. Silva mora no 3º andar.": "O doutor Silva mora no terceiro andar.",
    "O CEP é 01310-100.": "O CEP é zero um três um zero, um zero zero.",
}


def test_cases() -> None:
    said = {text: normalize(text, "pt-BR") for text in CASES}
    assert {text: words for text, words in said.items() if words != CASES[text]} == {}


@pytest.mark.parametrize("tag", ["pt", "pt-PT", "PT", "pt-AO"])
def test_elsewhere_it_is_said_as_in_portugal(tag: str) -> None:
    assert normalize("16 km", tag) == "dezasseis quilómetros"


@pytest.mark.parametrize("tag", ["pt-BR", "pt_BR", "PT-br"])
def test_brazil_is_recognised_by_its_tag(tag: str) -> None:
    assert normalize("16 km", tag) == "dezesseis quilômetros"


@given(st.lists(st.sampled_from([word + " " for text in CASES for word in text.split()]), max_size=10).map("".join))
@settings(max_examples=300, deadline=None)
def test_normalising_again_changes_nothing_and_no_digit_is_left(text: str) -> None:
    once = normalize(text, "pt-BR")
    assert normalize(once, "pt-BR") == once
    assert not any(char.isdecimal() for char in once)
