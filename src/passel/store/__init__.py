"""All SQL of Passel: one statement a file in `queries/`, rows in, frozen dataclasses out.

Lock order, for every transaction that writes (a test walks it):

    agent -> session (by id) -> item -> message -> lane (by id) -> batch (by id)

Admission runs under its lane's lock and takes items of other sessions with SKIP LOCKED, so it waits for nobody.
"""
