//! The sandbox against guests that mean harm: every limit ends what it should, names itself, and leaves others alone.

mod arguments;
mod capabilities;
mod guest_calls;
mod hostile;
mod limits;
mod loading;
mod same_answers;
mod world;
