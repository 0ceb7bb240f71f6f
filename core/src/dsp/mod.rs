//! Signal maths that models share.
