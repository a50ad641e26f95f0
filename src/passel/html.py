"""Web pages as text."""

MISSING = "reading HTML needs trafilatura: pip install 'passel[verify]'"


def html_text(data: bytes | str) -> str:
    """What people read of a page, without what stands around it; empty where there is nothing. Raises `ImportError`, with what to
    install, where that is not installed."""
    try:
        import trafilatura
    except ImportError as error:
        raise ImportError(MISSING) from error
    return trafilatura.extract(data, include_comments=False, include_tables=True) or ""
