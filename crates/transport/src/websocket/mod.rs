//! WebSockets of the host: frames, and a stream of bytes made of them. The upgrade, and what the bytes mean, are the callers'.

pub mod frames;
mod stream;

pub use stream::WebSocketStream;
