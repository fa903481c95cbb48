"""Calls a mocked model through litellm's SDK: `litellm_sdk.py CALLBACK CALLS`, 5 ms apart.

CALLBACK is `array` or `ndjson`, litellm's own generic_api callback in either format and with its default batches, or `ours`,
the farthing_litellm of this repository. `written ID` is printed when the hooks of a call have returned, and `took SECONDS` when
all calls are made.
"""

import asyncio
import sys
import time

import litellm
from litellm.constants import DEFAULT_FLUSH_INTERVAL_SECONDS
from litellm.integrations.custom_logger import CustomLogger


class Witness(CustomLogger):
    """Runs after the callback under test, since it comes after it in the list."""

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        sys.stdout.write(f"written {kwargs['litellm_call_id']}\n")
        sys.stdout.flush()


def callback(name):
    if name == "array":
        return "generic_api"
    if name == "ndjson":
        from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

        return GenericAPILogger(log_format="ndjson")
    from farthing_litellm import farthing

    return farthing


async def main():
    name, calls = sys.argv[1], int(sys.argv[2])
    litellm.callbacks = [callback(name), Witness()]
    began = time.monotonic()
    for number in range(calls):
        await litellm.acompletion(
            "gpt-4o-mini",
            [{"role": "user", "content": "what does it cost?"}],
            mock_response="about a farthing",
            user=f"user-{number % 4}",
            metadata={"user_api_key_team_alias": "search", "user_api_key_project_alias": "ranking", "tags": ["nightly"]},
        )
        await asyncio.sleep(0.005)
    print(f"took {time.monotonic() - began:.2f}", flush=True)
    if name != "ours":
        # its queue is posted at every interval, and forgotten when the process ends.
        await asyncio.sleep(DEFAULT_FLUSH_INTERVAL_SECONDS + 2)


asyncio.run(main())
