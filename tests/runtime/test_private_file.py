"""Files of secrets: who else can read them, by real modes and real mounts."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from small_disk import small_disk

from steelyard.kernel.errors import UsageError
from steelyard.runtime.private_file import mounts, read_private


def as_kubelet(volume, *, version="..2026_11_22", link="..data"):
    """Lay a Secret out as the kubelet does."""
    (volume / version).mkdir()
    (volume / version / "join").write_text("secret")
    (volume / version / "join").chmod(0o644)
    (volume / link).symlink_to(version)
    (volume / "join").symlink_to(f"{link}/join")
    return volume / "join"


@contextlib.contextmanager
def read_only(*, over, mounted=None):
    if mounted is not None:
        subprocess.run(["mount", "--bind", str(over), str(mounted)], check=True)
    place = mounted or over
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield place
    finally:
        if mounted is not None:
            subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_what_others_can_read_or_change_is_refused_with_all_there_is_to_say(tmp_path, mode):
    path = tmp_path / "join"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(UsageError) as caught:
        read_private(path, "the join")
    said = str(caught.value)
    assert f"the join {path}" in said
    assert f"{mode:04o}" in said
    assert "0600" in said
    assert f"chmod 600 {path}" in said
    assert "secret" not in said


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_what_only_its_owner_can_read_is_read(tmp_path, mode):
    path = tmp_path / "join"
    path.write_text("secret")
    path.chmod(mode)
    assert read_private(path, "the join") == "secret"


def test_a_pipe_of_a_shell_is_read():
    """`--join-file <(command)`: nobody else has it."""
    read, write = os.pipe()
    os.write(write, b"secret")
    os.close(write)
    try:
        assert read_private(Path(f"/dev/fd/{read}"), "the join") == "secret"
    finally:
        os.close(read)


def test_the_layout_of_a_secret_alone_makes_none(tmp_path):
    """Anybody can make such links."""
    with pytest.raises(UsageError, match="Others can read"):
        read_private(as_kubelet(tmp_path), "the join")


@pytest.mark.needs_root
def test_a_pods_secret_is_read_whatever_its_mode(tmp_path):
    with small_disk(tmp_path / "a secret", 100) as volume:
        path = as_kubelet(volume)
        with pytest.raises(UsageError, match="Others can read"):
            read_private(path, "the join")  # still writable: it is no pod that sees it
        with read_only(over=volume):
            assert read_private(path, "the join") == "secret"


@pytest.mark.needs_root
def test_a_file_beside_a_secrets_versions_is_none_of_it(tmp_path):
    with small_disk(tmp_path / "disk", 100) as volume:
        as_kubelet(volume)
        stray, other = volume / "stray", volume / "..old"
        stray.write_text("secret")
        other.mkdir()
        (other / "join").write_text("secret")
        with read_only(over=volume):
            for path in (stray, other / "join"):
                with pytest.raises(UsageError, match="Others can read"):
                    read_private(path, "the join")


@pytest.mark.needs_root
def test_a_share_that_is_mounted_read_only_is_no_secret(tmp_path):
    """Others read it where it is not: modes count there as anywhere."""
    share, mounted = tmp_path / "share", tmp_path / "mounted"
    share.mkdir()
    mounted.mkdir()
    (share / "join").write_text("secret")
    (share / "join").chmod(0o644)
    with (
        small_disk(tmp_path / "may this user mount", 100),
        read_only(over=share, mounted=mounted),
        pytest.raises(UsageError, match="mode 0644"),
    ):
        read_private(mounted / "join", "the join")


def test_places_of_mounts_are_read_with_spaces_in_them():
    line = (
        rb"36 35 98:0 /a /run/a\040secret\134x ro,noatime master:1 - tmpfs tmpfs rw,errors=continue"
    )
    ((number, (place, options, kind)),) = mounts([line])
    assert (number, str(place), kind) == ("36", "/run/a secret\\x", "tmpfs")
    assert options == {"ro", "noatime"}
