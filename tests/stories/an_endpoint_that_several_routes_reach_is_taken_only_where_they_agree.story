yaml
  | provider: openrouter
  | models:
  |   - model: x/y
  |     cards:
  |       - input_per_1m: "2"
  |       - {endpoint: Azure, route: azure/eu, input_per_1m: "2.2"}
  |       - {endpoint: Azure, route: azure/us, input_per_1m: "2.1"}
  |       - {endpoint: Novita, route: novita/fp8, input_per_1m: "1"}
  |       - {endpoint: Novita, route: novita/bf16, input_per_1m: "1"}
  |       - {endpoint: Novita, route: novita/flex, service_tier: flex, input_per_1m: "0.5"}
event   e1 served_by:Azure x/y input 1_000_000      -> posted 2
  -> because layer list
  -> because 2 routes to Azure at different rates (azure/eu, azure/us)
event   e2 served_by:azure/eu x/y input 1_000_000   -> posted 2.2
  -> because layer endpoint
event   e3 served_by:Novita x/y input 1_000_000     -> posted 1
  -> because layer endpoint
