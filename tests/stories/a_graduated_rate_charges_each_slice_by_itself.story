yaml
  | provider: acme
  | models:
  |   - model: haiku
  |     cards:
  |       - input_per_1m: "3"
  |         output_per_1m: "1"
  |         graduated:
  |           - over: 1000
  |             input_per_1m: "2"
  |           - over: 5000
  |             input_per_1m: "1"
event   e1 haiku input 1000                -> posted 0.003
event   e2 haiku input 6000 output 10_000  -> posted 0.022
  -> line input 1000 x 3/M
  -> line input 4000 x 2/M
  -> line input 1000 x 1/M
