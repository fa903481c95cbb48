yaml
  | provider: openai
  | models:
  |   - model: gpt-4o
  |     cards: [{input_per_1m: "2.5"}]
yaml
  | provider: gateway
  | pricing_provider_id: openai
  | models:
  |   - model: own
  |     cards: [{input_per_1m: "1"}]
event   e1 openai/gpt-4o input 1_000_000       -> posted 2.5
  -> because layer pricing-provider
  -> posts cost:-/- <- payable:gateway 2.5
event   e2 own input 1_000_000                 -> posted 1
event   e3 anthropic/claude input 1_000_000    -> held: no_rate_card: has no models of anthropic: for a router's slugs it should be the router's own list
