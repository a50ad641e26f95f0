"""The only place that sees everything: settings in, server and worker processes out."""
