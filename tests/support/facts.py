"""Public facts, and claims made from them whose truth is known because they were made that way; nothing of what judges them
is used.

A true claim is a fact in its words or in others. A false one has a name of another row, another number, a negation, or
exchanged roles. A strange one is about a row whose facts are not loaded: there is nothing to be found for it.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

CAPITALS = """France Paris; Germany Berlin; Italy Rome; Spain Madrid; Portugal Lisbon; Austria Vienna; Hungary Budapest; Poland Warsaw;
Sweden Stockholm; Norway Oslo; Finland Helsinki; Denmark Copenhagen; Ireland Dublin; Greece Athens; Turkey Ankara; Bulgaria Sofia;
Romania Bucharest; Serbia Belgrade; Croatia Zagreb; Slovenia Ljubljana; Ukraine Kyiv; Estonia Tallinn; Latvia Riga; Lithuania Vilnius;
Japan Tokyo; China Beijing; India New_Delhi; Thailand Bangkok; Vietnam Hanoi; Indonesia Jakarta; Mongolia Ulaanbaatar; Nepal Kathmandu;
Iran Tehran; Iraq Baghdad; Egypt Cairo; Kenya Nairobi; Ethiopia Addis_Ababa; Ghana Accra; Nigeria Abuja; Senegal Dakar; Morocco Rabat;
Tunisia Tunis; Canada Ottawa; Mexico Mexico_City; Cuba Havana; Peru Lima; Chile Santiago; Argentina Buenos_Aires; Brazil Brasília;
Colombia Bogotá; Ecuador Quito; Uruguay Montevideo; Paraguay Asunción; Australia Canberra; New_Zealand Wellington; Iceland Reykjavik"""

ELEMENTS = """hydrogen H 1; helium He 2; lithium Li 3; beryllium Be 4; boron B 5; carbon C 6; nitrogen N 7; oxygen O 8; fluorine F 9;
neon Ne 10; sodium Na 11; magnesium Mg 12; aluminium Al 13; silicon Si 14; phosphorus P 15; sulfur S 16; chlorine Cl 17; argon Ar 18;
potassium K 19; calcium Ca 20; titanium Ti 22; chromium Cr 24; iron Fe 26; cobalt Co 27; nickel Ni 28; copper Cu 29; zinc Zn 30;
silver Ag 47; tin Sn 50; iodine I 53; tungsten W 74; platinum Pt 78; gold Au 79; mercury Hg 80; lead Pb 82; uranium U 92"""

MOUNTAINS = """Mount_Everest Nepal 8849; Mont_Blanc France 4806; Kilimanjaro Tanzania 5895; Aconcagua Argentina 6961; Denali Alaska 6190;
Mount_Elbrus Russia 5642; Mount_Fuji Japan 3776; Zugspitze Germany 2962; Ben_Nevis Scotland 1345; Olympus Greece 2918"""

RIVERS = "Rhine 1230; Danube 2850; Elbe 1094; Seine 777; Thames 346; Volga 3530; Ganges 2525; Congo 4700; Loire 1006; Vistula 1047"

WORKS = """Hamlet William_Shakespeare; Faust Johann_Goethe; Don_Quixote Miguel_Cervantes; War_and_Peace Leo_Tolstoy; Emma Jane_Austen;
Ulysses James_Joyce; Candide Voltaire; Frankenstein Mary_Shelley; Dracula Bram_Stoker; Moby-Dick Herman_Melville; Walden Henry_Thoreau;
Middlemarch George_Eliot; Dubliners James_Joyce; Macbeth William_Shakespeare; Persuasion Jane_Austen; Siddhartha Hermann_Hesse"""

BIRTHS = """Albert_Einstein Ulm 1879; Marie_Curie Warsaw 1867; Johann_Goethe Frankfurt 1749; Wolfgang_Mozart Salzburg 1756;
Charles_Darwin Shrewsbury 1809; Galileo_Galilei Pisa 1564; Nikola_Tesla Smiljan 1856; Sigmund_Freud Příbor 1856; Karl_Marx Trier 1818;
Immanuel_Kant Königsberg 1724; Ludwig_Beethoven Bonn 1770; Vincent_Gogh Zundert 1853; Frida_Kahlo Coyoacán 1907; Alan_Turing London 1912"""


class Made(NamedTuple):
    """`true` is None for a claim about what no fact says. `how` it was made."""

    text: str
    true: bool | None
    how: str


class Table(NamedTuple):
    """`facts` and `others` are templates over a row's columns; `swap` is the column that a false claim takes from another row,
    and `number` the one whose value it changes."""

    rows: list[list[str]]
    facts: Sequence[str]
    others: Sequence[str]
    swap: int | None
    number: int | None = None


def _rows(text: str) -> list[list[str]]:
    return [[cell.replace("_", " ") for cell in row.split()] for row in text.replace("\n", " ").split(";")]


TABLES: dict[str, Table] = {
    "capitals": Table(_rows(CAPITALS), ["{1} is the capital of {0}."], ["The capital of {0} is {1}", "{0}'s capital is {1}."], 1),
    "symbols": Table(
        _rows(ELEMENTS),
        ["The chemical symbol of {0} is {1}."],
        ["{1} is the chemical symbol of {0}.", "The chemical symbol for {0} is {1}"],
        1,
    ),
    "numbers": Table(
        _rows(ELEMENTS),
        ["The atomic number of {0} is {2}."],
        ["{2} is the atomic number of {0}", "the atomic number of {0} is {2}"],
        None,
        2,
    ),
    "heights": Table(_rows(MOUNTAINS), ["{0} is {2} metres high."], ["{0} is {2} m high", "{0} is about {2} metres high."], None, 2),
    "places": Table(_rows(MOUNTAINS), ["{0} is the highest mountain in {1}."], ["The highest mountain in {1} is {0}."], 0),
    "lengths": Table(
        _rows(RIVERS), ["The {0} is {1} km long."], ["The {0} is {1}000 metres long.", "The {0} is {1} kilometers long"], None, 1
    ),
    "works": Table(_rows(WORKS), ["{0} was written by {1}."], ["The author of {0} is {1}", "{0} was written by {1}"], 1),
    "birthplaces": Table(_rows(BIRTHS), ["{0} was born in {1}."], ["{0} was born in {1}"], 1),
    "birthyears": Table(_rows(BIRTHS), ["{0} was born in {2}."], ["{0} was born in the year {2}", "{0} was born in {2}"], None, 2),
}


def facts(left_out: int = 0) -> list[str]:
    """All facts of the tables, without the last `left_out` rows of each."""
    return [one for table in TABLES.values() for row in _loaded(table, left_out) for one in _filled(table.facts, row)]


def _loaded(table: Table, left_out: int) -> list[list[str]]:
    return table.rows[: len(table.rows) - left_out]


def _filled(templates: Sequence[str], row: list[str]) -> list[str]:
    return [template.format(*row) for template in templates]


def claims(r: random.Random, left_out: int = 2) -> list[Made]:
    """For each row of each table a true claim and a false one, and a strange one for each row that is left out."""
    made: list[Made] = []
    for table in TABLES.values():
        rows = _loaded(table, left_out)
        for row in rows:
            made.append(Made(r.choice([*table.facts, *table.others]).format(*row), True, "reworded"))
            made.append(_false(r, table, rows, row))
        for row in table.rows[len(rows) :]:
            made.append(Made(r.choice(table.facts).format(*row), None, "strange"))
    return made


def _false(r: random.Random, table: Table, rows: list[list[str]], row: list[str]) -> Made:
    ways: list[Callable[[random.Random, Table, list[list[str]], list[str]], Made]] = [_negated]
    if table.swap is not None:
        ways += [_swapped, _swapped]
    if table.number is not None:
        ways += [_miscounted, _miscounted]
    return r.choice(ways)(r, table, rows, row)


def _swapped(r: random.Random, table: Table, rows: list[list[str]], row: list[str]) -> Made:
    assert table.swap is not None
    others = [other[table.swap] for other in rows if other[table.swap] != row[table.swap]]
    changed = [*row]
    changed[table.swap] = r.choice(others)
    return Made(r.choice([*table.facts, *table.others]).format(*changed), False, "swapped")


def _miscounted(r: random.Random, table: Table, rows: list[list[str]], row: list[str]) -> Made:
    assert table.number is not None
    value = int(row[table.number])
    changed = [*row]
    changed[table.number] = str(value + r.choice([1, 2, 3]) * max(1, value // 9) * r.choice([1, 1, -1] if value > 9 else [1]))
    return Made(r.choice([*table.facts, *table.others]).format(*changed), False, "miscounted")


def _negated(r: random.Random, table: Table, rows: list[list[str]], row: list[str]) -> Made:
    text = r.choice(table.facts).format(*row)
    verb = " is " if " is " in text else " was "
    return Made(text.replace(verb, f"{verb}not ", 1), False, "negated")


HAND_WRITTEN_FACTS = """The human heart has four chambers.
Light travels at 299,792 km per second in a vacuum.
Water boils at 100 degrees Celsius at sea level.
The Great Wall of China is in northern China.
The Berlin Wall fell on 9 November 1989.
Neil Armstrong was the first person to walk on the Moon.
Jupiter is the largest planet in the Solar System.
Mercury is the planet closest to the Sun.
Canada is larger than Australia.
France borders Spain.
France borders Italy.
The Amazon flows through Brazil.
Penicillin was discovered by Alexander Fleming.
The Mona Lisa was painted by Leonardo da Vinci.
The Second World War ended in 1945.
DNA has the shape of a double helix.
Bats are mammals.
Gold is a metal.
The euro is the currency of Germany.
The euro is the currency of France.
Antibiotics do not work against viruses.
Vaccines do not cause autism.
The Pacific is the largest ocean.
Sound travels faster in water than in air.
Sharks are fish.
The speed limit in our town is 50 km/h.
Our office opens at 9 and closes at 17.
Employees have 30 days of leave a year.
The warranty of the X200 lasts 24 months.
The X200 weighs 1.2 kg.
Orders over 50 euros are delivered free of charge.
Refunds are paid within 14 days.""".splitlines()

HAND_WRITTEN_FALSE_FACTS = ["The Great Wall of China is visible from the Moon.", "Humans use only 10 percent of their brain."]

HAND_WRITTEN: list[Made] = [
    Made(text, {"t": True, "f": False, "?": None}[mark], "by hand")
    for mark, text in (
        line.split(" ", 1)
        for line in """t The human heart has 4 chambers
