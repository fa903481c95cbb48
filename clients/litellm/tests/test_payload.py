"""What is kept of a payload, by the payload alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping

from farthing_litellm import payload

CONTENT_RS = Path(__file__).parents[3] / "src" / "usage" / "content.rs"


def _said_by_callers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = payload.kept({"metadata": {"spend_logs_metadata": metadata, "requester_metadata": metadata}})["metadata"]
    assert kept["spend_logs_metadata"] == kept["requester_metadata"]
    return dict(kept["spend_logs_metadata"])


def what_callers_say_under_the_name_of_a_prompt_or_a_key_is_dropped() -> None:
    names = {"feature": "answers", "ticket": 812, "deep": True, "user_id": "ann"}
    content = {"prompt": "CANARY", "User-Prompt": "CANARY", "system.prompt": "CANARY", "messages": "CANARY", "last_message": "CANARY"}
    credentials = {"api_key": "CANARY", "x-api-key": "CANARY", "Authorization": "CANARY", "db_password": "CANARY", "Helicone-Auth": "CANARY"}
    assert _said_by_callers({**names, **content, **credentials}) == names


def a_number_is_a_count_whatever_its_name() -> None:
    assert _said_by_callers({"input": 7, "prompt": 12.5, "output": "CANARY"}) == {"input": 7, "prompt": 12.5}


def a_batch_keeps_what_every_poll_of_it_says() -> None:
    batch = {"id": "batch_7", "status": "completed", "created_at": 1, "completed_at": 2, "output_file_id": "file-1", "usage": {}}
    kept = payload.kept({"response": batch})["response"]
    assert kept == {"id": "batch_7", "status": "completed", "created_at": 1, "completed_at": 2, "usage": {}}


def the_words_are_those_of_the_server() -> None:
    source = CONTENT_RS.read_text()

    def words(name: str) -> set[str]:
        found = re.search(rf"const {name}: [^=]*= \[([^\]]*)\]", source)
        assert found, name
        return set(re.findall(r'"([a-z]+)"', found[1]))

    assert payload.CONTENT == words("CONTENT")
    assert words("CREDENTIALS") <= set(payload.ENDS)
