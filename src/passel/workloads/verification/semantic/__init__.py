"""The method `semantic`: is a claim one of the facts that its organisation has loaded, or does it contradict one. No model, no
network, thousands of facts.

    claim -> embedding -> the nearest facts (`shelf`) -> each read beside the claim (`reading`, `guards`) -> energies -> finding

An embedding says what a sentence is about, not whether it is true: "Lyon is the capital of France" lies beside "Paris is the
capital of France". So nearness only chooses the facts; what the pair says is decided by guards over the words, and a fact
supports a claim only when nothing of what the claim says is left over. The confidence is a share of Boltzmann weights, in which
an empty background takes part, and never above 0.90: this method alone accepts nothing.
"""

from passel.workloads.verification.semantic.method import FactSource, Semantic

__all__ = ["FactSource", "Semantic"]
