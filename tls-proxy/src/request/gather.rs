//! Gathers a body's pieces for sending: pieces that are ready together are sent as one,
//! with the end if that is ready too.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::source::{self, FilterContext, Frame, Source};

/// From this size on nothing is held back, bytes.
pub(crate) const ENOUGH: usize = 16 * 1024;

/// The line of the error log for a body that ends before its announced length: the response is cut.
pub(crate) const SHORTER: &str = "the body of the response is shorter than its length";

/// Pieces of a body to be sent together.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// The first piece, as long as it is the only one.
    one: Bytes,
    /// Several pieces, copied together.
    several: BytesMut,
    /// A large piece that arrived while others were held.
    next: Bytes,
}

/// The next part to send.
#[derive(Debug)]
pub(crate) struct OutgoingPart {
    /// Empty only before an end.
    pub(crate) data: Bytes,
    pub(crate) then: Then,
}

/// What follows a [`OutgoingPart`].
#[derive(Debug)]
pub(crate) enum Then {
    /// More may be ready.
    More,
    /// Nothing is ready.
    Wait,
    /// The end, with trailer field lines if there are any.
    End(Bytes),
    /// The body stops before its end.
    Cut(source::Error),
}

impl Gather {
    /// The next part. Pending while nothing is ready.
    pub(crate) fn poll(
        &mut self,
        source: &mut dyn Source,
        request: &dyn FilterContext,
        cx: &mut Context<'_>,
    ) -> Poll<OutgoingPart> {
        self.one = std::mem::take(&mut self.next);
        let then = loop {
            if self.size() >= ENOUGH {
                break Then::More;
            }
            match source.poll_frame(request, cx) {
                Poll::Pending if self.size() == 0 => return Poll::Pending,
                Poll::Pending => break Then::Wait,
                Poll::Ready(Some(Ok(Frame::Data(data)))) if self.size() == 0 => self.one = data,
                Poll::Ready(Some(Ok(Frame::Data(data)))) if data.len() >= ENOUGH => {
                    self.next = data;
                    break Then::More;
                }
                Poll::Ready(Some(Ok(Frame::Data(data)))) => self.append(&data),
                Poll::Ready(Some(Ok(Frame::Trailers(lines)))) => break Then::End(lines),
                Poll::Ready(Some(Err(cut))) => break Then::Cut(cut),
                Poll::Ready(None) => break Then::End(Bytes::new()),
            }
        };
        let data = match self.several.is_empty() {
            true => std::mem::take(&mut self.one),
            false => self.several.split().freeze(),
        };
        Poll::Ready(OutgoingPart { data, then })
    }

    /// Bytes that are held.
    fn size(&self) -> usize {
        self.one.len() + self.several.len()
    }

    fn append(&mut self, data: &[u8]) {
        self.several
            .extend_from_slice(&std::mem::take(&mut self.one));
        self.several.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::source::Next;
    use crate::request::source::testing::{AnyRequest, Script, data};
    use std::task::Waker;

    /// Sizes of the parts, and what follows each; `None` is a poll that had
    /// nothing to give.
    fn parts(script: Vec<Option<Next>>) -> Vec<Option<(usize, &'static str)>> {
        let (mut source, mut gather) = (Script::new(script), Gather::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut parts = Vec::new();
        loop {
            let part = gather.poll(&mut source, &AnyRequest, &mut cx);
            let part = part.map(|part| {
                let then = match part.then {
                    Then::More => "more",
                    Then::Wait => "wait",
                    Then::End(lines) if lines.is_empty() => "end",
                    Then::End(_) => "trailers",
                    Then::Cut(_) => "cut",
                };
                (part.data.len(), then)
            });
            let is_over = matches!(part, Poll::Ready((_, "end" | "trailers" | "cut")));
            parts.push(match part {
                Poll::Ready(part) => Some(part),
                Poll::Pending => None,
            });
            if is_over {
                return parts;
            }
        }
    }

    #[test]
    fn what_is_there_together_goes_together_with_its_end() {
        assert_eq!(parts(vec![data(1), data(2)]), [Some((3, "end"))]);
        let trailers = Some(Some(Ok(Frame::Trailers("A: 1\r\n".into()))));
        assert_eq!(parts(vec![data(1), trailers]), [Some((1, "trailers"))]);
        let cut = Some(Some(Err(source::Error::Closed)));
        assert_eq!(parts(vec![data(1), cut]), [Some((1, "cut"))]);
    }

    #[test]
    fn a_pause_gives_what_has_come_once() {
        let paused = parts(vec![None, data(1), data(1), None, None, data(1), None]);
        let expected = [
            None,
            Some((2, "wait")),
            None,
            Some((1, "wait")),
            Some((0, "end")),
        ];
        assert_eq!(paused, expected);
    }

    #[test]
    fn what_is_large_waits_for_nothing_and_is_not_copied() {
        let large = parts(vec![
            data(1),
            data(ENOUGH),
            data(ENOUGH - 1),
            data(1),
            data(1),
        ]);
        let expected = [
            Some((1, "more")),
            Some((ENOUGH, "more")),
            Some((ENOUGH, "more")),
            Some((1, "end")),
        ];
        assert_eq!(large, expected);
    }
}
