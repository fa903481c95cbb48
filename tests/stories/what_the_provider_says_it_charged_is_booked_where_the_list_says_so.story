catalog openrouter from 2026-01-01 basis reported   x/y   input 1/M   output 2/M
event   e1 reported:0.0123 x/y input 1000 output 1000   -> posted 0.0123
  -> line input 1000 x 1/M
  -> line output 1000 x 2/M
  -> line whole 0.0093
  -> because cost basis reported
event   e2 x/y input 1000 output 1000                   -> posted 0.003
event   e3 reported:3E-7 x/z input 1                    -> posted 0.0000003
  -> line whole 0.0000003
