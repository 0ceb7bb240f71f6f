//! Whole conversations in virtual time: recorded speech in, scripted providers, what was heard out.

mod agents;
mod building;
mod closing;
mod failures;
mod interruptions;
mod noise;
mod preemptive;
mod recognition;
mod room;
mod stage;
mod streaming;
mod turns;
mod voices;
