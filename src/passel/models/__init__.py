"""Asking models: wire adapters, hosted providers, local models, adaptive limits, prices. Any kind may use this room;
it knows none. What hosted providers need is imported with the first call of one (`directory`): it is most of a
worker's start and memory, and many never make such a call.
"""
