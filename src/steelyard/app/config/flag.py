"""What a field of the configuration is called on the command line and in the environment."""

from dataclasses import dataclass

ENV_PREFIX = "STEELYARD_"


class Groups:
    """The headings of `--help`, in their order."""

    ENDPOINT = "Endpoint"
    INPUT = "Input"
    FIXED_SCHEDULE = "Fixed Schedule"
    GOODPUT = "Goodput"
    OUTPUT = "Output"
    TRACK = "Tracking"
    HTTP_TRACE = "HTTP Trace"
    TOKENIZER = "Tokenizer"
    LOAD_GENERATOR = "Load Generator"
    WARMUP = "Warmup"
    USER_CENTRIC = "User-Centric Rate"
    REQUEST_CANCELLATION = "Request Cancellation"
    CONVERSATION_INPUT = "Conversation Input"
    ISL = "Input Sequence Length (ISL)"
    OSL = "Output Sequence Length (OSL)"
    PROMPT = "Prompt"
    PREFIX_PROMPT = "Prefix Prompt"
    RANKINGS = "Rankings"
    SYNTHESIS = "Synthesis"
    AUDIO_INPUT = "Audio Input"
    IMAGE_INPUT = "Image Input"
    VIDEO_INPUT = "Video Input"
    SERVICE = "Service"
    SERVER_METRICS = "Server Metrics"
    GPU_TELEMETRY = "GPU Telemetry"
    UI = "UI"
    WORKERS = "Workers"
    KUBERNETES = "Kubernetes"
    ZMQ_COMMUNICATION = "ZMQ Communication"
    ACCURACY = "Accuracy"
    MULTI_RUN = "Multi-Run"
    PLUGINS = "Plugins"


GROUP_ORDER = tuple(
    value for name, value in vars(Groups).items() if name.isupper() and isinstance(value, str)
)


@dataclass(frozen=True, slots=True)
class Flag:
    """The spellings of one field; put into its `Annotated` type.

    Attributes:
        names: flags, the one that also names the environment variable first.
        group: heading in `--help`.
        warmup: the flags of its twin in the `warmup` section.
        unit: of the number, for the reference pages.
        metavar: stands for the value in `--help`, where its type does not say it.
        env: its environment variable, where that is not made from the first name.
    """

    names: tuple[str, ...]
    group: str
    warmup: tuple[str, ...] = ()
    unit: str = ""
    metavar: str = ""
    env: str = ""


def attribute_name(flag: str) -> str:
    """Return `request_count` for `--request-count`."""
    return flag.lstrip("-").replace("-", "_")


def env_name(flag: str) -> str:
    """Return `STEELYARD_REQUEST_COUNT` for `--request-count`."""
    return ENV_PREFIX + attribute_name(flag).upper()
