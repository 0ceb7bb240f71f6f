//! Whole conversations in virtual time: recorded speech in, scripted providers, what was heard out.

mod stage;
mod turns;
