catalog acme from 2026-01-01   haiku   input 1/M   output 2/M   cache_read 0.1/M   over 200000   input 10/M   output 20/M
event   e1 haiku input 200_000 output 1                      -> posted 0.200002
event   e2 haiku input 200_001 output 1                      -> posted 2.00003
  -> because condition holds: acme/haiku@2026-01-01: prompt tokens over 200000
event   e3 haiku input 100_000 cache_read 100_001 output 1   -> posted 1.0100201
