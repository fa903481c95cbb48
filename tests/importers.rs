//! Other people's price lists, one module each: what every habit of a list becomes, and that nothing of the real file is
//! lost or changed on the way.

mod litellm;
mod tables;
