catalog acme from 2026-01-01   gift    input 0/M   output 0/M   free
catalog acme from 2026-01-01   doubt   input 0/M   output 0/M
event   e1 gift  input 5 output 5   -> posted 0
event   e2 doubt input 5 output 5   -> held: zero_unconfirmed: nobody confirmed that it is free