f The human heart has three chambers
t The heart of a human has four chambers
f The human heart does not have four chambers
t In a vacuum light travels at 299,792 km per second
f Light travels at 399,792 km per second in a vacuum
t Water boils at 212 °F at sea level
f Water boils at 90 °C at sea level
f The Berlin Wall fell on 9 November 1990
t The Berlin Wall fell in November 1989
f The Berlin Wall fell on 8 November 1989
f Buzz Aldrin was the first person to walk on the Moon
t The first person to walk on the Moon was Neil Armstrong
f Neil Armstrong was the second person to walk on the Moon
f Neil Armstrong was not the first person to walk on the Moon
f Saturn is the largest planet in the Solar System
f Jupiter is the smallest planet in the Solar System
f Jupiter is the second largest planet in the Solar System
t The largest planet in the Solar System is Jupiter
f Venus is the planet closest to the Sun
f Mercury is the planet farthest from the Sun
f Australia is larger than Canada
f Canada is smaller than Australia
t Australia is smaller than Canada
t Spain borders France
f France does not border Spain
? France borders Germany
f The Amazon flows through Germany
f Penicillin was discovered by Louis Pasteur
t Alexander Fleming discovered penicillin
t Penicillin was discovered by Fleming
f The Mona Lisa was painted by Michelangelo
t Leonardo da Vinci painted the Mona Lisa
f The Mona Lisa was stolen by Leonardo da Vinci
f The Second World War ended in 1944
f The First World War ended in 1945
f The Second World War began in 1945
f Bats are not mammals
f Bats are birds
t The bat is a mammal
f Gold is not a metal
f Gold is a gas
f The euro is the currency of Japan
t The euro is Germany's currency
f The dollar is the currency of Germany
f Antibiotics work against viruses
t Antibiotics don't work against viruses
f Vaccines cause autism
t It is false that vaccines cause autism
f The Atlantic is the largest ocean
f The Pacific is the smallest ocean
f Sound travels slower in water than in air
f Sound travels faster in air than in water
f Sharks are mammals
f Sharks are not fish
t The speed limit in our town is 50 km/h.
f The speed limit in our town is 30 km/h.
f Our office opens at 8 and closes at 17.
f Employees have 25 days of leave a year.
t Employees have 30 days of leave every year.
f The warranty of the X200 lasts 12 months
f The warranty of the X300 lasts 24 months
f The X200 weighs 1.4 kg
t The X200 weighs 1200 g
f Orders over 20 euros are delivered free of charge
f Refunds are paid within 30 days
f Refunds are not paid within 14 days
f The Great Wall of China is visible from the Moon
t The Great Wall of China is not visible from the Moon
f Humans use only 10% of their brain
? Bananas are rich in potassium
? The Eiffel Tower is 330 metres tall
? Shakespeare was born in Stratford
? My neighbour has two dogs
? Photosynthesis takes place in chloroplasts
? Interest rates rose in March
f Every employee has 30 days of leave a month
f Bats are the largest mammals
f Some vaccines cause autism
f Gold is the lightest metal""".splitlines()
    )
]

# Written after the constants and guards were settled, and looked at once: what the guide calls held out.
HELD_OUT_FACTS = """The Nile flows into the Mediterranean Sea.
Lake Baikal is the deepest lake in the world.
The Eiffel Tower was completed in 1889.
Marie Curie won the Nobel Prize in Physics in 1903.
Mars has two moons.
The Treaty of Versailles was signed in 1919.
Python was created by Guido van Rossum.
Switzerland is not a member of the European Union.
The adult human body has 206 bones.
Venus is hotter than Mercury.
The blue whale is the largest animal on Earth.
Brazil's official language is Portuguese.
Insulin is produced in the pancreas.
The French Revolution began in 1789.
Sodium chloride is table salt.
Spiders have eight legs.
The Suez Canal connects the Mediterranean Sea with the Red Sea.
Our headquarters are in Hamburg.
Passwords must be changed every 90 days.
The free plan includes 5 GB of storage.
Customer data is never sold to third parties.
The support team answers within 24 hours on business days.
The minimum order value is 20 euros.
Invoices are due after 30 days.
The device must not be used under water.
Maria Lopez is the head of the finance department.
The museum is closed on Mondays.
The train to Cologne departs from platform 4.
The battery lasts up to 12 hours.
Children under 6 travel free of charge.""".splitlines()

HELD_OUT: list[Made] = [
    Made(text, {"t": True, "f": False, "?": None}[mark], "held out")
    for mark, text in (
        line.split(" ", 1)
        for line in """t The Nile flows into the Mediterranean Sea
