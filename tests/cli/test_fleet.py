"""`steelyard fleet` as a person types it, against a service of its own."""

import io
import json
import re

import pytest
from fleet_service import FleetService, wait_for

from steelyard.cli.fleet_pages import clean, task_page, tasks_page, why_page
from steelyard.cli.fleet_reach import json_values
from steelyard.cli.fleet_serve import Local, engines_of
from steelyard.cli.fleet_submit import Ways, payload_of, read_tasks
from steelyard.cli.main import run
from steelyard.domain.fleet.access import Permission
from steelyard.kernel.errors import FileError, UsageError

ID = re.compile(r"t-[0-9a-f]{16}")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(tmp_path_factory.mktemp("fleet"), "--slots", "4", "--drain-s", "0")
    yield service
    service.stop()


def submitted(service, *words):
    done = service.run("submit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_first_session(service, tmp_path):
    # `--dir` of the helper comes last, so words behind `--` are handed over in a file here.
    (tmp_path / "t.yaml").write_text(
        "defaults: {project: demo, labels: {a: x}}\n"
        "tasks:\n"
        "  - {kind: command, name: hello, payload: {argv: [echo, hello]}}\n"
        "  - {kind: command, name: fails, payload: {shell: 'echo no >&2; exit 3'}}\n"
    )
    done = service.run("submit", "--file", str(tmp_path / "t.yaml"), "--wait")
    assert done.returncode == 1  # one did not complete
    hello, fails = ID.findall(done.stdout)
    assert f"{hello} hello completed" in done.stderr
    assert f"{fails} fails failed exit code 3: no" in done.stderr
    assert service.run("logs", hello).stdout == "hello\n"
    assert service.run("logs", "--follow", "--stderr", fails).stdout == "no\n"
    page = service.run("list", "--project", "demo", "--state", "failed").stdout
    assert fails in page
    assert hello not in page
    assert "\x1b" not in page  # no terminal, no colours
    shown = service.run("show", hello).stdout
    assert "state      completed" in shown
    assert '"stdout": "hello\\n"' in shown
    document = json.loads(service.run("show", fails, "--json").stdout)
    assert (document["state"], len(document["attempts"])) == ("failed", 1)


def test_a_list_has_all_of_a_task_but_what_is_large(service):
    """No empty payload and no empty result stand for those that are left out."""
    (task,) = submitted(
        service, "--wait", "--project", "listed", "--kind", "callable", "math:sqrt", "4"
    )
    with service.client() as client:
        ((whole,), _) = client.tasks(project="listed", whole=True)
        assert whole == client.task(task)
    assert (whole["spec"].pop("payload")["args"], whole["outcome"].pop("result")) == ([4], 2.0)
    assert json.loads(service.run("list", "--project", "listed", "--json").stdout) == {
        "items": [whole], "next": "",
    }  # fmt: skip


def test_why_names_what_is_lacking_and_who_decided(service):
    (task,) = submitted(service, "--gpus", "3", "--kind", "callable", "math:sqrt", "4")
    assert "GPU" in service.run("why", task).stdout
    document = json.loads(service.run("why", task, "--json").stdout)
    assert document["state"] == "pending"
    done = service.run("cancel", task, "--reason", "no such machine")
    assert (done.returncode, done.stdout) == (0, f"Cancelled {task}\n")
    assert "no such machine" in service.run("why", task).stdout


def test_what_a_task_did_not_write_is_said(service):
    (task,) = submitted(service, "--wait", "--kind", "callable", "math:sqrt", "4")
    done = service.run("logs", task)
    assert (done.stdout, "--stderr" in done.stderr) == ("", True)
    done = service.run("logs", task, "--attempt", "7")
    assert (done.returncode, "expected at most 1" in done.stderr) == (2, True)
    done = service.run("events", "--task", "nobody")
    assert (done.returncode, "no such task" in done.stderr) == (2, True)


def test_one_that_can_not_be_cancelled_keeps_no_other_from_it(service):
    (task,) = submitted(service, "--gpus", "3", "--kind", "callable", "math:sqrt", "4")
    done = service.run("cancel", "nobody", task, "--json")
    assert done.returncode == 2
    assert "no such task" in done.stderr
    assert json.loads(done.stdout) == [{"task_id": task}]


def test_a_wrong_file_is_named_with_the_field_that_is_known(service, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("- {kind: command, paylod: {argv: [a]}}\n")
    done = service.run("submit", "--file", str(path))
    assert done.returncode == 2
    assert f"{path}: tasks[0] has an unknown field; got 'paylod'" in done.stderr
    assert "Did you mean 'payload'?" in done.stderr
    path.write_text("- {kind: command, name: paint, payload: {argv: [a], colour: red}}\n")
    done = service.run("submit", "--file", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "refused: paint: " in done.stderr
    assert "unknown field; got 'colour'" in done.stderr


def test_workers_are_drained_and_taken_back(service):
    assert "local" in service.run("workers").stdout
    assert service.run("drain", "local").returncode == 0
    assert json.loads(service.run("workers", "--json").stdout)[0]["draining"]
    assert "draining" in service.run("workers").stdout
    assert service.run("drain", "local", "--undo").returncode == 0
    done = service.run("drain", "nobody")
    assert (done.returncode, "no such worker" in done.stderr) == (2, True)


def test_another_scheduler_takes_over_and_the_queue_is_replayed(service, tmp_path):
    submitted(service, "--count", "3", "--kind", "callable", "math:sqrt", "4")
    (large,) = submitted(service, "--gpus", "9", "--kind", "callable", "math:sqrt", "4")
    assert service.run("schedulers", "--use", "round_robin").returncode == 0
    active = [s["name"] for s in json.loads(service.run("schedulers", "--json").stdout)
              if s["active"]]  # fmt: skip
    assert active == ["round_robin"]
    done = service.run("schedulers", "--use", "round_robbin")
    assert done.returncode == 3
    assert "round_robin" in done.stderr
    kept = tmp_path / "queue.json"
    done = service.run("replay", "--under", "round_robin", "--under", "priority_based",
                       "--save", str(kept))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("round_robin ")
    assert "What priority_based does otherwise than round_robin:" in done.stdout
    assert "on 1 worker, under 2 schedulers" in done.stderr
    assert "math:sqrt" not in kept.read_text()  # what tasks were given stays at home
    jobs = json.loads(kept.read_text())["jobs"]
    unserved = sum(job["spec"]["requirements"]["gpus"] > 0 for job in jobs)
    assert unserved >= 1
    assert service.run("cancel", large).returncode == 0
    again = service.run("replay", "--under", "fair_share", "--file", str(kept), "--json")
    (one,) = json.loads(again.stdout)
    assert (one["scheduler"], one["unserved"]) == ("fair_share", unserved)


def test_keys_are_shown_once(service):
    done = service.run("keys", "create", "ann", "--role", "reader", "--project", "p")
    token = done.stdout.strip()
    assert token.startswith("sty_")
    listed = service.run("keys", "list")
    key_id = token.split("_")[1]
    assert key_id in listed.stdout
    assert token not in listed.stdout
    environ = {"STEELYARD_FLEET_KEY": token}
    assert service.run("list", "--project", "p", environ=environ).returncode == 0
    done = service.run("drain", "local", environ=environ)
    assert (done.returncode, "does not allow workers:drain" in done.stderr) == (2, True)
    assert service.run("keys", "revoke", key_id).returncode == 0
    assert "revoked" in service.run("list", environ=environ).stderr
    assert service.run("keys", "revoke", "a" * 12).returncode == 2


def test_a_lost_key_is_replaced_and_an_owner_without_one_is_told(tmp_path):
    service = FleetService(tmp_path, "--no-local")
    first = service.key
    wait_for(lambda: f"shown this once: {first}" in service.log())
    assert service.stop() == 0
    (service.directory / "client.json").unlink()
    service = FleetService(tmp_path, "--no-local")
    assert service.key == ""
    wait_for(lambda: "--new-admin-key" in service.log())
    assert service.run("list").returncode == 2
    assert service.stop() == 0
    service = FleetService(tmp_path, "--no-local", "--new-admin-key")
    assert service.key not in ("", first)
    assert service.run("list").returncode == 0
    assert service.run("list", "--key", first).returncode == 0
    assert service.stop() == 0


def test_what_is_not_there_is_said_with_what_to_do(tmp_path, capsys):
    for words in (["list"], ["workers"], ["submit", "--", "true"], ["keys", "list"]):
        flags = ["--dir", str(tmp_path)]
        with pytest.raises(UsageError, match="No fleet is known here.*fleet serve"):
            run(["fleet", *words[:1], *(words[1:2] if words[0] == "keys" else []), *flags,
                 *(words[1:] if words[0] == "submit" else [])])  # fmt: skip
    assert capsys.readouterr().out == ""


def test_no_service_at_a_url_is_exit_code_4(service):
    done = service.run("list", "--url", "http://127.0.0.1:9")
    assert done.returncode == 4
    assert "No fleet answers at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_number_is_told_by_its_flag(service):
    done = service.run("list", "--limit", "0")
    assert done.returncode == 2
    assert "\n  limit: " in done.stderr


def test_a_task_that_is_not_there_is_exit_code_2(service):
    done = service.run("show", "t-none")
    assert (done.returncode, "no such task" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("kind", "words", "ways", "payload"),
    [
        ("command", ["a", "-b"], Ways(env=("X=1",)), {"argv": ["a", "-b"], "env": {"X": "1"}}),
        ("callable", ["m:f", "0.5", "x", "n=3", 's="q"', "u=http://h/?a=b"], Ways(cwd="/c"),
         {"function": "m:f", "args": [0.5, "x"], "kwargs": {"n": 3, "s": "q",
          "u": "http://h/?a=b"}, "path": ["/c"]}),
        ("pytest", ["t", "u", "-k", "x"], Ways(cwd="/c", shards=3, reruns=1),
         {"paths": ["t", "u"], "args": ["-k", "x"], "rootdir": "/c", "shards": 3, "reruns": 1}),
        ("benchmark", ["-m", "x"], Ways(), {"flags": ["-m", "x"]}),
    ],
)  # fmt: skip
def test_words_become_what_a_kind_takes(kind, words, ways, payload):
    assert payload_of(kind, words, ways) == payload


def test_a_plan_is_sent_along(tmp_path):
    (tmp_path / "plan.yaml").write_text("endpoint: {url: http://h}\n")
    ways = Ways(plan=str(tmp_path / "plan.yaml"))
    assert payload_of("benchmark", [], ways) == {"plan": {"endpoint": {"url": "http://h"}}}
    for content in ("[1]", "a: ["):
        (tmp_path / "plan.yaml").write_text(content)
        with pytest.raises(UsageError, match=r"plan"):
            payload_of("benchmark", [], ways)


def test_defaults_are_each_tasks_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(
        "defaults: {kind: command, project: p, requirements: {gpus: 1, cpu_cores: 2}}\n"
        "tasks: [{name: a}, {name: b, project: q, requirements: {gpus: 0}}]\n"
    )
    first, second = read_tasks(path)
    assert first == {"kind": "command", "project": "p", "name": "a",
                     "requirements": {"gpus": 1, "cpu_cores": 2}}  # fmt: skip
    assert second["project"] == "q"
    assert second["requirements"] == {"gpus": 0, "cpu_cores": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "has no tasks"), ("a: 1", "unknown word"), ("[]", "no tasks"), ("[1]", "no tasks"),
     ("a: [", "is no YAML"), ("tasks: {a: 1}", "no tasks")],
)  # fmt: skip
def test_a_file_without_tasks_says_what_it_should_hold(tmp_path, text, says):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_tasks(tmp_path / "t.yaml")
    with pytest.raises(FileError, match="Can't read"):
        read_tasks(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "words", [["submit"], ["submit", "--file", "x", "--", "true"], ["cancel"],
              ["schedulers", "--option", "a=1"], ["submit", "--count", "0", "--", "true"],
              ["submit", "--shards", "2", "--", "true"], ["submit", "--plan", "x", "--", "true"],
              ["list", "--state", "done"], ["keys", "create", "a", "--scope", "tasks:fly"],
              ["keys", "create", "a", "--days", "-1"]]
)  # fmt: skip
def test_words_that_say_nothing_are_refused_before_anybody_is_asked(words):
    with pytest.raises(UsageError):
        run(["fleet", *words])


def test_misspelt_commands_and_flags_of_the_task_are_told_what_to_do():
    with pytest.raises(UsageError, match=r"Unknown command 'lst'.*Did you mean 'list'\?"):
        run(["fleet", "lst"])
    with pytest.raises(UsageError, match="Unknown flag --hello. Flags .* stand behind `--`"):
        run(["fleet", "submit", "echo", "--hello"])


def test_a_file_of_tasks_may_be_the_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("- {kind: command}\n"))
    with pytest.raises(UsageError, match="No fleet is known here"):  # it was read until then
        run(["fleet", "submit", "--dir", str(tmp_path), "--file", "-"])


