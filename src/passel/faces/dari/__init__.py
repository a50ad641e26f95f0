"""The wire format of Dari's hosted agents API, as its record describes it (docs/compatibility/dari.md)."""
