catalog acme from 2026-01-01   haiku   output 10/M
event   e1 haiku output 5 reasoning 7   -> posted 0.00012
  -> line reasoning 7 x 10/M as output
catalog acme from 2026-01-01   deep    output 10/M   reasoning 3/M
event   e2 deep output 5 reasoning 7    -> posted 0.000071
