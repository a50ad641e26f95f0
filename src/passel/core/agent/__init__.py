"""The vocabulary of the kind `agent`: its events, what a ledger of them says, its planner and its manifest."""
