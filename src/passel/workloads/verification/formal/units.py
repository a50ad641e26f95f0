"""Units with exact factors. What has more than one common meaning is not in the table but in `AMBIGUOUS`, with the reason."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """`offset`: for temperatures, in kelvin; a temperature cannot be added or multiplied."""

    name: str
    factor: Fraction
    dimension: Dimension
    offset: Fraction = Fraction(0)


DEGREES: Dimension = (("temperature", 1),)

_TABLE = """
length m 1 m metre meter metres meters
length mm 1/1000 mm millimetre millimeter millimetres millimeters
length cm 1/100 cm centimetre centimeter centimetres centimeters
length km 1000 km kilometre kilometer kilometres kilometers
length in 254/10000 inch inches
length ft 3048/10000 ft foot feet
length yd 9144/10000 yd yard yards
length mi 1609344/1000 mi mile miles
length µm 1/1000000 micrometre micrometres micrometer micrometers
length nm 1/1000000000 nm nanometre nanometres nanometer nanometers
mass kg 1 kg kilogram kilograms kilo kilos
mass g 1/1000 g gram grams gramme grammes
mass mg 1/1000000 mg milligram milligrams
mass t 1000 tonne tonnes
mass lb 45359237/100000000 lb lbs pound pounds
mass oz 45359237/1600000000 oz ounce ounces
mass st 635029318/100000000 stone
time s 1 s sec second seconds secs
time ms 1/1000 ms millisecond milliseconds
time min 60 min minute minutes mins
time h 3600 h hr hrs hour hours
time d 86400 day days
time wk 604800 week weeks
time fortnight 1209600 fortnight fortnights
data bit 1 bit bits
data byte 8 byte bytes
data KiB 8192 KiB kibibyte kibibytes
data MiB 8388608 MiB mebibyte mebibytes
data GiB 8589934592 GiB gibibyte gibibytes
volume L 1/1000 l litre litres liter liters
volume mL 1/1000000 ml millilitre millilitres milliliter milliliters
volume cL 1/100000 cl centilitre centilitres
area ha 10000 hectare hectares ha
money:$ $ 1 dollar dollars
money:$ cent 1/100 cent cents
money:€ € 1 euro euros
count dozen 12 dozen dozens
speed kph 5/18 kph
speed mph 1397/3125 mph
energy J 1 joule joules
energy kJ 1000 kJ kilojoule kilojoules
energy Wh 3600 Wh
energy kWh 3600000 kWh
"""

_DIMENSIONS: dict[str, Dimension] = {
    "volume": (("length", 3),),
    "area": (("length", 2),),
    "speed": (("length", 1), ("time", -1)),
}


def _table() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for line in _TABLE.strip().splitlines():
        kind, name, factor, *words = line.split()
        dimension = _DIMENSIONS.get(kind, ((kind, 1),)) if kind != "count" else ()
        for word in words:
            found[word] = Unit(name, Fraction(factor), dimension)
    return found


UNITS = _table()
CELSIUS = Unit("°C", Fraction(1), DEGREES, Fraction("273.15"))
FAHRENHEIT = Unit("°F", Fraction(5, 9), DEGREES, Fraction("459.67") * Fraction(5, 9))
SYMBOLS_ONLY = {"m", "s", "g", "h", "l"}  # one letter, which may as well be a variable

AMBIGUOUS = {
    word: why
    for words, why in (
        ("gallon gallons quart quarts pint pints", "a US and an imperial one"),
        ("cup cups tablespoon tablespoons teaspoon teaspoons barrel barrels", "several sizes of it"),
        ("ton tons", "a metric, a short and a long one"),
        ("kb kilobyte kilobytes mb megabyte megabytes gb gigabyte gigabytes tb terabyte terabytes", "powers of 1000 and of 1024"),
        ("calorie calories cal kcal", "several sizes of it"),
        ("year years month months decade decades century centuries", "its length is not always the same"),
        ("degree degrees", "of an angle, or of one of several scales of temperature"),
        ("knot knots league leagues nautical", "several lengths of it"),
    )
    for word in words.split()
}

# adjectives of what a measure may be compared by
ADJECTIVES = {
    "longer": ("length", "time"), "shorter": ("length", "time"), "heavier": ("mass",), "lighter": ("mass",), "taller": ("length",),
    "hotter": ("temperature",), "warmer": ("temperature",), "colder": ("temperature",), "cooler": ("temperature",),
    "wider": ("length",), "deeper": ("length",), "farther": ("length",), "further": ("length",), "faster": ("speed",), "slower": ("speed",),
    "larger": (), "bigger": (), "greater": (), "smaller": (), "less": (), "more": (), "higher": (), "lower": (), "fewer": (),
}  # fmt: skip
LESSER = {"shorter", "lighter", "colder", "cooler", "slower", "smaller", "less", "lower", "fewer"}


@cache
def power(unit: Unit, n: int) -> Unit:
    sign = {2: "²", 3: "³"}.get(n, f"^{n}")
    return Unit(f"{unit.name}{sign}", unit.factor**n, tuple((name, times * n) for name, times in unit.dimension))


@cache
def per(one: Unit, other: Unit) -> Unit:
    return Unit(f"{one.name}/{other.name}", one.factor / other.factor, combined(one.dimension, other.dimension, -1))


def combined(one: Dimension, other: Dimension, sign: int) -> Dimension:
    total = dict(one)
    for name, times in other:
        total[name] = total.get(name, 0) + sign * times
    return tuple(sorted((name, times) for name, times in total.items() if times))


def fits(adjective: str, dimension: Dimension) -> bool:
    kinds = ADJECTIVES[adjective]
    return not kinds or any(_DIMENSIONS.get(kind, ((kind, 1),)) == dimension for kind in kinds)
