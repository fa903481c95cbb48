"""Observes with the Langfuse SDK: a trace of a user with one generation in an agent, given Langfuse's own settings.

LANGFUSE_HOST, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are read by the SDK.
"""

from langfuse import get_client, propagate_attributes

langfuse = get_client()
with langfuse.start_as_current_observation(name="answers", as_type="agent"):
    with propagate_attributes(user_id="alice", session_id="session-1", tags=["nightly"]):
        with langfuse.start_as_current_observation(
            name="answer", as_type="generation", model="gpt-4o-mini", input="CANARY", model_parameters={"temperature": 0}
        ) as generation:
            # langfuse counts what came from a cache beside the input, not in it.
            generation.update(output="CANARY", usage_details={"input": 1000, "output": 200, "cache_read_input_tokens": 8000})
langfuse.flush()
langfuse.shutdown()
