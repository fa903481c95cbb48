"""Who a key of the proxy belongs to. A proxy with a database keeps this in it; this one is told by its `custom_auth`."""

from litellm.proxy._types import ProxyException, UserAPIKeyAuth

OWNERS = {
    "sk-ann": {"user_id": "ann", "team_id": "t-1", "team_alias": "search", "project_id": "p-1", "project_alias": "ranking"},
    "sk-ben": {"user_id": "ben", "team_id": "t-1", "team_alias": "search"},
    "sk-eve": {"user_id": "eve", "team_id": "t-2", "team_alias": "support"},
}


async def owner(request, api_key: str) -> UserAPIKeyAuth:
    key = api_key.removeprefix("Bearer ")
    if key not in OWNERS:
        raise ProxyException(message="unknown key", type="auth_error", param="key", code=401)
    return UserAPIKeyAuth(api_key=key, key_alias=f"key of {OWNERS[key]['user_id']}", **OWNERS[key])
