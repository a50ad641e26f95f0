"""What faces share: authentication, errors as data, bodies with limits, JSON answers."""
