"""All SQL of Passel: one statement a file in `queries/`, rows in, frozen dataclasses out.

Lock order, for every transaction that writes (a test walks it):

    upload -> file (by id) -> agent -> message (by id) -> session -> next message in line -> lane (by id) -> batch (by id)
    -> batch_lane -> usage (by organisation)

- A session's active message is locked before the session; a message that stands in line behind it changes only under
  the session's lock. An API call that adds a message locks the session alone.
- A file that is about to be named is held with a shared lock, so those who name it do not wait for each other; a session
  that is forked is held in the same way, and goes on meanwhile.
- Only idle sessions are deleted: their messages have ended, so they are locked before them like any other.
- A delivery's row is locked before the session that is told of its failure, and by nobody else. Rows of webhooks are written
  by API calls, and by a delivery whose receiver is gone, in transactions of their own; what announces reads them.
- Workers choose `ready` and `suspect` messages, the waker messages that are due, and admission `held` ones, all with
  SKIP LOCKED: they wait for nobody, so they may come at any place of the order.
- An organisation's facts are changed under the lock of its fact_shelf, in transactions that lock nothing else.
- Ledgers are read after the commit: the attempt protects them, no lock needs to.
"""
