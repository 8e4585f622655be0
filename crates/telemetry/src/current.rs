//! The span that what is done now belongs to: that of an API call or a method call, while its future runs.

use super::context::Context;

tokio::task_local! {
    static CURRENT: Context;
}

/// Runs a future with this span as the parent of new spans, or with the current parent if it is `None`.
pub async fn within<F: Future>(context: Option<Context>, future: F) -> F::Output {
    match context {
        Some(context) => CURRENT.scope(context, future).await,
        None => future.await,
    }
}

/// For a task of its own, which does not inherit it. Returns `None` outside of [`within`].
#[must_use]
pub fn current() -> Option<Context> {
    CURRENT.try_with(|context| *context).ok()
}

/// `traceparent` for what goes out as part of it.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    current()?.traceparent()
}
