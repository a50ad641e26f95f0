"""The vocabulary of the kind `webhook`: deliveries, which tell somebody else's server what happened in a session or a batch.

A delivery is a session of this kind. Its id is the webhook's id, the same on every try; its first message delivers it, and
each later one delivers it again. Nothing here knows what is told: that is the business of the kind that announces it
(`passel.core.announcements`) and of the wire format in which it is told (`letters`).
"""

KIND = "webhook"
PREFIX = "whk"  # of delivery ids
