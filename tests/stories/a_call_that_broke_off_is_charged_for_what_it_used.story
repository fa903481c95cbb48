catalog acme from 2026-01-01   haiku   input 1/M   output 2/M
event   e1 outcome:failed haiku input 100             -> posted 0.0001
event   e2 outcome:cancelled haiku input 1 output 1   -> posted 0.000003
event   e3 outcome:failed haiku                       -> held: usage_missing: nobody said what it used
event   e4 outcome:failed reported:0 haiku input 100  -> posted 0
event   e5 outcome:failed reported:0.5 haiku          -> posted 0.5
