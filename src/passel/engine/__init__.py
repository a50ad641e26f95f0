"""What runs work: claims, attempts and their fences, liveness, admission's feeder, timers.

A message that is `ready` is its own job. How it gets from there to its end:

    ready --(claim: attempt + 1)--> workload: plan, intent, act, outcome --> ended, or put off, or waits for outside
                                       |                                |
                                       '-- lease lost: write nothing <--'

Nobody else is asked who may do it: the claim's row says so, and every write of the attempt names it. A worker that is
not seen any more loses its messages (`liveness`); what may have killed it runs again apart from others (`quarantine`).
Nothing here knows a kind of work but by its name.
"""
