"""Readers of official formats, on tiny files of the same layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from rankrag.data.item import Dropped, Item
from rankrag.data.readers import chatqa, conversations, instructions, neutral, open_domain, reading, squad
from rankrag.data.rules import hard_negatives
from rankrag.data.sources import PARTS, SOURCES, Reader, licence_of, reader
from rankrag.errors import FormatError
from rankrag.prompts import UNANSWERABLE
from rankrag.types import Turn

Write = Callable[[str, object], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a value as JSON (or lines of JSON for .jsonl, or text) and return the path."""

    def written(name: str, value: object) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            text = value
        elif isinstance(value, list) and name.endswith(".jsonl"):
            text = "".join(json.dumps(one) + "\n" for one in value)
        else:
            text = json.dumps(value)
        path.write_text(text)
        return str(path)

    return written


def items(found: Iterable[Item | Dropped]) -> list[Item]:
    return [one for one in found if isinstance(one, Item)]


def drops(found: Iterable[Item | Dropped]) -> list[str]:
    return [one.reason for one in found if isinstance(one, Dropped)]


def said(item: Item | Dropped) -> list[tuple[str, str]]:
    assert isinstance(item, Item)
    turns: list[tuple[str, str]] = [(turn.role, turn.text) for turn in item.question.history]
    return [*turns, ("user", item.question.text), ("assistant", item.target)]


