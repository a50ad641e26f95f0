"""The vocabulary of verifications: claims, methods, what they find, and what follows from it. Pure.

Rules marked D are numbered decisions of the `check` contract.
"""

KIND = "verification"

SEMANTIC, REASONING, TOOL, BIPRM, ENSEMBLE, ENTROPY, FORMAL = "semantic", "reasoning", "tool", "biprm", "ensemble", "entropy", "formal"
SERVED = (FORMAL,)
"""The methods that this version has."""
METHODS = (SEMANTIC, REASONING, TOOL, BIPRM, ENSEMBLE, ENTROPY, FORMAL)
