"""A process that calls models through litellm, for tests that kill it: `python gateway.py CALLS SECONDS_BETWEEN`.

It prints `written ID` when the hook of Farthing's logger has returned for a call, which a callback of its own that litellm
runs after Farthing's can tell.
"""

import sys
import time

import litellm
from litellm.integrations.custom_logger import CustomLogger

from farthing_litellm import farthing


class Witness(CustomLogger):
    def log_success_event(self, kwargs, response_obj, start_time, end_time):
        sys.stdout.write(f"written {kwargs['litellm_call_id']}\n")
        sys.stdout.flush()


litellm.callbacks = [farthing, Witness()]
for _ in range(int(sys.argv[1])):
    litellm.completion("gpt-4o-mini", [{"role": "user", "content": "hello"}], mock_response="hello yourself")
    time.sleep(float(sys.argv[2]))