# ── reading comprehension ────────────────────────────────────────────────────────────────────────────


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "River_Thames",
            "paragraphs": [
                {
                    "context": "The Thames flows through London.",
                    "qas": [
                        {
                            "id": "q1",
                            "question": " Where does it flow? ",
                            "answers": [
                                {"text": "London", "answer_start": 25},
                                {"text": "London", "answer_start": 25},
                                {"text": "through London", "answer_start": 17},
                            ],
                            "is_impossible": False,
                        },
                        {"id": "q2", "question": "How long is it?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}


def test_squad_official(write: Write) -> None:
    first, second = items(squad.squad(write("train-v2.0.json", SQUAD)))
    assert (first.id, first.question.text, first.answers) == (
        "q1",
        "Where does it flow?",
        ("London", "through London"),
    )
    assert (first.gold[0].title, first.gold[0].text) == ("River Thames", "The Thames flows through London.")
    assert (second.target, second.answerable, second.gold) == (UNANSWERABLE, False, first.gold)


def test_squad_of_the_hub(write: Write) -> None:
    answers = {"text": ["London"], "answer_start": [25]}
    row = {"id": "q1", "title": "T_U", "context": "In London.", "question": "Where?", "answers": answers}
    (item,) = items(squad.squad(write("a.jsonl", [row])))
    assert (item.answers, item.gold[0].title) == (("London",), "T U")


def test_quoref_takes_its_spans_together(write: Write) -> None:
    qa = {"id": "1", "question": "Who?", "answers": [{"text": "Ann"}, {"text": "Bob"}]}
    data = {"data": [{"title": "x", "paragraphs": [{"context": "Ann and Bob.", "qas": [qa]}]}]}
    (item,) = items(squad.quoref(write("quoref.json", data)))
    assert item.answers == ("Ann, Bob",)


def test_ropes_joins_background_and_situation(write: Write) -> None:
    qa = {"id": "1", "question": "Which cup?", "answers": [{"text": "cup B"}]}
    data = {"data": [{"paragraphs": [{"background": "Sugar.", "situation": "Two cups.", "qas": [qa]}]}]}
    (item,) = items(squad.ropes(write("ropes.json", data)))
    assert (item.gold[0].text, item.answers) == ("Sugar.\nTwo cups.", ("cup B",))


def test_drop_writes_numbers_spans_and_dates(write: Write) -> None:
    def qa(name: str, **answer: object) -> dict[str, object]:
        empty: dict[str, object] = {"number": "", "spans": [], "date": {"day": "", "month": "", "year": ""}}
        return {"query_id": name, "question": "?", "answer": empty | answer}

    pairs = [
        qa("1", number="3"),
        qa("2", spans=["Ann", "Bob"]),
        qa("3", date={"day": "2", "month": "May", "year": "1900"}),
        qa("4"),
    ]
    found = list(reading.drop(write("drop.json", {"nfl_1": {"passage": "Text.", "qa_pairs": pairs}})))
    assert [one.answers[0] for one in items(found)] == ["3", "Ann, Bob", "2 May 1900"]
    assert drops(found) == ["no answer given"]
    hub = {
        "query_id": "1",
        "passage": "T",
        "question": "?",
        "answers_spans": {"spans": ["4", "4"], "types": []},
    }
    (item,) = items(reading.drop(write("a.jsonl", [hub])))
    assert item.answers == ("4",)


def test_narrativeqa_of_the_repository_and_of_the_hub(write: Write) -> None:
    write("third_party/wikipedia/summaries.csv", "document_id,set,summary\nd1,train, A tale of two. \n")
    path = write(
        "qaps.csv",
        "document_id,set,question,answer1,answer2\nd1,train,Who?,Ann,Ann and Bob\nd1,test,Why?,a,b\n",
    )
    found = list(reading.narrativeqa(path))
    (first,) = items(found)
    assert (first.answers, first.gold[0].text) == (("Ann", "Ann and Bob"), "A tale of two.")
    assert drops(found) == ["belongs to the set test"]
    hub = {
        "document": {"id": "d1", "summary": {"text": "A tale."}},
        "question": {"text": "Who?"},
        "answers": [{"text": "Ann"}, {"text": "Bob"}],
    }
    (item,) = items(reading.narrativeqa(write("a.jsonl", [hub])))
    assert (item.answers, item.gold[0].text) == (("Ann", "Bob"), "A tale.")


def test_narrativeqa_without_its_summary_is_an_error(write: Write) -> None:
    write("summaries.csv", "document_id,set,summary\nd2,train,Other.\n")
    path = write("qaps.csv", "document_id,set,question,answer1,answer2\nd1,train,Who?,Ann,Bob\n")
    with pytest.raises(FormatError, match=r"qaps\.csv:2: found document 'd1'"):
        list(reading.narrativeqa(path))


def test_newsqa_takes_the_span_that_was_agreed_on(write: Write) -> None:
    text = "(CNN) -- Comcast started a service on Tuesday."
    start = text.index("Comcast")
    questions = [
        {"q": "Who started it?", "consensus": {"s": start, "e": start + 8}},
        {"q": "Why?", "consensus": {"noAnswer": True}},
        {"q": "sdfg", "consensus": {"badQuestion": True}},
    ]
    stories = [
        {"storyId": "./cnn/1.story", "text": text, "type": "train", "questions": questions},
        {"storyId": "./cnn/2.story", "text": text, "type": "test", "questions": questions},
    ]
    found = list(reading.newsqa(write("combined-newsqa-data-v1.json", {"data": stories, "version": "1"})))
    assert [(one.answers, one.target) for one in items(found)] == [(("Comcast",), ""), ((), UNANSWERABLE)]
    assert drops(found) == ["bad question", "belongs to the set test"]


def test_tatqa_gives_answers_their_scale_and_style(write: Write) -> None:
    report = {
        "table": {"uid": "t", "table": [["", "2019", "2018"], ["", "", ""], ["Sales", "12", "10"]]},
        "paragraphs": [
            {"uid": "p2", "order": 2, "text": "Second."},
            {"uid": "p1", "order": 1, "text": "First."},
        ],
        "questions": [
            {"uid": "1", "question": "Change?", "answer": 2, "answer_type": "arithmetic", "scale": "million"},
            {
                "uid": "2",
                "question": "Growth?",
                "answer": 20,
                "answer_type": "arithmetic",
                "scale": "percent",
            },
            {
                "uid": "3",
                "question": "Which years?",
                "answer": ["2019", "2018"],
                "answer_type": "multi-span",
                "scale": "",
            },
        ],
    }
    first, second, third = items(reading.tatqa(write("tatqa.json", [report])))
    assert first.gold[0].text == " | 2019 | 2018\nSales | 12 | 10\nFirst.\nSecond."
    assert [one.answers[0] for one in (first, second, third)] == ["2 million", "20%", "2019, 2018"]
    assert [one.question.style for one in (first, second, third)] == ["number", "number", "span_or_full"]
    assert [one.part for one in (first, second, third)] == ["arithmetic", "arithmetic", "multi-span"]


def test_chatqa_rows_are_turns_of_a_conversation(write: Write) -> None:
    talk = [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Ann."},
        {"role": "user", "content": "Why?"},
    ]
    rows = [
        {"messages": talk, "answers": ["For fun."], "document": "Ann ran for fun."},
        {"messages": talk, "answers": [UNANSWERABLE], "document": "Ann ran."},
        {"messages": talk[:1], "answers": [["Ann", "Anna"]], "document": "D"},
        {"messages": talk[:1], "answers": [{"text": "Ann", "answer_start": 0}], "document": "D"},
        {"messages": talk[:2], "answers": [], "document": ""},
        {"messages": talk, "answers": [""], "document": "D"},
    ]
    found = list(chatqa.chatqa(write("train.jsonl", rows)))
    first, second, third, fourth, fifth = items(found)
    assert said(first) == [
        ("user", "Who?"),
        ("assistant", "Ann."),
        ("user", "Why?"),
        ("assistant", "For fun."),
    ]
    assert (first.gold[0].text, first.answerable, second.answerable) == ("Ann ran for fun.", True, False)
    assert (third.target, fourth.target, fifth.target, fifth.gold) == ("Ann", "Ann", "Ann.", ())
    assert drops(found) == ["no answer given"]


# ── questions over a collection ──────────────────────────────────────────────────────────────────────


def test_webquestions_reads_both_shapes(write: Write) -> None:
    value = '(list (description "Padm\\"e Amidala") (description Barcelona) (description "U. S.") (number 3))'
    (item,) = items(
        open_domain.webquestions(write("a.json", [{"url": "", "utterance": "who?", "targetValue": value}]))
    )
    assert item.answers == ('Padm"e Amidala', "Barcelona", "U. S.")
    (item,) = items(
        open_domain.webquestions(write("b.jsonl", [{"url": "", "question": "who?", "answers": ["A", "B"]}]))
    )
    assert (item.question.text, item.answers) == ("who?", ("A", "B"))


def test_dpr_has_gold_and_mined_negatives(write: Write) -> None:
    context = {"title": "Moon", "text": "Gold.", "score": 1000, "title_score": 1, "passage_id": "12"}
    row = {
        "dataset": "squad1",
        "question": "q?",
        "answers": ["a"],
        "positive_ctxs": [context],
        "negative_ctxs": [],
        "hard_negative_ctxs": [
            {"title": "Sun", "text": "Hard.", "psg_id": "13"},
            {"title": "", "text": "Bare."},
        ],
    }
    found = list(open_domain.dpr(write("biencoder.json", [row, row | {"positive_ctxs": []}])))
    (first,) = items(found)
    assert [(one.id, one.title, one.text) for one in first.gold] == [("wiki-12", "Moon", "Gold.")]
    assert [one.text for one in first.negatives] == ["Hard.", "Bare."]
    assert first.negatives[0].id == "wiki-13"
    assert drops(found) == ["no gold passage"]


def test_of_dprs_positives_the_first_is_gold_and_the_rest_are_hits(write: Write) -> None:
    """The others hold the answer by chance: Lima beans do not say what the capital of Peru is."""
    row = {
        "question": "capital of Peru?",
        "answers": ["Lima"],
        "positive_ctxs": [
            {"title": "Peru", "text": "Its capital is Lima.", "score": 900},
            {"title": "Bean", "text": "The Lima bean is a legume.", "score": "20.5"},
        ],
        "hard_negative_ctxs": [
            {"title": "Chile", "text": "Hardest.", "score": 30.5},
            {"title": "Inca", "text": "Easier.", "score": 9},
        ],
    }
    (item,) = items(open_domain.dpr(write("biencoder.json", [row])))
    assert [one.text for one in item.gold] == ["Its capital is Lima."]
    assert [one.title for one in item.negatives] == ["Chile", "Bean", "Inca"]
    assert [one.title for one in hard_negatives(item, ())] == ["Chile", "Inca"]


def test_rows_on_one_line_and_in_two_files_have_ids_of_their_own(write: Write) -> None:
    two = [{"utterance": f"who {n}?", "targetValue": "(list (description A))"} for n in (1, 2)]
    paths = write("train.json", two), write("dev.json", two)
    assert [one.id for path in paths for one in items(open_domain.webquestions(path))] == [
        "webq-train-1", "webq-train-2", "webq-dev-1", "webq-dev-2",
    ]  # fmt: skip


def test_the_official_files_of_webquestions_do_not_share_ids(write: Write) -> None:
    one = [{"utterance": "who?", "targetValue": "(list (description A))"}]
    names = "webquestions.examples.train.json", "webquestions.examples.test.json"
    found = [items(open_domain.webquestions(write(name, one)))[0].id for name in names]
    assert found == ["webq-webquestions.examples.train-1", "webq-webquestions.examples.test-1"]


def test_a_score_of_dpr_that_is_no_number_is_named(write: Write) -> None:
    hard = [{"text": "Hard.", "score": "high"}]
    row = {"question": "q?", "answers": ["a"], "positive_ctxs": [{"text": "G."}], "hard_negative_ctxs": hard}
    with pytest.raises(FormatError, match=r"biencoder\.json:1: found the score 'high', wanted a number"):
        list(open_domain.dpr(write("biencoder.json", [row])))


def test_a_history_has_two_speakers_too(write: Write) -> None:
    def history(*roles: str) -> str:
        turns = [{"role": role, "text": role} for role in roles]
        return write("h.jsonl", [{"id": "1", "question": "q", "answers": ["a"], "history": turns}])

    (one,) = items(neutral.neutral(history("system", "human", "gpt")))
    assert one.question.history == (Turn("user", "human"), Turn("assistant", "gpt"))
    with pytest.raises(FormatError, match=r"h\.jsonl:1: found the role 'tool'"):
        list(neutral.neutral(history("tool")))


@pytest.mark.parametrize("read", [neutral.neutral, chatqa.chatqa], ids=["neutral", "chatqa"])
def test_messages_have_two_speakers(write: Write, read: Reader) -> None:
    def messages(*said: tuple[str, str]) -> str:
        turns = [{"role": role, "content": text} for role, text in said]
        return write("m.jsonl", [{"id": "1", "messages": turns}])

    (one,) = items(read(messages(("system", "Be terse."), ("human", "Why?"), ("gpt", "So."))))
    assert said(one) == [("user", "Why?"), ("assistant", "So.")]
    with pytest.raises(FormatError, match=r"m\.jsonl:1: found the role 'tool', wanted one of user, human"):
        list(read(messages(("user", "Why?"), ("tool", "So."))))


def test_tokens_of_a_question_without_an_answer_stay_without(write: Write) -> None:
    passage = {"id": "p", "title": "", "text": "It is late .", "relevant": False}
    row = {"id": "1", "question": "why?", "answers": [], "passages": [passage], "answerable": False}
    (item,) = items(neutral.tokenised(write("q.jsonl", [row])))
    assert (item.answerable, item.target) == (False, UNANSWERABLE)
    judged = row | {
        "answerable": True,
        "answers": ["late"],
        "passages": [passage, passage | {"relevant": True}],
    }
    (item,) = items(neutral.tokenised(write("q.jsonl", [judged])))
    assert [one.text for one in item.negatives] == ["It is late."]


def test_msmarco_in_its_three_shapes(write: Write, tmp_path: Path) -> None:
    hub = {
        "query_id": 1,
        "query": "what is rba",
        "passages": {"is_selected": [0, 1], "passage_text": ["No.", "Yes."], "url": ["", ""]},
    }
    (item,) = items(open_domain.msmarco(write("hub.jsonl", [hub])))
    assert ([p.text for p in item.gold], [p.text for p in item.negatives]) == (["Yes."], ["No."])
    mined = {
        "query_id": "1",
        "query": "q",
        "positive_passages": [{"docid": "7", "title": "-", "text": "Yes."}],
        "negative_passages": [{"docid": "8", "title": "-", "text": "No."}],
    }
    (item,) = items(open_domain.msmarco(write("mined.jsonl", [mined])))
    assert (item.gold[0].id, item.negatives[0].id, item.gold[0].title) == ("7", "8", "")
    write("official/queries.train.tsv", "5\twhat is it\n6\tnothing\n")
    write("official/qrels.train.tsv", "5\t0\t7\t1\n")
    write("official/collection.tsv", "7\tThis is it.\n8\tThat is not.\n")
    found = list(open_domain.msmarco(str(tmp_path / "official")))
    (item,) = items(found)
    assert (item.question.text, item.gold[0].text) == ("what is it", "This is it.")
    assert drops(found) == ["no gold passage"]
    write("official/collection.tsv", "7 no tab\n")
    with pytest.raises(FormatError, match=r"collection\.tsv:1: found 1 column"):
        list(open_domain.msmarco(str(tmp_path / "official")))


# ── instructions and dialogues ───────────────────────────────────────────────────────────────────────


def test_single_instructions(write: Write) -> None:
    dolly = {"instruction": "Sum up.", "context": "A text.", "response": "A.", "category": "summarization"}
    (item,) = items(instructions.dolly(write("dolly.jsonl", [dolly])))
    assert (said(item), item.part) == ([("user", "Sum up.\nA text."), ("assistant", "A.")], "summarization")
    rows = [
        {"instruction": "Add.", "input": "1, 2", "output": "3"},
        {"prompt": "Add 1 and 2.", "completion": " 3<|endoftext|>"},
    ]
    found = [said(one) for one in instructions.self_instruct(write("all_instances.jsonl", rows))]
    assert found == [
        [("user", "Add.\n1, 2"), ("assistant", "3")],
        [("user", "Add 1 and 2."), ("assistant", "3")],
    ]
    (item,) = items(instructions.flan(write("flan.jsonl", [{"inputs": "Q", "targets": "A", "task": "t"}])))
    assert (said(item), item.part) == ([("user", "Q"), ("assistant", "A")], "t")


def test_unnatural_instructions_keep_their_constraints(write: Write) -> None:
    one = {
        "instruction_with_input": "Say hi to Ann.",
        "input": "Ann",
        "constraints": "One word.",
        "output": "Hi!",
    }
    two = one | {"constraints": "None.", "output": "Hello."}
    row = {
        "instruction": "Say hi.",
        "instances": [one, two],
        "reformulations": [{"instruction_with_input": "Greet.", "output": "Hey."}],
    }
    found = items(instructions.unnatural_instructions(write("core_data.jsonl", [row])))
    assert [(one.question.text, one.target) for one in found] == [
        ("Say hi to Ann.\nOne word.", "Hi!"),
        ("Say hi to Ann.", "Hello."),
        ("Greet.", "Hey."),
    ]


def cot(task: str, asked: str, answer: str) -> dict[str, object]:
    said = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": f"Why.\nSo the answer is {answer}."},
    ]
    return {"id": f"{task}-0", "task": task, "messages": said, "answer": answer, "rationale": "Why."}


HERE = {"A": "here", "B": "not here"}
AB = {"A": "Sentence A: x", "B": "Sentence B: y"}


@pytest.mark.parametrize(
    ("task", "asked", "answer", "style", "options", "target"),
    [
        ("creak", 'Claim: "Fish fly."\nIs it?\nOptions:\n- yes\n- no', "yes", "true_false", {}, "True"),
        ("creak", '"Fish fly."\nIs the above claim true?', "no", "true_false", {}, "False"),
        ("ecqa", "Fish fly.\nOptions:\n- here\n- not here", "not here", "choice", HERE, "B"),
        ("qasc", "Fish fly.\nOptions:\n- (A) here\n- (B) not here", "(B)", "choice", HERE, "B"),
        ("aqua", "Fish fly.\nOptions:\n(A) here\n(B) not here", "(A)", "choice", HERE, "A"),
        (
            "sensemaking",
            "Fish fly.\nOptions:\n- Sentence A: x\n- Sentence B: y",
            "Sentence B",
            "choice",
            AB,
            "B",
        ),
        ("gsm8k", "Fish fly.", "72", "number", {}, "72"),
        ("strategyqa", "Fish fly.", "no", "phrase", {}, "no"),
    ],
)
def test_chains_of_thought_without_the_thought(
    write: Write, task: str, asked: str, answer: str, style: str, options: object, target: str
) -> None:
    (item,) = items(instructions.short_answers(write("cot.jsonl", [cot(task, asked, answer)])))
    assert (item.question.text, item.question.style, item.question.options) == ("Fish fly.", style, options)
    assert (item.target, item.part) == (target, task)


def test_an_answer_that_is_no_option_is_dropped(write: Write) -> None:
    path = write("cot.jsonl", [cot("ecqa", "Where?\nOptions:\n- here\n- there", "nowhere")])
    assert list(instructions.short_answers(path)) == [Dropped("an answer that is none of the options")]


def test_a_chain_of_thought_that_nobody_asked_for_is_dropped(write: Write) -> None:
    path = write("cot.jsonl", [cot("ecqa", "Where?", "here") | {"messages": []}])
    assert list(instructions.short_answers(path)) == [Dropped("no reply to a question")]


def test_a_claim_is_true_or_false(write: Write) -> None:
    with pytest.raises(FormatError, match="found answer 'perhaps' to a claim, wanted yes or no"):
        list(instructions.short_answers(write("cot.jsonl", [cot("creak", '"Rivers flow."', "perhaps")])))


def test_only_chains_of_thought_have_a_short_layout() -> None:
    assert reader("flan_cot", "short") is instructions.short_answers
    assert reader("squad", "short") is None


def test_flan_cot_puts_the_rationale_first(write: Write) -> None:
    path = write("aqua_train.tsv", "2+2?\\nOptions:\\n(A) 4\t(A)\t2+2=4\n")
    (item,) = items(instructions.flan_cot(path))
    assert said(item) == [("user", "2+2?\nOptions:\n(A) 4"), ("assistant", "2+2=4\nSo the answer is (A).")]
    assert item.part == "aqua"
    with pytest.raises(FormatError, match=r"b_train\.tsv:1: found 2 columns"):
        list(instructions.flan_cot(write("b_train.tsv", "a\tb\n")))


def test_eli5_takes_the_best_answer(write: Write) -> None:
    row = {
        "q_id": "x",
        "title": "Why?",
        "selftext": "",
        "subreddit": "eli5",
        "answers": {"a_id": ["1", "2"], "text": ["No.", "Yes."], "score": [2, 5]},
    }
    found = list(instructions.eli5(write("eli5.jsonl", [row, row | {"answers": {"text": [], "score": []}}])))
    assert said(found[0]) == [("user", "Why?"), ("assistant", "Yes.")]
    assert drops(found) == ["no reply to a question"]


def node(
    name: str, role: str, text: str, rank: int | None = None, replies: Iterable[object] = ()
) -> dict[str, object]:
    made: dict[str, object] = {"message_id": name, "role": role, "text": text, "lang": "en"}
    return made | {"rank": rank, "replies": list(replies)}


def flat(name: str, parent: str | None, role: str, text: str, rank: float | None = None) -> dict[str, object]:
    made: dict[str, object] = {"message_id": name, "parent_id": parent, "message_tree_id": "t", "lang": "en"}
    return made | {"role": role, "text": text, "rank": rank}


def test_openassistant_follows_the_best_replies(write: Write) -> None:
    follow = node("d", "prompter", "More?", replies=[node("e", "assistant", "No more.", 0)])
    prompt = node(
        "a",
        "prompter",
        "Hi?",
        replies=[node("b", "assistant", "Bad.", 1), node("c", "assistant", "Good.", 0, [follow])],
    )
    german = prompt | {"lang": "de"}
    trees = [
        {"message_tree_id": "t", "tree_state": "ready", "prompt": prompt},
        {"message_tree_id": "u", "prompt": german},
    ]
    wanted = [("user", "Hi?"), ("assistant", "Good."), ("user", "More?"), ("assistant", "No more.")]
    found = list(conversations.openassistant(write("trees.jsonl", trees)))
    assert said(found[0]) == wanted
    assert drops(found) == ["not in English"]

    messages = [
        flat("a", None, "prompter", "Hi?"),
        flat("b", "a", "assistant", "Bad.", 1.0),
        flat("c", "a", "assistant", "Good.", 0.0),
        flat("d", "c", "prompter", "More?"),
        flat("x", "d", "assistant", "Spam.", 0.0) | {"deleted": True},
        flat("e", "d", "assistant", "No more.", 1.0),
    ]
    (item,) = items(conversations.openassistant(write("messages.jsonl", messages)))
    assert said(item) == wanted


def test_soda_makes_the_first_speaker_the_user(write: Write) -> None:
    rows = [
        {"dialogue": ["Hi.", "Hello.", "Bye.", "See you."], "speakers": ["Ann", "Bob", "Ann", "Bob"]},
        {"dialogue": ["Hi.", "You there?", "Yes."], "speakers": ["Ann", "Ann", "Bob"]},
        {"dialogue": ["a", "b", "c"], "speakers": ["A", "B", "C"]},
    ]
    found = list(conversations.soda(write("soda.jsonl", rows)))
    assert said(found[0])[-1] == ("assistant", "See you.")
    assert said(found[1]) == [("user", "Hi. You there?"), ("assistant", "Yes.")]
    assert drops(found) == ["3 speakers, not two"]


# ── the neutral shape and the project's own ──────────────────────────────────────────────────────────


def test_the_neutral_shape(write: Write) -> None:
    rows = [
        {
            "id": "a",
            "question": "And who?",
            "answers": ["Ann"],
            "history": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}],
            "passages": [
                {"id": "1", "title": "T", "text": "Ann.", "relevant": True},
                {"id": "2", "title": "", "text": "Bob.", "relevant": False},
                {"id": "3", "title": "", "text": "Eve.", "relevant": None},
            ],
        },
        {
            "id": "b",
            "question": "x",
            "answers": [],
            "answerable": False,
            "passages": [{"id": "4", "text": "P", "relevant": False}],
        },
        {"id": "c", "question": "x", "answers": [], "passages": []},
        {
            "id": "d",
            "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
            "template": "t",
        },
    ]
    found = list(neutral.neutral(write("a.jsonl", rows)))
    first, second, third = items(found)
    assert ([p.id for p in first.gold], [p.id for p in first.negatives]) == (["1"], ["2"])
    assert first.question.history == (Turn("user", "Hi"), Turn("assistant", "Hello"))
    assert (second.target, [p.id for p in second.gold], second.answerable) == (UNANSWERABLE, ["4"], False)
    assert (said(third), third.part) == ([("user", "Q"), ("assistant", "A")], "t")
    assert drops(found) == ["no gold passage and no answer"]


def test_a_line_without_its_field_is_named(write: Write) -> None:
    with pytest.raises(FormatError, match=r"a\.jsonl:2: found no 'question'"):
        list(neutral.neutral(write("a.jsonl", [{"id": "a", "question": "q", "answers": ["a"]}, {"id": "b"}])))


def test_the_table_of_sources_is_whole() -> None:
    for name, card in SOURCES.items():
        assert card.licence
        assert card.citation
        assert reader(name, "neutral") is not None
    for name, parts in PARTS.items():
        assert SOURCES[name].commercial is True
        assert all(licence for licence, _ in parts.values())
    assert licence_of("squad", "") == ("CC BY-SA 4.0", True)
    assert licence_of("p3", "common_gen_Put_together") == ("MIT", True)
    assert licence_of("p3", "sciq_Direct_Question")[1] is False
    assert licence_of("p3", "never_heard_of") == ("not stated", False)
    assert licence_of("flan_cot", "gsm8k") == ("MIT", True)


def test_the_page_on_the_blend_has_every_source_and_part() -> None:
    page = (Path(__file__).parents[1] / "docs" / "blend-sources.md").read_text()
    for name, card in SOURCES.items():
        allowed = "yes" if card.commercial else "no"
        assert f"| {name} | {card.licence} | {allowed} | {card.citation} |" in page
    for name, parts in PARTS.items():
        for part, (licence, commercial) in parts.items():
            assert f"| {name} | {part} | {licence} | {'yes' if commercial else 'no'} |" in page
