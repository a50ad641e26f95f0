"""Web tasks: a model that drives a browser session.

part.py      begins and ends the tasks of a session
loop.py      look -> ask the model -> do what it says -> look again
asking.py    one answer of the model: the intent before, what it cost after, another try where that makes sense
hands.py     what a model is told of the pages, and what it can do there
actions.py   the tools that it is offered
secrets.py   values that it may have typed and never sees
"""