def test_a_key_may_be_narrowed_to_each_permission_there_is(capsys):
    assert run(["fleet", "keys", "create", "--help"]) == 0
    page = " ".join(re.findall(r"[\w:]+", capsys.readouterr().out))
    assert all(each in page for each in Permission)
    with pytest.raises(UsageError, match=r"no such permission.*Did you mean 'tasks:read'\?"):
        run(["fleet", "keys", "create", "ann", "--scope", "task:read"])


def test_debug_behind_the_dashes_belongs_to_the_command(service, monkeypatch, capsys):
    monkeypatch.setenv("STEELYARD_FLEET_URL", service.url)
    monkeypatch.setenv("STEELYARD_FLEET_KEY", service.key)
    from steelyard.cli.main import main

    with pytest.raises(SystemExit) as end:
        main(["fleet", "submit", "--wait", "--json", "--", "echo", "--debug", "--json"])
    assert end.value.code == 0
    (task,) = json.loads(capsys.readouterr().out)
    assert task["outcome"]["result"]["stdout"] == "--debug --json\n"


@pytest.mark.parametrize("flags", [["--workers", "0"], ["--slots", "-1"], ["--drain-s", "-1"]])
def test_numbers_with_which_nothing_would_run_are_refused(tmp_path, flags):
    with pytest.raises(UsageError, match="takes"):
        run(["fleet", "serve", "--dir", str(tmp_path / "fleet"), "--port", "0", *flags])


