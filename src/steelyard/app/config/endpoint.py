"""Section `endpoint`: which interface is spoken, where, and what is added to each request."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower, parse_extra_inputs, parse_headers, split_list
from steelyard.app.config.section import OptionalSeconds, Seconds, Section

API_KEY_ENV = "STEELYARD_API_KEY"
"""Where `--api-key` puts the key: it is in no plan, no artifact and no process title."""


class TemplateConfig(Section):
    """The request body of the endpoint `template`, and where answers have their text."""

    body: Annotated[
        str | None,
        Field(
            description="A Jinja template of a JSON object, or the path of one; as a flag, "
            "`--extra-inputs payload_template:PATH`."
        ),
    ] = None
    response_field: Annotated[
        str | None,
        Field(
            description="JMESPath of the answer's text, detected without it; for the endpoints "
            "template and raw. As a flag, `--extra-inputs response_field:QUERY`."
        ),
    ] = None


class EndpointConfig(Section):
    """The server under test; without `urls` the embedded simulated server is measured."""

    type: Annotated[
        str,
        BeforeValidator(lower),
        Flag(("--endpoint-type",), Groups.ENDPOINT, metavar="NAME"),
        Field(description="Interface that is spoken: the name of an endpoint plugin."),
    ] = "chat"
    urls: Annotated[
        tuple[str, ...],
        BeforeValidator(split_list),
        Flag(("--url", "-u"), Groups.ENDPOINT, metavar="URL"),
        Field(
            description="Base URLs of the servers, http, https or unix:/PATH; several share "
            "the load. Without one, the embedded simulated server is measured."
        ),
    ] = ()
    path: Annotated[
        str,
        Flag(("--endpoint", "--custom-endpoint"), Groups.ENDPOINT, metavar="PATH"),
        Field(description="Path that replaces the endpoint's own, such as /v2/chat."),
    ] = ""
    streaming: Annotated[
        bool,
        Flag(("--streaming",), Groups.ENDPOINT),
        Field(description="Ask for a stream of events; needed for TTFT and ITL."),
    ] = False
    url_strategy: Annotated[
        Literal["round_robin", "random", "least_in_flight"],
        BeforeValidator(lower),
        Flag(("--url-strategy",), Groups.ENDPOINT),
        Field(
            description="How several URLs share the load: in turn, by a draw from the seed, or "
            "each request to the server with the fewest under way, as counted by its worker."
        ),
    ] = "round_robin"
    transport: Annotated[
        str,
        Flag(("--transport", "--transport-type"), Groups.ENDPOINT, metavar="NAME"),
        Field(description="Name of the transport plugin that carries requests."),
    ] = "http1"
    request_timeout: Annotated[
        Seconds,
        Flag(("--request-timeout-seconds",), Groups.ENDPOINT, unit="s"),
        Field(description="A request that takes longer is cancelled and counted as failed."),
    ] = 21_600.0
    connect_timeout: Annotated[
        Seconds,
        Flag(("--connect-timeout-seconds",), Groups.ENDPOINT, unit="s"),
        Field(description="Bound on opening one connection."),
    ] = 10.0
    first_byte_timeout: Annotated[
        OptionalSeconds,
        Flag(("--first-byte-timeout-seconds",), Groups.ENDPOINT, unit="s"),
        Field(description="Bound on the wait for a response to begin; 0 sets none."),
    ] = 0.0
    idle_timeout: Annotated[
        OptionalSeconds,
        Flag(("--idle-timeout-seconds",), Groups.ENDPOINT, unit="s"),
        Field(description="Bound on the silence between two reads of a response; 0 sets none."),
    ] = 0.0
    connection_reuse: Annotated[
        Literal["pooled", "never", "sticky-user-sessions"],
        BeforeValidator(lower),
        Flag(("--connection-reuse-strategy",), Groups.ENDPOINT),
        Field(
            description="pooled: connections are kept and shared; never: one per request; "
            "sticky-user-sessions: one per conversation, closed when it is over."
        ),
    ] = "pooled"
    use_server_token_count: Annotated[
        bool,
        Flag(("--use-server-token-count",), Groups.ENDPOINT),
        Field(
            description="Ask the server for its usage counts and prefer them to our own tokenizer."
        ),
    ] = True
    use_legacy_max_tokens: Annotated[
        bool | None,
        Flag(("--use-legacy-max-tokens",), Groups.ENDPOINT),
        Field(
            description="Limit answers by `max_tokens`; off, by `max_completion_tokens`. Without "
            "it the endpoint decides."
        ),
    ] = None
    insecure: Annotated[
        bool,
        Flag(("--insecure",), Groups.ENDPOINT),
        Field(description="Do not check TLS certificates; the report says so."),
    ] = False
    ca_file: Annotated[
        str,
        Flag(("--ca-file",), Groups.ENDPOINT, metavar="PATH"),
        Field(
            description="PEM file of the CA certificates to believe, in place of the system's, "
            "which SSL_CERT_FILE can name too."
        ),
    ] = ""
    api_key_env: Annotated[
        str,
        Flag(("--api-key-env",), Groups.ENDPOINT, metavar="NAME"),
        Field(
            description="Name of the environment variable that holds the API key, sent as "
            "`Authorization: Bearer`. The key itself is never written anywhere."
        ),
    ] = ""
    headers: Annotated[
        dict[str, str],
        BeforeValidator(parse_headers),
        Flag(("--header", "-H"), Groups.INPUT, metavar="NAME:VALUE"),
        Field(
            description="Headers added to each request. A value `${NAME}` is read from the "
            "environment when a request is made, so that a secret is in no file.",
        ),
    ] = Field(default_factory=dict)
    extra_inputs: Annotated[
        dict[str, Any],
        BeforeValidator(parse_extra_inputs),
        Flag(("--extra-inputs",), Groups.INPUT, metavar="KEY:VALUE"),
        Field(
            description="Merged into each request body: `key:value` or `key=value` words, or a "
            "JSON object.",
        ),
    ] = Field(default_factory=dict)
    template: Annotated[
        TemplateConfig, Field(description="The user's own request body and answer.")
    ] = Field(default_factory=TemplateConfig)
    options: Annotated[
        dict[str, Any],
        Field(
            description="Options of the endpoint plugin, checked against its own schema.",
        ),
    ] = Field(default_factory=dict)
