"""Pages of what others wrote: no word of it reaches the terminal as a command."""

from steelyard.cli.fleet_pages import clean, keys_page, tasks_page

ODD = "a\x9b2Jb\x1b[2Jc"


def test_the_other_control_characters_are_none_either():
    """0x9B is to a terminal what ESC [ is."""
    assert clean(ODD) == "a?2Jb?[2Jc"


def test_users_and_projects_move_no_cursor():
    spec = {"task_id": "t", "name": ODD, "kind": ODD, "user": ODD, "project": ODD, "priority": 0,
            "submitted_ns": 0}  # fmt: skip
    task = {"spec": spec, "state": "failed", "started_ns": 0, "ended_ns": 0, "worker_id": "w",
            "reason": ODD, "outcome": None}  # fmt: skip
    key = {"key_id": "k", "name": ODD, "role": "reader", "user": ODD, "projects": [ODD],
           "scopes": [], "created_ns": 0, "expires_ns": 0, "revoked_ns": 0}  # fmt: skip
    for page in (tasks_page([task]), keys_page([key])):
        assert page.count("a?2Jb?[2Jc") >= 3
        assert "\x9b" not in page
        assert "\x1b" not in page
