"""Days of the Gregorian calendar, from 1753 on."""

import calendar
import datetime

from passel.workloads.verification.formal.limits import Unclear

FIRST_YEAR = 1753
MONTHS = {
    name.lower(): n
    for n, name in enumerate(
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"], 1
    )
}
WEEKDAYS = {name.lower(): n for n, name in enumerate(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])}
NAMES = [name.capitalize() for name in WEEKDAYS]


def year(number: int) -> int:
    if not FIRST_YEAR <= number <= 9999:
        raise Unclear(f"Dates are read from {FIRST_YEAR} to 9999.")
    return number


def day(y: int, m: int, d: int) -> int:
    try:
        return datetime.date(year(y), m, d).toordinal()
    except ValueError:
        raise Unclear("There is no such day.") from None


def parsed(iso: str) -> int:
    return day(int(iso[:4]), int(iso[5:7]), int(iso[8:10]))


def shifted(ordinal: int, count: int, unit: str) -> int:
    if unit in ("day", "week"):
        moved = ordinal + count * (7 if unit == "week" else 1)
        if not datetime.date(FIRST_YEAR, 1, 1).toordinal() <= moved <= datetime.date.max.toordinal():
            raise Unclear(f"Dates are read from {FIRST_YEAR} to 9999.")
        return moved
    there = datetime.date.fromordinal(ordinal)
    months = there.year * 12 + there.month - 1 + count * (12 if unit == "year" else 1)
    y, m = divmod(months, 12)
    if there.day > calendar.monthrange(year(y), m + 1)[1]:
        raise Unclear("That month has no such day.")
    return day(y, m + 1, there.day)


def written(ordinal: int) -> str:
    return datetime.date.fromordinal(ordinal).isoformat()


def days_in(y: int, m: int) -> int:
    return calendar.monthrange(year(y), m)[1]
