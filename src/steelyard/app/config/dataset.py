"""Sections `input` and `tokenizer`: where prompts come from and what counts their tokens."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower
from steelyard.app.config.section import Count, NotBool, PositiveFloat, Ratio, Section, Tokens

CONVERSATION = Groups.CONVERSATION_INPUT


class TurnsConfig(Section):
    """Conversations of several turns."""

    mean: Annotated[
        float,
        NotBool,
        Flag(
            ("--conversation-turn-mean", "--session-turns-mean"),
            CONVERSATION,
            unit="turns",
        ),
        Field(ge=1, le=10_000, description="Mean number of turns of a synthetic conversation."),
    ] = 1.0
    stddev: Annotated[
        Tokens,
        Flag(
            ("--conversation-turn-stddev", "--session-turns-stddev"),
            CONVERSATION,
            unit="turns",
        ),
        Field(description="Standard deviation of a synthetic conversation's number of turns."),
    ] = 0.0
    delay_mean: Annotated[
        Ratio,
        Flag(
            ("--conversation-turn-delay-mean", "--session-turn-delay-mean"),
            CONVERSATION,
            unit="ms",
        ),
        Field(description="Mean wait between an answer and a synthetic conversation's next turn."),
    ] = 0.0
    delay_stddev: Annotated[
        Ratio,
        Flag(
            ("--conversation-turn-delay-stddev", "--session-turn-delay-stddev"),
            CONVERSATION,
            unit="ms",
        ),
        Field(description="Standard deviation of that wait."),
    ] = 0.0
    delay_ratio: Annotated[
        Ratio,
        Flag(("--conversation-turn-delay-ratio", "--session-delay-ratio"), CONVERSATION),
        Field(
            description="Multiplies the wait before each turn, of synthetic conversations and of "
            "those in a file; 0 sends every turn as soon as the answer before it is there."
        ),
    ] = 1.0


class ScheduleConfig(Section):
    """Which part of a trace's times a fixed schedule replays; milliseconds as in the trace."""

    auto_offset: Annotated[
        bool | None,
        Flag(("--fixed-schedule-auto-offset",), Groups.FIXED_SCHEDULE),
        Field(
            description="The phase starts at the first timestamp, as it does without a start "
            "offset; with --no-fixed-schedule-auto-offset it starts at timestamp 0."
        ),
    ] = None
    start_offset: Annotated[
        Ratio | None,
        Flag(("--fixed-schedule-start-offset",), Groups.FIXED_SCHEDULE, unit="ms"),
        Field(
            description="The phase starts at this timestamp; conversations that begin earlier are "
            "left out."
        ),
    ] = None
    end_offset: Annotated[
        Ratio | None,
        Flag(("--fixed-schedule-end-offset",), Groups.FIXED_SCHEDULE, unit="ms"),
        Field(description="Leaves out conversations and turns that begin after this timestamp."),
    ] = None


class RankingsConfig(Section):
    """Synthetic queries and passages, for endpoints that rank."""

    passages_mean: Annotated[
        PositiveFloat | None,
        Flag(("--rankings-passages-mean",), Groups.RANKINGS, unit="passages"),
        Field(description="Mean number of passages of a request; 10 without it."),
    ] = None
    passages_stddev: Annotated[
        Tokens | None,
        Flag(("--rankings-passages-stddev",), Groups.RANKINGS, unit="passages"),
        Field(description="Standard deviation of the number of passages; 0 without it."),
    ] = None
    passage_tokens_mean: Annotated[
        PositiveFloat | None,
        Flag(("--rankings-passages-prompt-token-mean",), Groups.RANKINGS, unit="tokens"),
        Field(description="Mean length of a passage; 550 without it."),
    ] = None
    passage_tokens_stddev: Annotated[
        Tokens | None,
        Flag(("--rankings-passages-prompt-token-stddev",), Groups.RANKINGS, unit="tokens"),
        Field(description="Standard deviation of a passage's length; 0 without it."),
    ] = None
    query_tokens_mean: Annotated[
        PositiveFloat | None,
        Flag(("--rankings-query-prompt-token-mean",), Groups.RANKINGS, unit="tokens"),
        Field(description="Mean length of a query; 550 without it."),
    ] = None
    query_tokens_stddev: Annotated[
        Tokens | None,
        Flag(("--rankings-query-prompt-token-stddev",), Groups.RANKINGS, unit="tokens"),
        Field(description="Standard deviation of a query's length; 0 without it."),
    ] = None


