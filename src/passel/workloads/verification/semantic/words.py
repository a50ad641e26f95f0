"""Words that the guards know. Small on purpose: a word that is not known makes the guards doubt, never decide."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION = _set(
    """a an the and of in on at to for from by with as is are was were be been being am has have had do does did that
    there which who whom whose than into over under near about around approximately roughly circa ca also so called
    named known that's there's"""
)
"""Words that carry roles and tense; what they say is read by `governor`, if at all."""

PREPOSITIONS = _set(
    """of in on at to for from by with as into over under near than against before after between through
"""
)

NEGATIONS = _set(
    """not no never none neither nor without cannot nobody nothing nowhere false untrue incorrect wrong
"""
)

QUALIFIERS = _set(
    """all every each any some most many few several only always often usually sometimes rarely seldom hardly barely
    almost nearly may might could can should would will must if unless until except former formerly once previously
    future partly mostly mainly possibly perhaps probably likely allegedly reportedly supposedly believed thought said
    claimed rumoured rumored alleged supposed fake fictional fictitious hypothetical other another more less least
    both either half quarter double twice unlike minus plus ex non pseudo quasi semi least up at-least maximum minimum
    longer again still yet already first-ever"""
)
"""Words that change whether a sentence is true: where the claim and the fact have different ones, nothing follows."""

BOUNDS = ("more than", "less than", "at least", "at most", "over", "under", "above", "below", "fewer than", "up to", "between")
"""Before a number they make it a limit, which is another statement than the number."""

APPROXIMATE = _set("about around approximately roughly circa ca almost nearly some")

SYMMETRIC = _set(
    """border borders bordering neighbour neighbours neighbor neighbors married marry adjacent equal equals same sibling
    siblings twin twins differ differs different between meets meet"""
)

ONCE = _set(
    """born died dies founded established created invented discovered written wrote published painted composed built
    completed opened signed adopted independent independence began begins started ended ends launched elected crowned
    assassinated landed happened occurred fell sank erupted"""
)
"""What happens once: another year or day contradicts."""

MAKING = _set(
    """wrote written writes invented discovered painted composed founded directed designed created built developed
    formulated"""
)
"""What has one maker, who may have made other things."""

BIRTH = _set("born died dies buried")
"""What has one place."""

_ANTONYMS = """larger smaller; largest smallest; large small; bigger smaller; biggest smallest; big small; higher lower; highest lowest;
high low; longer shorter; longest shortest; long short; taller shorter; tallest shortest; tall short; older younger; oldest youngest;
old young; old new; older newer; oldest newest; hotter colder; hottest coldest; hot cold; warmer cooler; warm cool; heavier lighter;
heaviest lightest; heavy light; faster slower; fastest slowest; fast slow; deeper shallower; deepest shallowest; deep shallow;
wider narrower; widest narrowest; wide narrow; closest farthest; closer farther; nearest farthest; brighter darker; brightest darkest;
richer poorer; richest poorest; rich poor; better worse; best worst; more fewer; more less; most least; first last; earlier later;
earliest latest; before after; above below; north south; northern southern; east west; eastern western; left right; inside outside;
increase decrease; increased decreased; increases decreases; rise fall; rises falls; rose fell; won lost; wins loses; win lose;
true false; alive dead; hard soft; hardest softest; wet dry; full empty; open closed; male female; legal illegal; possible impossible;
even odd; positive negative; solid liquid; solid gas; liquid gas; acid base; safe dangerous; safe unsafe; healthy unhealthy;
allowed forbidden; accept reject; accepted rejected; buy sell; bought sold; begins ends; began ended; start end; day night;
summer winter; domestic foreign; public private; major minor; ancient modern; smooth rough; strong weak; stronger weaker;
strongest weakest; common rare; visible invisible; known unknown; stable unstable; dependent independent; magnetic nonmagnetic;
metal nonmetal; vertebrate invertebrate; mortal immortal; toxic nontoxic; renewable nonrenewable; conductor insulator"""

ANTONYMS = frozenset(frozenset(pair.split()) for pair in _ANTONYMS.replace("\n", " ").split(";"))

SUPERLATIVES = _set("most least first last only best worst")

# before a name they make it another one: Guinea and Equatorial Guinea, York and New York
OTHER_NAME = _set(
    """north south east west northern southern eastern western central new upper lower equatorial papua saudi great
    greater inner outer san santa saint st el la le los las republic"""
)

PARTICLES = _set("da de do dos del della di du von van der den bin ibn al y")
"""Between two words of a name they belong to it: Leonardo da Vinci."""

REFERENCES = _set("it this these those he she they we you i me him them his her its their our your my")
"""Who or what they mean stands in another sentence."""

VERBS_OF_BEING = _set("is was are were has had")

FORMS = {"written": "wrote", "write": "wrote", "drawn": "drew", "draw": "drew", "begun": "began", "begin": "began", "made": "make"}
"""Forms of one verb that are spelled otherwise, after `stem`."""

NO_SUPERLATIVE = _set(
    """forest rainforest interest request harvest honest modest protest contest guest chest quest conquest invest digest suggest
    arrest priest southwest northwest midwest manifest"""
)
"""Words in -est that are none."""
