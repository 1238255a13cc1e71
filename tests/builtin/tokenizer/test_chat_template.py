"""Counting through a model's chat template."""

import json

import pytest

from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.builtin.tokenizer.tokenizer_json import TokenizerJson
from steelyard.domain.bench.chat_isl import with_template
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.ports import ChatTokenizer
from steelyard.kernel.errors import UsageError
from steelyard.testing.components import require_component

# Each message is framed by two tokens, the answer is opened by one, the whole begins with one.
TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}"
    " {{ m.role }} {{ m.content }} end"
    "{% endfor %}"
    "{% if tools %} {{ tools|length }}{% endif %}"
    "{% if add_generation_prompt %} assistant{% endif %}"
)


@pytest.fixture
def model(tmp_path):
    """Return a model's folder: a word-level tokenizer without a template."""
    require_component(
        "tokenizers", module="tokenizers", install="pip install 'steelyard[tokenizers]'"
    )
    import tokenizers

    words = ["[UNK]", "<s>", "user", "assistant", "end", "one", "two", "three", "1"]
    vocabulary = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def configure(model, template, **fields):
    config = {"chat_template": template, "bos_token": {"content": "<s>"}, **fields}
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    return TokenizerJson(path=str(model))


def counted(tokenizer, *turns):
    found = with_template(Conversation(id="c", turns=turns), tokenizer)
    return [turn.input_tokens for turn in found.turns]


@pytest.mark.parametrize("template", [TEMPLATE, [{"name": "default", "template": TEMPLATE}]])
def test_the_frame_of_the_template_is_counted(model, template):
    """Begin, role, text, end, and the opening of the answer."""
    assert counted(configure(model, template), Turn(text="one two", input_tokens=2)) == [6]


def test_a_template_of_its_own_file_is_found(model):
    (model / "chat_template.jinja").write_text(TEMPLATE)
    assert counted(TokenizerJson(path=str(model)), Turn(text="one")) == [4]


def test_turns_add_up_to_the_request(model):
    """A later turn adds its own frame and that of the answer before it, the answer's tokens not."""
    tokenizer = configure(model, TEMPLATE)
    turns = (Turn(text="one"), Turn(text="two three"))
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one one one"},
        {"role": "user", "content": "two three"},
    ]
    assert sum(counted(tokenizer, *turns)) + 3 == tokenizer.count_chat(messages, None)


def test_tools_are_part_of_the_input(model):
    tokenizer = configure(model, TEMPLATE)
    assert counted(tokenizer, Turn(text="one", raw_tools=[{"name": "f"}])) == [6]


def test_a_turn_that_the_template_refuses_keeps_its_count(model):
    tokenizer = configure(model, TEMPLATE)
    assert counted(tokenizer, Turn(text="one", system="no system here", input_tokens=1)) == [1]


def test_a_template_is_sandboxed_and_may_be_missing_or_broken(model):
    """None of these is a reason to end a run: the text alone is counted."""
    assert not TokenizerJson(path=str(model)).has_chat_template
    for template in ("{% if", "", [{"name": "other", "template": "x"}]):
        assert not configure(model, template).has_chat_template
    unsafe = configure(model, "{{ messages.__class__.__mro__[1].__subclasses__() }}")
    assert unsafe.count_chat([], None) == -1


def test_a_configuration_that_is_no_json_is_named(model):
    (model / "tokenizer_config.json").write_text("{")
    with pytest.raises(UsageError, match=r"tokenizer_config\.json"):
        TokenizerJson(path=str(model))


def test_the_builtin_tokenizer_has_no_template():
    assert not isinstance(BuiltinTokenizer(), ChatTokenizer)
