"""The settings as text: for `--help`, and for the generated reference in the documentation."""

from passel.compose.settings import Settings, env_name


def setting_rows() -> list[tuple[str, str, str, str]]:
    """Environment variable, TOML key, default and meaning of every setting."""
    rows: list[tuple[str, str, str, str]] = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None or field.default_factory else str(field.default)
        rows.append((env_name(name), name, default, field.description or ""))
    return rows


def settings_epilog() -> str:
    lines = [f"{env}: {meaning}{f' [{default}]' if default else ''}" for env, _, default, meaning in setting_rows()]
    intro = "Settings, by environment variable or as keys of passel.toml (another file: PASSEL_CONFIG):"
    return "\n\n".join([intro, *lines])
