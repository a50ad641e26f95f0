"""The rules of Passel as pure code: no I/O, no clock, no async.

The modules of this package know no kind of work. Each kind has a room of its own for its vocabulary (`agent`), and
`llm` is the vocabulary of asking models, which several kinds share; generic code imports neither (import-linter).
"""
