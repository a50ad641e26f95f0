"""How API processes reach the worker that a browser runs on."""

PROOF = "X-Passel-Proof"
"""The header that proves who calls: it knows the installation's secret, with which `PROOF_TEXT` is signed."""
PROOF_TEXT = "reach browsers"
