catalog acme from 2026-01-01   haiku   input 1/M   output 2/M
event   e1 outcome:failed haiku                     -> held: usage_missing
event   e1 with input 100 output 3                  -> posted 0.000106
event   e1 with input 100 output 3                  -> already present
event   e1 with input 100 output 4                  -> conflict: output
held                                                -> nothing
