"""The limits that use cases check, each of them a setting (decision 9 of the `dari` contract). What belongs to the wire
format itself, such as the length of a name, is in a face's request models."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    body_bytes: int = 4 * MIB
    batch_body_bytes: int = 64 * MIB
    json_items: int = 10_000
    stream_items: int = 1_000_000
    item_bytes: int = 16 * MIB
    stream_bytes: int = 8192 * MIB
    bundle_bytes: int = 100 * MIB
    unpacked_bytes: int = 500 * MIB
    bundle_entries: int = 20_000
    file_bytes: int = 100 * MIB
    secrets: int = 100
    secret_chars: int = 64 * 1024
    metadata_entries: int = 50
    metadata_key_chars: int = 64
    metadata_value_chars: int = 512
    prompt_bytes: int = 256 * 1024
    waiting_messages: int = 100