f The Nile flows into the Red Sea
f The Nile does not flow into the Mediterranean Sea
t The deepest lake in the world is Lake Baikal
f Lake Victoria is the deepest lake in the world
f Lake Baikal is the shallowest lake in the world
f Lake Baikal is the deepest lake in Africa
t The Eiffel Tower was completed in the year 1889
f The Eiffel Tower was completed in 1899
f The Eiffel Tower was demolished in 1889
t Marie Curie won the Nobel Prize in Physics in 1903
f Marie Curie won the Nobel Prize in Chemistry in 1903
f Pierre Curie won the Nobel Prize in Physics in 1921
f Marie Curie never won the Nobel Prize in Physics
t Mars has 2 moons
f Mars has three moons
f Mars has no moons
f Venus has two moons
f The Treaty of Versailles was signed in 1918
f The Treaty of Versailles was rejected in 1919
t Guido van Rossum created Python
f Python was created by Linus Torvalds
f Python was created by Guido van Rossum in 1950
t Switzerland isn't a member of the European Union
f Switzerland is a member of the European Union
t It is not true that Switzerland is a member of the European Union
f Norway is not a member of the European Union and Switzerland is
t The body of an adult human has 206 bones
f The adult human body has 306 bones
f The adult human body has over 300 bones
t Mercury is colder than Venus
f Venus is colder than Mercury
f Mercury is hotter than Venus
f The blue whale is the smallest animal on Earth
f The elephant is the largest animal on Earth
f The blue whale is the largest fish on Earth
t Portuguese is Brazil's official language
f Spanish is Brazil's official language
f Brazil's official language is Spanish
t The pancreas produces insulin
f Insulin is produced in the liver
f The French Revolution ended in 1789
f The French Revolution began in 1798
f The Russian Revolution began in 1789
t Table salt is sodium chloride
f Table salt is potassium chloride
t Spiders have 8 legs
f Spiders have six legs
f Insects have eight legs
f The Suez Canal connects the Atlantic Ocean with the Red Sea
t The Suez Canal connects the Red Sea with the Mediterranean Sea
f Our headquarters are in Berlin
f Our headquarters are not in Hamburg
t Passwords must be changed every 90 days
f Passwords must be changed every 60 days
f Passwords need not be changed every 90 days
f Passwords must never be changed
t The free plan includes 5 gigabytes of storage
f The free plan includes 50 GB of storage
f The free plan includes unlimited storage
f Customer data is sold to third parties
t Customer data is not sold to third parties
f The support team answers within 2 hours on business days
f The support team answers within 24 days on business days
f The minimum order value is 25 euros
f The maximum order value is 20 euros
f The minimum order value is 20 dollars
f Invoices are due after 14 days
f Invoices are due before 30 days
f The device may be used under water
f The device must be used under water
f Maria Lopez is the head of the marketing department
f Peter Lopez is the head of the finance department
t The head of the finance department is Maria Lopez
f The museum is open on Mondays
f The museum is closed on Tuesdays
t On Mondays the museum is closed
f The train to Cologne departs from platform 5
f The train to Bonn departs from platform 4
f The train from Cologne departs from platform 4
f The battery lasts up to 24 hours
f The battery lasts at least 12 hours
f Children over 6 travel free of charge
f Children under 12 travel free of charge
f Adults under 6 travel free of charge
? Honey never spoils
? The canteen serves lunch from noon
? Dolphins sleep with one eye open
? The password is written on the wall
? Support is available in Spanish
? Lake Geneva is in Switzerland
? The Nobel Prize is awarded in Stockholm""".splitlines()
    )
]