class InputConfig(Section):
    """The prompts: synthetic ones of stated lengths, or those of a file."""

    type: Annotated[
        str | None,
        BeforeValidator(lower),
        Flag(("--custom-dataset-type", "--dataset-type"), Groups.INPUT, metavar="NAME"),
        Field(
            description="Name of the dataset plugin. Without it: synthetic, or "
            "synthetic_rankings where the endpoint ranks; for a file what its first line says, "
            "multi_turn, mooncake_trace or single_turn, or raw_payload and inputs_json where the "
            "endpoint is raw; random_pool for a directory."
        ),
    ] = None
    file: Annotated[
        str | None,
        Flag(("--input-file",), Groups.INPUT, metavar="PATH"),
        Field(
            description="File of prompts, or a directory of them. In a configuration file, "
            "relative to that file; as a flag, to the current directory."
        ),
    ] = None
    entries: Annotated[
        Count | None,
        Flag(("--num-dataset-entries", "--num-prompts"), Groups.CONVERSATION_INPUT, unit="prompts"),
        Field(
            description="How many prompts are made or kept; without it 100 synthetic ones, or all "
            "of a file."
        ),
    ] = None
    conversations: Annotated[
        Count | None,
        Flag(
            ("--num-conversations", "--num-sessions", "--conversation-num"),
            Groups.CONVERSATION_INPUT,
            unit="conversations",
        ),
        Field(
            description="Ends the run after this many conversations, each with all of its turns, "
            "unless a count or a duration ends it before. As many are made, unless the number of "
            "entries says otherwise; those of a file come again and again."
        ),
    ] = None
    sampling: Annotated[
        Literal["sequential", "shuffle", "random"],
        BeforeValidator(lower),
        Flag(("--dataset-sampling-strategy",), Groups.INPUT),
        Field(
            description="sequential: in order, again from the start; shuffle: each once in a drawn "
            "order, then again; random: drawn with replacement."
        ),
    ] = "sequential"
    isl_mean: Annotated[
        Tokens,
        Flag(
            ("--isl", "--prompt-input-tokens-mean", "--synthetic-input-tokens-mean"),
            Groups.ISL,
            unit="tokens",
        ),
        Field(description="Mean length of a synthetic prompt."),
    ] = 550.0
    isl_stddev: Annotated[
        Tokens,
        Flag(
            ("--isl-stddev", "--prompt-input-tokens-stddev", "--synthetic-input-tokens-stddev"),
            Groups.ISL,
            unit="tokens",
        ),
        Field(description="Standard deviation of a synthetic prompt's length."),
    ] = 0.0
    isl_block_size: Annotated[
        Count | None,
        Flag(
            (
                "--isl-block-size",
                "--prompt-input-tokens-block-size",
                "--synthetic-input-tokens-block-size",
            ),
            Groups.ISL,
            unit="tokens",
        ),
        Field(description="Tokens for which a hash of a trace stands; 512 without it."),
    ] = None
    osl_mean: Annotated[
        Tokens | None,
        Flag(
            ("--osl", "--prompt-output-tokens-mean", "--output-tokens-mean"),
            Groups.OSL,
            unit="tokens",
        ),
        Field(description="Mean length of the answers asked for; without it none is asked for."),
    ] = None
    osl_stddev: Annotated[
        Tokens,
        Flag(
            ("--osl-stddev", "--prompt-output-tokens-stddev", "--output-tokens-stddev"),
            Groups.OSL,
            unit="tokens",
        ),
        Field(description="Standard deviation of the answers' length asked for."),
    ] = 0.0
    random_seed: Annotated[
        int,
        NotBool,
        Flag(("--random-seed",), Groups.INPUT),
        Field(
            ge=0,
            lt=2**63,
            description="Fixes every random draw: prompts, lengths, order and arrival times.",
        ),
    ] = 42
    turns: Annotated[TurnsConfig, Field(description="Conversations of several turns.")] = Field(
        default_factory=TurnsConfig
    )
    schedule: Annotated[ScheduleConfig, Field(description="What of a trace is replayed.")] = Field(
        default_factory=ScheduleConfig
    )
    rankings: Annotated[RankingsConfig, Field(description="Synthetic queries and passages.")] = (
        Field(default_factory=RankingsConfig)
    )
    options: Annotated[
        dict[str, Any],
        Field(
            description="Options of the dataset plugin, checked against its own schema.",
        ),
    ] = Field(default_factory=dict)


class TokenizerConfig(Section):
    """What counts and makes tokens on our side."""

    name: Annotated[
        str,
        Flag(("--tokenizer",), Groups.TOKENIZER, metavar="NAME"),
        Field(
            description="Name of the tokenizer plugin; or the path of a tokenizer.json or of its "
            "directory; or an installed package that carries one. Nothing is downloaded."
        ),
    ] = "builtin"
    apply_chat_template: Annotated[
        bool,
        Flag(("--apply-chat-template",), Groups.TOKENIZER),
        Field(
            description="Count the input tokens of chat requests with the tokenizer's chat "
            "template, where it has one."
        ),
    ] = True
    options: Annotated[
        dict[str, Any],
        Field(
            description="Options of the tokenizer plugin, checked against its own schema.",
        ),
    ] = Field(default_factory=dict)
