//! A thread with a runtime of its own, for a service that others must not delay.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread::Builder;
use tokio::runtime::{self, Handle, Runtime};

/// Makes a runtime, calls `prepare` inside it, and `serve` on a new thread. Returns the
/// runtime's handle.
///
/// # Errors
/// That of `prepare`, or why there is no runtime or no thread. The caller may be a task of
/// another runtime, which must not drop this one: tokio would panic.
pub fn start<T: Send + 'static>(
    thread: Builder,
    prepare: impl FnOnce(&Handle) -> io::Result<T>,
    serve: impl FnOnce(&Runtime, T) + Send + 'static,
) -> io::Result<Handle> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (give, given) = sync_channel::<(Runtime, T)>(1);
    let inside = runtime.enter();
    let started = prepare(runtime.handle()).and_then(|prepared| {
        thread.spawn(move || {
            if let Ok((runtime, prepared)) = given.recv() {
                serve(&runtime, prepared);
            }
        })?;
        Ok(prepared)
    });
    drop(inside);
    match started {
        Ok(prepared) => {
            let handle = runtime.handle().clone();
            // The thread waits for it.
            let _ = give.send((runtime, prepared));
            Ok(handle)
        }
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No system has so much memory for a stack.
    const TOO_LARGE: usize = 1 << 60;

    async fn attempt(thread: Builder, prepared: io::Result<u8>) -> io::Result<u8> {
        let (sender, result) = std::sync::mpsc::channel();
        start(
            thread,
            |_| prepared,
            move |runtime, prepared| {
                let _ = sender.send(runtime.block_on(async { prepared }));
            },
        )?;
        result.recv().map_err(io::Error::other)
    }

    #[tokio::test]
    async fn it_serves_what_is_prepared() {
        assert_eq!(attempt(Builder::new(), Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_thread_that_is_refused_is_an_error() {
        let thread = Builder::new().stack_size(TOO_LARGE);
        assert!(attempt(thread, Ok(7)).await.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_prepared_is_an_error() {
        let error = attempt(Builder::new(), Err(io::Error::other("on purpose"))).await;
        assert_eq!(error.unwrap_err().to_string(), "on purpose");
    }
}
