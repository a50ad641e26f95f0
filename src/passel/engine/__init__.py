"""What runs work: the queue, the attempts and their fences, admission's feeder, the reconciler.

How a message gets from its row to its end:

    ready --(PgQueuer delivers a job)--> begin: fence + 1 --> workload: intent, call, outcome --> ended
                                           |                                 |
                                           '-- lease lost: write nothing <---'

PgQueuer only delivers. Its heartbeat decides how soon another worker tries; the fence decides who may write.
"""
