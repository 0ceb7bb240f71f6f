//! Speech over the agent's: a backchannel, or an interruption. A state machine over positions, without audio, allocation or clock.
