"""What a key for some projects, or with some permissions, can't get by the routes it may use."""

import pytest
from fleet_service import FleetService

from steelyard.runtime.fleet.service_http import ServiceRefusedError

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(tmp_path_factory.mktemp("service"), "--no-local", "--rate", "10000")
    yield service
    service.stop()


@pytest.mark.parametrize(
    ("narrowed", "wanted"),
    [
        ({"projects": ["a"]}, {"role": "admin"}),
        ({"projects": ["a"]}, {"role": "reader"}),
        ({"projects": ["a"]}, {"role": "reader", "projects": ["a", "b"]}),
        ({"scopes": ["keys:manage"]}, {"role": "admin"}),
        ({"scopes": ["keys:manage"]}, {"role": "submitter"}),
    ],
)
def test_a_narrowed_admin_makes_no_key_that_may_more_than_itself(service, narrowed, wanted):
    with (
        service.client(service.key_of("admin", "narrow", **narrowed)) as narrow,
        pytest.raises(ServiceRefusedError, match="may more than itself") as caught,
    ):
        narrow.create_key("wide", **wanted)
    assert caught.value.status == 403


def test_a_narrowed_admin_makes_keys_of_its_own_sort(service):
    key = service.key_of("admin", "narrow", projects=["a", "b"])
    with service.client(key) as narrow:
        made = narrow.create_key("reader", "reader", projects=["b"])
        assert made["key"]["projects"] == ["b"]
    key = service.key_of("admin", "scoped", scopes=["keys:manage", "tasks:read"])
    with service.client(key) as scoped:
        assert scoped.create_key("looks", "reader", scopes=["tasks:read"])["token"]


def test_a_key_that_ends_makes_none_that_outlives_it(service):
    with service.client() as client:
        made = client.create_key("soon", "admin", days=10)
    end_ns = made["key"]["expires_ns"]
    with service.client(made["token"]) as soon:
        for more in ({}, {"days": 10.1}):
            with pytest.raises(ServiceRefusedError, match=r"outlives it.*at most 9\.99") as caught:
                soon.create_key("later", "reader", **more)
            assert caught.value.status == 403
        assert 0 < soon.create_key("sooner", "admin", days=9.99)["key"]["expires_ns"] < end_ns


def test_keys_of_other_projects_are_none_to_an_admin_of_some(service):
    with service.client() as client:
        other = client.create_key("other", "reader", projects=["b"])["key"]["key_id"]
        whole = client.create_key("whole", "reader")["key"]["key_id"]
        own = client.create_key("own", "reader", projects=["a"])["key"]["key_id"]
        with service.client(service.key_of("admin", "narrow", projects=["a"])) as narrow:
            seen = ids_of(narrow.keys())
            assert own in seen
            assert not seen & {other, whole}
            for key_id in (other, whole):
                with pytest.raises(ServiceRefusedError, match="no such key") as caught:
                    narrow.revoke_key(key_id)
                assert caught.value.status == 404
            assert narrow.revoke_key(own)["revoked_ns"]
        revoked = ids_of(filter(lambda key: key["revoked_ns"], client.keys()))
        assert not revoked & {other, whole}


def test_options_of_the_scheduler_name_no_others_to_a_key_for_some_projects(service):
    with service.client() as client:
        client.use_scheduler("fair_share", **WEIGHTS)
        assert options_of(client)
        with service.client(service.key_of("reader", "ann", projects=["open"])) as ann:
            assert options_of(ann) == {}
            assert [one["name"] for one in ann.schedulers() if one["active"]] == ["fair_share"]


def ids_of(keys):
    return {key["key_id"] for key in keys}


def options_of(client):
    (found,) = [one["options"] for one in client.schedulers() if one["active"]]
    return found


WEIGHTS = {"project_weights": {"secret": 2.0}}
