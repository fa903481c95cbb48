//! OpenRouter. What it says of a call comes by three ways: a span of its Broadcast, the response itself, and the record of the
//! generation, asked for afterwards. All three name the generation, so all three are the same call; where an operator
//! collects more than one of them, the first is booked and the others are evidence.

pub mod broadcast;
