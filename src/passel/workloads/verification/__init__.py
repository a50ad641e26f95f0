"""The methods of verification, one room a method. None knows HTTP, SQL or the engine."""
