"""The vocabulary of asking models: options, the events of calls, and when a failed call is made again."""
