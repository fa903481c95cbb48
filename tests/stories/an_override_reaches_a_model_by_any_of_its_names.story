yaml
  | provider: openrouter
  | models:
  |   - model: anthropic/claude-sonnet-4.5
  |     aliases: [anthropic/claude-4.5-sonnet-20250929]
  |     cards: [{input_per_1m: "3"}]
  | overrides:
  |   - {kind: contract, model: anthropic/claude-sonnet-4.5, pricing: {inputCostPer1K: "0.002"}}
event   e1 anthropic/claude-sonnet-4.5 input 1_000_000            -> posted 2
event   e2 anthropic/claude-4.5-sonnet-20250929 input 1_000_000   -> posted 2
  -> because layer override
