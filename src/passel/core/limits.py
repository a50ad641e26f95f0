"""The limits that use cases check, each but `stream_bytes` a setting (decision 9 of the `dari` contract). What belongs
to the wire format itself, such as the length of a name, is in a face's request models."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch_body_bytes` and `json_items` are of a batch sent as JSON, `stream_bytes` and `stream_items` of one sent as
    NDJSON, `item_bytes` of an item of either; `body_bytes` is of every other JSON body. `bundle_bytes` counts an
    archive as it is packed, `unpacked_bytes` what comes out of it. Secrets and metadata are a session's, and
    `waiting_messages` stand behind its active one. A batch of verifications is kept for `result_days`, an uploaded
    file of claims of at most `upload_bytes` for `upload_hours`. An organisation may have so many `facts`, which workers hold
    in memory. It makes so many `browsers_a_minute`, 0 is without end; those of batches count where `batch_browsers_count`."""

    body_bytes: int = 4 * MIB
    batch_body_bytes: int = 64 * MIB
    json_items: int = 10_000
    stream_items: int = 1_000_000
    batch_browsers: int = 1000
    browser_extension_bytes: int = 50 * MIB
    browsers_a_minute: int = 0
    batch_browsers_count: bool = False
    browser_file_bytes: int = 1024 * MIB
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
    result_days: float = 90
    facts: int = 100_000
    upload_bytes: int = 100 * MIB
    upload_hours: float = 24
