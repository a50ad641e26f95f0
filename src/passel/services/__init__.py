"""Use cases: one public function is one transaction. What faces, the dashboard and the command line call.

The modules of this package know no kind of work; `agents` is the room of the kind `agent`.
"""
