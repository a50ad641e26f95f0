"""The wire format of the Check verification API, as its record describes it (docs/compatibility/check.md)."""
