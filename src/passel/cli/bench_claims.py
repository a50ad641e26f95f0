"""Claims whose truth is known, because they were made so: from public facts, by swapping names, changing numbers and denying; and
arithmetic. Half of them are true. The facts themselves, for the methods that look things up."""

import random
from collections.abc import Callable
from typing import NamedTuple

CAPITALS = """Albania Tirana; Algeria Algiers; Angola Luanda; Armenia Yerevan; Azerbaijan Baku; Bahrain Manama; Bangladesh Dhaka;
Belarus Minsk; Bhutan Thimphu; Botswana Gaborone; Burundi Gitega; Cambodia Phnom_Penh; Cameroon Yaoundé; Chad N'Djamena; Cyprus Nicosia;
Djibouti Djibouti_City; Eritrea Asmara; Fiji Suva; Gabon Libreville; Georgia Tbilisi; Guinea Conakry; Haiti Port-au-Prince; Honduras Tegucigalpa;
Jamaica Kingston; Jordan Amman; Kazakhstan Astana; Laos Vientiane; Lebanon Beirut; Liberia Monrovia; Libya Tripoli; Madagascar Antananarivo;
Malawi Lilongwe; Malaysia Kuala_Lumpur; Mali Bamako; Malta Valletta; Mauritania Nouakchott; Moldova Chișinău; Mozambique Maputo; Namibia Windhoek;
Nicaragua Managua; Niger Niamey; Oman Muscat; Pakistan Islamabad; Philippines Manila; Qatar Doha; Rwanda Kigali; Samoa Apia; Somalia Mogadishu;
Sudan Khartoum; Suriname Paramaribo; Syria Damascus; Tajikistan Dushanbe; Togo Lomé; Tonga Nuku'alofa; Turkmenistan Ashgabat; Uganda Kampala;
Uzbekistan Tashkent; Venezuela Caracas; Zambia Lusaka; Zimbabwe Harare"""

ELEMENTS = """scandium Sc 21; vanadium V 23; manganese Mn 25; gallium Ga 31; germanium Ge 32; arsenic As 33; selenium Se 34; bromine Br 35;
krypton Kr 36; rubidium Rb 37; strontium Sr 38; yttrium Y 39; zirconium Zr 40; niobium Nb 41; molybdenum Mo 42; technetium Tc 43; ruthenium Ru 44;
rhodium Rh 45; palladium Pd 46; cadmium Cd 48; indium In 49; antimony Sb 51; tellurium Te 52; xenon Xe 54; caesium Cs 55; barium Ba 56;
lanthanum La 57; cerium Ce 58; hafnium Hf 72; tantalum Ta 73; rhenium Re 75; osmium Os 76; iridium Ir 77; thallium Tl 81; bismuth Bi 83; radon Rn 86"""

CURRENCIES = """Japan yen; India rupee; Thailand baht; Sweden krona; Poland zloty; Hungary forint; Israel shekel; Vietnam dong; Brazil real;
Peru sol; Ghana cedi; Nigeria naira; Kenya shilling; Ukraine hryvnia; Georgia lari; Armenia dram; Mongolia tugrik; Cambodia riel; Malaysia ringgit;
Bangladesh taka; Ethiopia birr; Zambia kwacha; Botswana pula; Qatar riyal"""


class Claim(NamedTuple):
    """`kind` is what it is about."""

    text: str
    true: bool
    kind: str


class _Table(NamedTuple):
    rows: list[list[str]]
    fact: str
    forms: tuple[str, ...]
    denied: str
    value: int


def _rows(text: str) -> list[list[str]]:
    return [[cell.replace("_", " ") for cell in row.split()] for row in text.replace("\n", " ").split(";")]


_TABLES = {
    "capitals": _Table(
        _rows(CAPITALS),
        "{1} is the capital of {0}.",
        ("{1} is the capital of {0}", "The capital of {0} is {1}"),
        "{1} is not the capital of {0}",
        1,
    ),
    "elements": _Table(
        _rows(ELEMENTS),
        "The atomic number of {0} is {2}.",
        ("The atomic number of {0} is {2}", "{0} has the atomic number {2}"),
        "The atomic number of {0} is not {2}",
        2,
    ),
    "symbols": _Table(
        _rows(ELEMENTS),
        "The chemical symbol of {0} is {1}.",
        ("The chemical symbol of {0} is {1}", "{1} is the chemical symbol of {0}"),
        "The chemical symbol of {0} is not {1}",
        1,
    ),
    "currencies": _Table(
        _rows(CURRENCIES),
        "The currency of {0} is the {1}.",
        ("The currency of {0} is the {1}", "The {1} is the currency of {0}"),
        "The currency of {0} is not the {1}",
        1,
    ),
}


def facts() -> dict[str, list[str]]:
    """Sentences by what they are about."""
    return {kind: [table.fact.format(*row) for row in table.rows] for kind, table in _TABLES.items()}


def claims(count: int, seed: int) -> list[Claim]:
    """Half of them true, the kinds in turn; the same for the same seed."""
    r = random.Random(seed)
    makers: list[Callable[[bool], Claim]] = [lambda true, kind=kind: _of_table(r, kind, true) for kind in _TABLES]
    makers.append(lambda true: _arithmetic(r, true))
    made = [makers[n % len(makers)](n // len(makers) % 2 == 0) for n in range(count)]
    r.shuffle(made)
    return made


def _of_table(r: random.Random, kind: str, true: bool) -> Claim:
    table = _TABLES[kind]
    row = list(r.choice(table.rows))
    denied = r.random() < 0.2
    if denied == true:  # what is denied has to be wrong for the denial to be true
        others = [other[table.value] for other in table.rows if other[table.value] != row[table.value]]
        row[table.value] = r.choice(others)
    text = (table.denied if denied else r.choice(table.forms)).format(*row)
    return Claim(text[0].upper() + text[1:], true, kind)


def _arithmetic(r: random.Random, true: bool) -> Claim:
    a, b = r.randint(3, 400), r.randint(3, 99)
    form, right = r.choice(
        [
            ("{a} times {b} is {c}", a * b),
            ("{a} plus {b} equals {c}", a + b),
            ("{a} minus {b} is {c}", a - b),
            ("The square of {b} is {c}", b * b),
            ("{b}% of {a}00 is {c}", a * b),
            ("{a} hours is {c} minutes", a * 60),
        ]
    )
    said = right if true else right + r.choice([-10, -2, -1, 1, 2, 10])
    return Claim(form.format(a=a, b=b, c=said), true, "arithmetic")