def test_engines_have_their_options():
    assert engines_of(Local(), (), ()) == {"local": {"workers": 1}}
    local = Local(no_local=True)
    options = ("ray.address=h:1", "ray.slots=2")
    assert engines_of(local, ("ray",), options) == {"ray": {"address": "h:1", "slots": 2}}
    for option in ("local.a=1", "ray=1", "x"):
        with pytest.raises(UsageError):
            engines_of(local, ("ray",), (option,))


def test_values_of_options_are_json_or_texts():
    assert json_values({"a": "1", "b": "x", "c": "[1]"}) == {"a": 1, "b": "x", "c": [1]}


def test_what_a_task_says_moves_no_cursor():
    assert clean("a\x1b[2J\nb\x07", 20) == "a?[2J b?"
    assert clean("x" * 100, 10) == "xxxxxxx..."
    spec = {"task_id": "t", "name": "n", "kind": "c", "user": "", "project": "", "priority": 0,
            "submitted_ns": 0, "requirements": {}, "depends_on": [], "endpoint": "",
            "payload": {}}  # fmt: skip
    outcome = {"result": {"stdout": "\x1b[31m"}, "error": "\x1b[31mred", "exit_code": 1}
    task = {"spec": spec, "state": "failed", "reason": "\x1b]0;x", "started_ns": 0, "ended_ns": 0,
            "worker_id": "", "outcome": outcome}  # fmt: skip
    assert "\x1b" not in task_page(task, []) + tasks_page([task])
    assert "Submit one" in tasks_page([])
    decision = {"at_ns": 0, "scheduler": "s", "worker_id": "w", "taken": True,
                "reasons": ["\x1b[2J" + "x" * 200, "It was free."]}  # fmt: skip
    page = why_page(task, ["It failed."], [decision] * 7)
    assert "\x1b" not in page
    assert "x" * 200 in page  # why is no place to cut reasons short
    assert page.count("It was free.") == 5
    assert "2 earlier decisions" in page


