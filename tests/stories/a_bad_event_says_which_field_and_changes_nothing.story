catalog acme from 2026-01-01   haiku   input 1/M
raw {"id":"e1","source":"gateway","provider":"acme","model":"haiku","usage":{"input":-5}}   -> rejected usage.input: -5 is negative
raw {"id":"e1","source":"gateway","provider":"acme","model":"haiku"}                        -> rejected usage: missing
raw {"id":"e1","source":"gateway","provider":"acme","usage":{"input":5}}                    -> rejected model: missing
raw {"id":"e1","source":"gateway","provider":"acme","model":"haiku","usage":{"tokens":5}}   -> rejected usage: `tokens` is unknown
raw {"id":"e1","source":"gateway","provider":"acme","model":"haiku","usage":{"input":5},"occurred_at":"yesterday"}   -> rejected occurred_at
event e1 haiku input 1000                                                                  -> posted 0.001
