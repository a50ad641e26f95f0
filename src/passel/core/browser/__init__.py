"""The vocabulary of browser sessions: what is asked of one, what its ledger says, what a client may do to it. Pure."""

KIND = "browser"
PREFIX = "br"
