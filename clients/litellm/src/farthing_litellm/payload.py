"""What of a LiteLLM call is kept: what it used, what it was said to cost, and on whose behalf it was made.

The lists below name what is kept, not what is dropped. LiteLLM's payload grows with every release, and prompts turn up in
places nobody would look for them (guardrail findings, search queries, the arguments of tools, the text of an error that
quotes the request), as do keys in the address of a provider; a field that is not named here never reaches the disk. The
copy of LiteLLM's price list that fills most of a payload is left out too: Farthing has prices of its own.
"""

from __future__ import annotations

import json
import math
from typing import Any, Mapping, Optional

CALL = (
    "id", "litellm_call_id", "trace_id", "session_id", "call_type", "stream", "status", "cache_hit", "saved_cache_cost",
    "custom_llm_provider", "model", "model_id", "model_group", "startTime", "endTime", "completionStartTime",
    "response_time", "prompt_tokens", "completion_tokens", "total_tokens", "response_cost", "cost_breakdown",
    "request_tags", "end_user", "user_agent",
)  # fmt: skip
METADATA = (
    "user_api_key_hash", "user_api_key_alias", "user_api_key_user_id", "user_api_key_user_email", "user_api_key_team_id",
    "user_api_key_team_alias", "user_api_key_org_id", "user_api_key_org_alias", "user_api_key_project_id",
    "user_api_key_project_alias", "user_api_key_end_user_id", "user_api_key_request_route", "team_id", "team_alias",
    "usage_object", "requester_metadata", "spend_logs_metadata",
)  # fmt: skip
HIDDEN = (
    "model_id", "response_cost", "litellm_model_name", "batch_models", "batch_successful_requests",
    "batch_failed_requests", "usage_object",
)  # fmt: skip
# `user` is the only place where the SDK says who the end user is; the tier and the speed decide the price.
PARAMETERS = ("user", "service_tier", "speed", "stream", "size", "quality", "n", "seconds", "inference_geo")
# `status` and the two times are a batch's: every poll tells of it anew, and only the times of its own stay the same.
RESPONSE = (
    "id", "object", "created", "created_at", "completed_at", "status", "model", "provider", "service_tier", "usage",
)  # fmt: skip
ERROR = ("error_code", "error_class", "llm_provider", "error_provider_request_id", "error_rate_limit_category")

# metadata and tags that callers make up are for names: "search", "ticket-812". A text this long is no name, and may be a prompt.
LONGEST_NAME = 256

# Keys under which callers put prompts, answers and credentials, in lower case and with `_`, `-`, `.` and spaces left out:
# the words of Farthing's src/usage/content.rs, so that neither the disk nor the wire has what the book would not take.
CONTENT = frozenset((
    "answer", "arguments", "candidates", "choices", "completion", "completions", "content", "contents", "context", "delta",
    "document", "documents", "embedding", "embeddings", "errorstr", "guardrailinformation", "guardrailrequest",
    "guardrailresponse", "history", "image", "images", "input", "inputs", "instruction", "instructions",
    "mcptoolcallmetadata", "message", "messages", "output", "outputs", "parts", "prompt", "prompts", "promptvariables",
    "query", "question", "raw", "reasoning", "reasoningcontent", "stacktrace", "stop", "system", "systemprompt", "text",
    "thinking", "toolcalls", "tools", "traceback", "vectorstorerequestmetadata",
))  # fmt: skip
ENDS = (
    "prompt", "completion", "message", "content", "accesskey", "apikey", "auth", "authorization", "bearer", "cookie", "cookies",
    "credential", "credentials", "passphrase", "passwd", "password", "privatekey", "secret", "secretkey", "secrets", "token",
)  # fmt: skip


def kept(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a `standard_logging_object` that is accounted for."""
    event = _only(payload, CALL)
    tags = event.get("request_tags")
    event["request_tags"] = [tag for tag in tags if _is_name(tag)] if isinstance(tags, (list, tuple)) else []
    metadata = _only(_mapping(payload.get("metadata")), METADATA)
    for said_by_callers in ("requester_metadata", "spend_logs_metadata"):
        if said_by_callers in metadata:
            metadata[said_by_callers] = _names(_mapping(metadata[said_by_callers]))
    event["metadata"] = metadata
    event["hidden_params"] = _only(_mapping(payload.get("hidden_params")), HIDDEN)
    event["model_parameters"] = _only(_mapping(payload.get("model_parameters")), PARAMETERS)
    event["response"] = _only(_mapping(payload.get("response")), RESPONSE)
    event["error_information"] = _only(_mapping(payload.get("error_information")), ERROR)
    return event


def line(event: Mapping[str, Any]) -> bytes:
    """The event as one line of JSON. Line feeds inside of strings are escaped, so that a line end is an event's end."""
    try:
        text = json.dumps(event, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        # a rate or a cost that is no number is no JSON either; the rest of the event is worth keeping.
        text = json.dumps(_finite(event), default=_plain, allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def _only(of: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: of[name] for name in names if of.get(name) is not None}


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    dumped = dump() if callable(dump) else None
    return dumped if isinstance(dumped, Mapping) else {}


def _names(said: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in said.items() if _is_harmless(str(name), value)}


def _is_harmless(name: str, value: Any) -> bool:
    # a number is a count whatever it is called: `input` is a meter's name too.
    return isinstance(value, (bool, int, float)) or (_is_name(value) and not _is_content(name))


def _is_content(name: str) -> bool:
    plain = "".join(letter for letter in name.lower() if letter not in "_-. ")
    return plain in CONTENT or plain.endswith(ENDS)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    dump: Optional[Any] = getattr(value, "model_dump", None)
    return _finite(dump()) if callable(dump) else value
