"""The limits of what a client may send, all of them settings (decision 9 of the `dari` contract)."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    body_bytes: int = 4 * MIB
    batch_body_bytes: int = 64 * MIB
    json_items: int = 10_000
    stream_items: int = 1_000_000
    stream_line_bytes: int = MIB
    stream_bytes: int = 8192 * MIB
    bundle_bytes: int = 100 * MIB
    unpacked_bytes: int = 500 * MIB
    bundle_entries: int = 20_000
    file_bytes: int = 100 * MIB
    metadata_keys: int = 50
    metadata_key_chars: int = 64
    metadata_value_chars: int = 512
    secrets: int = 100
    secret_chars: int = 64 * 1024
    name_chars: int = 200
    key_chars: int = 128
    content_blocks: int = 100
    text_chars: int = MIB
    waiting_messages: int = 100
