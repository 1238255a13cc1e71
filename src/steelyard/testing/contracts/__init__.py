"""Conformance kits: a plugin's author inherits one, overrides its fixture `subject`, and has tests.

    from steelyard.testing.contracts.endpoint import EndpointContract, EndpointSubject

    class TestHello(EndpointContract):
        @pytest.fixture
        def subject(self):
            return EndpointSubject(HelloEndpoint, body=b'{"text": "hi"}', text="hi")

Each kit has saboteurs in `steelyard.testing.contracts.saboteurs`: classes with one planted fault
each, which the kit must reject.
"""
