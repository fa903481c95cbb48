catalog router from 2026-01-01 insured error,empty   haiku   input 1/M   output 2/M
event   e1 outcome:failed haiku input 100 output 5      -> posted 0
event   e2 outcome:cancelled haiku input 100            -> posted 0
event   e3 outcome:cancelled haiku input 100 output 5   -> posted 0.00011
