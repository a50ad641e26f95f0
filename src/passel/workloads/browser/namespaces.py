"""User namespaces, which Chromium's sandbox is made of, as settings of the kernel have them."""

from pathlib import Path

_SHUT = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""Files below /proc/sys, the value with which they shut user namespaces, and what opens these."""


def what_opens(settings: Path = Path("/proc/sys")) -> str | None:
    """What opens user namespaces here, where a setting of the kernel shuts them. Reading that needs no rights."""
    for name, shut, mend in _SHUT:
        try:
            if (settings / name).read_text().strip() == shut:
                return mend
        except OSError:
            continue  # this kernel has no such setting
    return None
