catalog acme from 2026-01-01   haiku   input 1/M   output 2/M   cache_read 0.1/M
raw {"id":"e1","source":"gateway","occurred_at":"2026-02-03T10:00:00Z","provider":"acme","model":"haiku","usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":20}}}
  -> held: contradictory_usage: cached_tokens 20 do not fit into prompt_tokens 10
raw {"id":"e2","source":"gateway","occurred_at":"2026-02-03T10:00:00Z","provider":"acme","model":"haiku","usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":90}}
  -> held: contradictory_usage: total_tokens is 90
raw {"id":"e1","source":"gateway","occurred_at":"2026-02-03T10:00:00Z","provider":"acme","model":"haiku","usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":2}}}
  -> posted 0.0000182
