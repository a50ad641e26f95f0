"""The task as a LangGraph graph: one node, one call of the played model, one answer.

Runs inside LangGraph's own server and environment; nothing of Passel is imported. The state is two strings, the
least that the task needs.
"""

import os
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from openai import AsyncOpenAI

# Made once, so that connections are kept. A call that fails is not made again: it fails the run, and the benchmark says so.
MODEL = AsyncOpenAI(base_url=os.environ["PEER_MODEL_URL"], api_key="none", max_retries=0)


class Turn(TypedDict, total=False):
    text: str
    answer: str


async def ask(turn: Turn) -> Turn:
    messages = [{"role": "system", "content": "You are a test."}, {"role": "user", "content": turn["text"]}]
    completion = await MODEL.chat.completions.create(model="echo", messages=messages)
    return {"answer": completion.choices[0].message.content}


graph = StateGraph(Turn).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END).compile()
