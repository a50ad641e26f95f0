"""Use cases: one public function is one transaction. Faces, the dashboard and the CLI call these."""