def test_a_long_result_is_cut_with_a_word_and_a_missed_deadline_is_told():
    second = 1_000_000_000
    spec = {"task_id": "t", "name": "", "kind": "c", "user": "", "project": "", "priority": 0,
            "submitted_ns": 0, "requirements": {}, "depends_on": [], "endpoint": "",
            "payload": {}, "deadline_ns": 10 * second}  # fmt: skip
    outcome = {"result": list(range(100)), "error": "", "exit_code": -15}
    task = {"spec": spec, "state": "failed", "reason": "", "started_ns": second,
            "ended_ns": 12 * second, "worker_id": "", "outcome": outcome}  # fmt: skip
    page = task_page(task, [])
    assert "... 42 more lines: --json shows all" in page
    assert "missed by 2 s" in page
    assert "ended by SIGTERM" in page


def test_help_teaches(capsys):
    assert run(["fleet", "--help"]) == 0
    page = capsys.readouterr().out
    assert "steelyard fleet submit -- echo hello" in page
    assert all(f"{name} " in page for name in ("serve", "submit", "list", "why", "keys", "replay"))
    assert run(["fleet", "submit", "--help"]) == 0
    assert "--kind pytest --shards 4 -- tests/unit" in capsys.readouterr().out


def test_what_is_kept_no_longer_can_be_removed_by_hand(service):
    """Nothing is that old here; who may not is told which permission that takes."""
    page = service.run("gc", "--dry-run").stdout
    assert page.startswith("Would remove the outputs of 0 tasks, 0 bytes\n")
    found = json.loads(service.run("gc", "--json").stdout)
    assert (found["done"], found["dry_run"], found["tasks"], found["left"]) == (True, False, 0, 0)
    refused = service.run("gc", environ={"STEELYARD_FLEET_KEY": service.key_of("submitter")})
    assert refused.returncode == 2
    assert "fleet:tidy" in refused.stderr
