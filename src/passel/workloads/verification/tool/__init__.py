"""The method `tool`: evidence for a claim and against it, from documents and from the web.

    claim -> queries (for it, and for its negation) -> sources -> passages -> the stance of each, with a quotation -> votes

After SAFE (arXiv 2403.18802) and FIRE (arXiv 2411.00784), and retrieval for a claim and its negation (arXiv 2602.18693). Section
11.3 of the `check` contract. What is found is data: it is read, never followed.
"""

from passel.workloads.verification.tool.method import Tool
from passel.workloads.verification.tool.sources import Corpus, Source

__all__ = ["Corpus", "Source", "Tool"]
