"""The vocabulary of verifications: claims, methods, what they find, and what follows from it. Pure.

Rules marked D are numbered decisions of the `check` contract.
"""

KIND = "verification"

SEMANTIC, REASONING, TOOL, BIPRM, ENSEMBLE, ENTROPY, FORMAL = "semantic", "reasoning", "tool", "biprm", "ensemble", "entropy", "formal"
METHODS = (SEMANTIC, REASONING, TOOL, BIPRM, ENSEMBLE, ENTROPY, FORMAL)
ASKING = (REASONING, BIPRM, ENSEMBLE, ENTROPY)
"""Those that can do nothing without a model. Others do more with one."""
